// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import dev.crossover.attention.tensor.DType;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.attention.tensor.TensorFileWriter;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.model.Initialisation;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelSizes;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/// A language model as a checkpoint of training holds it: what it was trained on, its options and
/// sizes, its parameters.
///
/// @param task what it was trained on
/// @param layers options of its blocks
/// @param sizes its sizes
/// @param parameters its parameters
public record TrainedModel(
    String task, LayerOptions layers, ModelSizes sizes, Parameters parameters) {
  static final String FORMAT = "crossover-checkpoint-1";
  private static final String TASK = "task";
  private static final String LAYERS = "layers.";
  private static final String SIZES = "sizes.";

  /// Reads a checkpoint.
  ///
  /// @throws TensorFileException if the file is absent, malformed, or does not say what model it
  ///     holds
  public static TrainedModel read(Path path) throws TensorFileException {
    SafeTensors file = SafeTensors.open(path);
    Map<String, String> metadata = file.metadata();
    if (!FORMAT.equals(metadata.get("format")) || !metadata.containsKey(TASK)) {
      throw new TensorFileException(
          file.path(), "must be a checkpoint of crossover train that says its model");
    }
    try {
      LayerOptions layers = LayerOptions.of(below(metadata, LAYERS)).with("training", "false");
      ModelSizes sizes = ModelSizes.of(below(metadata, SIZES));
      Parameters parameters = Initialisation.of(ModelKind.LANGUAGE_MODEL, layers, sizes, 0);
      for (Parameter parameter : parameters.all()) {
        restore(file, parameter.name(), parameter.value());
      }
      return new TrainedModel(metadata.getOrDefault(TASK, ""), layers, sizes, parameters);
    } catch (IllegalArgumentException e) {
      throw new TensorFileException(file.path(), String.valueOf(e.getMessage()), e);
    }
  }

  /// Writes the model without what only training needs, its parameters in half precision (F16).
  ///
  /// @throws IOException if the file cannot be written
  public void writeHalf(Path path) throws IOException {
    TensorFileWriter writer = new TensorFileWriter();
    writer.metadata("format", FORMAT);
    describe(writer, task, layers, sizes);
    for (Parameter parameter : parameters.all()) {
      writer.add(parameter.name(), DType.F16, parameter.value());
    }
    writer.writeSafeTensors(path);
  }

  private static Map<String, String> below(Map<String, String> metadata, String prefix) {
    Map<String, String> values = new TreeMap<>();
    metadata.forEach(
        (key, value) -> {
          if (key.startsWith(prefix)) {
            values.put(key.substring(prefix.length()), value);
          }
        });
    return values;
  }

  /// Says in a checkpoint what model it holds.
  static void describe(
      TensorFileWriter writer, String task, LayerOptions layers, ModelSizes sizes) {
    writer.metadata(TASK, task);
    layers.toMap().forEach((key, value) -> writer.metadata(LAYERS + key, value));
    sizes.toMap().forEach((key, value) -> writer.metadata(SIZES + key, value));
  }

  /// Reads a tensor of a known shape.
  static void restore(SafeTensors file, String name, Tensor into) throws TensorFileException {
    if (!file.contains(name)) {
      throw new TensorFileException(file.path(), "must hold '" + name + "'");
    }
    Tensor stored = file.tensor(name);
    if (!stored.hasShape(into.shape())) {
      throw new TensorFileException(
          file.path(), "'" + name + "' must have the shape of " + into + ", but was " + stored);
    }
    System.arraycopy(stored.data(), 0, into.data(), 0, into.size());
  }
}
