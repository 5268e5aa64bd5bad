// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.conformance.Comparison;
import dev.crossover.attention.tensor.DType;
import dev.crossover.attention.tensor.TensorFile;
import dev.crossover.attention.tensor.TensorFileException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleUnaryOperator;

/// The expected tensors of a golden file, compared one by one with what was computed.
final class ExpectedTensors {
  /// What double precision may deviate (README of the golden files).
  private static final double TOLERANCE = 1e-9;

  private final TensorFile file;
  private final List<Comparison> comparisons = new ArrayList<>();
  private final List<String> used = new ArrayList<>();

  ExpectedTensors(TensorFile file) {
    this.file = file;
  }

  List<Comparison> comparisons() {
    return List.copyOf(comparisons);
  }

  /// Names of the tensors that were compared.
  List<String> used() {
    return List.copyOf(used);
  }

  /// Compares in double precision, integers exactly; nothing if the file holds no such tensor.
  void compare(String name, double[] actual, int... shape) throws TensorFileException {
    if (file.contains(name)) {
      DType type = file.dtype(name);
      boolean exact = type != DType.F64 && type != DType.F32;
      compare(name, name, actual, expected -> exact ? 0 : TOLERANCE, shape);
    }
  }

  /// Compares with a tolerance that depends on the expected value.
  void compare(
      String name, String label, double[] actual, DoubleUnaryOperator tolerance, int... shape)
      throws TensorFileException {
    used.add(name);
    int[] stored = Arrays.stream(file.shape(name)).mapToInt(Math::toIntExact).toArray();
    double[] expected = file.doubles(name);
    if (!Arrays.equals(stored, shape) || expected.length != actual.length) {
      comparisons.add(new Comparison(label, Double.POSITIVE_INFINITY, 0, Double.POSITIVE_INFINITY));
      return;
    }
    double deviation = 0;
    double worst = 0;
    double allowed = expected.length == 0 ? TOLERANCE : tolerance.applyAsDouble(expected[0]);
    for (int i = 0; i < expected.length; i++) {
      double difference = Math.abs(actual[i] - expected[i]);
      if (Double.isNaN(difference)) {
        difference = Double.isNaN(actual[i]) && Double.isNaN(expected[i]) ? 0 : difference;
      }
      double limit = tolerance.applyAsDouble(expected[i]);
      double share = difference == 0 ? 0 : difference / limit;
      deviation = worse(deviation, difference);
      if (Double.isNaN(share) || share > worst) {
        worst = worse(worst, share);
        allowed = limit;
      }
    }
    comparisons.add(new Comparison(label, deviation, allowed, worst));
  }

  private static double worse(double before, double value) {
    return Double.isNaN(value) ? Double.POSITIVE_INFINITY : Math.max(before, value);
  }

  static double[] flat(double[][]... matrices) {
    return Arrays.stream(matrices)
        .flatMap(Arrays::stream)
        .flatMapToDouble(Arrays::stream)
        .toArray();
  }

  static double[] flat(List<double[][]> matrices) {
    return flat(matrices.toArray(double[][][]::new));
  }
}
