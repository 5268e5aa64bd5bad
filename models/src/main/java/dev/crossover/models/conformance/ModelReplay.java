// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.conformance;

import dev.crossover.attention.conformance.GoldenReplay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.tensor.TensorFileException;
import java.nio.file.Path;
import java.util.List;

/// Replays golden files of format `models-1`: layers, models, training runs, attention transfer and
/// optimisers. Unknown keys and tensors are refused by name.
public final class ModelReplay implements GoldenReplay {
  private static final int THREADS = 2;

  /// Made by `ServiceLoader`.
  public ModelReplay() {}

  @Override
  public List<String> prefixes() {
    return List.of("layer__", "model__", "train__", "transfer__", "optimiser__");
  }

  @Override
  public ReplayResult replay(Path path) {
    String name = String.valueOf(path.getFileName());
    try {
      ModelFile file = ModelFile.read(path);
      String what =
          switch (name.substring(0, name.indexOf("__"))) {
            case "layer" -> LayerReplay.run(file, THREADS);
            case "model" -> RunReplay.model(file, THREADS);
            case "train" -> RunReplay.train(file, THREADS);
            case "transfer" -> RunReplay.transfer(file, THREADS);
            default -> RunReplay.optimiser(file, THREADS);
          };
      file.requireAllUsed();
      return file.result(what);
    } catch (TensorFileException | IllegalArgumentException | UnsupportedOperationException e) {
      return new ReplayResult(
          name,
          "",
          ReplayResult.Status.CANNOT_REPLAY,
          String.valueOf(e.getMessage()),
          List.of(),
          List.of());
    }
  }
}
