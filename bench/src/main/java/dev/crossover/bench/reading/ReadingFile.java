// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFile;
import dev.crossover.attention.tensor.TensorFileException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/// Metadata and inputs of a golden file of readings, checked as they are asked for.
final class ReadingFile {
  private final TensorFile file;

  ReadingFile(TensorFile file) {
    this.file = file;
  }

  String path() {
    return file.path().toString();
  }

  Map<String, String> metadata() {
    return file.metadata();
  }

  List<String> names() {
    return file.names();
  }

  boolean holds(String tensor) {
    return file.contains(tensor);
  }

  TensorFileException fault(String fault) {
    return new TensorFileException(file.path(), fault);
  }

  String text(String key) throws TensorFileException {
    String value = file.metadata().get(key);
    if (value == null) {
      throw fault("metadata must hold '" + key + "'");
    }
    return value;
  }

  /// A value that must be one of these.
  String require(String key, List<String> allowed) throws TensorFileException {
    String value = text(key);
    if (!allowed.contains(value)) {
      throw fault(key + " must be one of " + allowed + ", but was '" + value + "'");
    }
    return value;
  }

  boolean flag(String key, boolean standard) throws TensorFileException {
    return file.metadata().containsKey(key)
        ? require(key, List.of("true", "false")).equals("true")
        : standard;
  }

  boolean causal() throws TensorFileException {
    return require("causal", List.of("true", "false")).equals("true");
  }

  double number(String key) throws TensorFileException {
    try {
      double number = Double.parseDouble(text(key));
      if (Double.isFinite(number)) {
        return number;
      }
    } catch (NumberFormatException e) {
      // answered below, like a number that is not finite
    }
    throw fault(key + " must be a finite number, but was '" + text(key) + "'");
  }

  OptionalInt whole(String key) throws TensorFileException {
    if (!file.metadata().containsKey(key)) {
      return OptionalInt.empty();
    }
    try {
      int number = Integer.parseInt(text(key));
      if (number >= 0) {
        return OptionalInt.of(number);
      }
    } catch (NumberFormatException e) {
      // answered below, like a number that is negative
    }
    throw fault(key + " must be a whole number >= 0, but was '" + text(key) + "'");
  }

  /// Sizes of a tensor of a rank.
  int[] shape(String name, int rank) throws TensorFileException {
    long[] shape = file.shape(name);
    if (shape.length != rank) {
      throw fault(
          "tensor '"
              + name
              + "' must have "
              + rank
              + " dimensions, but was "
              + Arrays.toString(shape));
    }
    return Arrays.stream(shape).mapToInt(Math::toIntExact).toArray();
  }

  /// The last two dimensions of a tensor as matrices.
  double[][][] matrices(String name, int rank) throws TensorFileException {
    int[] shape = shape(name, rank);
    int count = 1;
    for (int d = 0; d < rank - 2; d++) {
      count *= shape[d];
    }
    return AttentionStack.matrices(file.doubles(name), 0, count, shape[rank - 2], shape[rank - 1]);
  }

  Tensor tensor(String name) throws TensorFileException {
    shape(name, 4);
    return file.tensor(name);
  }

  double[] vector(String name) throws TensorFileException {
    shape(name, 1);
    return file.doubles(name);
  }

  int[] integers(String name) throws TensorFileException {
    shape(name, 1);
    return file.ints(name);
  }

  /// The factor on q·k.
  double scale(int width) throws TensorFileException {
    return file.metadata().containsKey("scale") ? number("scale") : 1 / Math.sqrt(width);
  }
}
