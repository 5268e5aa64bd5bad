// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileWriter;
import dev.crossover.models.pretrained.MiniLm;
import dev.crossover.models.pretrained.WordPiece;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// An encoder of one layer with drawn weights and a vocabulary of ten pieces.
final class DrawnModel {
  private static final int WIDTH = 384;
  private static final int INNER = 8;
  private static final List<String> WORDS =
      List.of("[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "a", "mat");

  static final MiniLmFiles.Loaded LOADED = readModel();

  private DrawnModel() {}

  private static MiniLmFiles.Loaded readModel() {
    Map<String, Integer> numbers = new HashMap<>();
    WORDS.forEach(word -> numbers.put(word, numbers.size()));
    try {
      Path weights = Files.createTempFile("drawn", ".safetensors");
      write(weights);
      MiniLm model = MiniLm.read(SafeTensors.open(weights));
      Files.delete(weights);
      return new MiniLmFiles.Loaded(
          model, Optional.of(new WordPiece(numbers)), Path.of("drawn"), "0123456789abcdef");
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private static void write(Path path) throws IOException {
    TensorFileWriter writer = new TensorFileWriter();
    add(writer, "embeddings.word_embeddings.weight", WORDS.size(), WIDTH);
    add(writer, "embeddings.position_embeddings.weight", 64, WIDTH);
    add(writer, "embeddings.token_type_embeddings.weight", 2, WIDTH);
    norm(writer, "embeddings.LayerNorm");
    String layer = "encoder.layer.0.";
    for (String kind : new String[] {"query", "key", "value"}) {
      map(writer, layer + "attention.self." + kind, WIDTH, WIDTH);
    }
    map(writer, layer + "attention.output.dense", WIDTH, WIDTH);
    norm(writer, layer + "attention.output.LayerNorm");
    map(writer, layer + "intermediate.dense", INNER, WIDTH);
    map(writer, layer + "output.dense", WIDTH, INNER);
    norm(writer, layer + "output.LayerNorm");
    writer.writeSafeTensors(path);
  }

  private static void add(TensorFileWriter writer, String name, int... shape) {
    writer.add(name, Draws.gaussian(Draws.seedFor(1, name), 0.05, shape));
  }

  private static void map(TensorFileWriter writer, String name, int out, int in) {
    add(writer, name + ".weight", out, in);
    add(writer, name + ".bias", out);
  }

  private static void norm(TensorFileWriter writer, String name) {
    writer.add(name + ".weight", Draws.constant(1, WIDTH));
    writer.add(name + ".bias", Tensor.zeros(WIDTH));
  }
}
