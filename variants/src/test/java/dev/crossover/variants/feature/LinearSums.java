// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Oracle;
import java.util.function.DoubleUnaryOperator;

/// Linear attention in double precision, from features that are computed once: outputs and sums
/// with what they start from, in plain loops.
final class LinearSums {
  /// Features of one row.
  @FunctionalInterface
  interface Features {
    double[] of(float[] x, int at, int head, int position);
  }

  private final AttentionShape shape;
  private final Mask mask;
  private final Tensors inputs;
  private final double[][] queries;
  private final double[][] keys;

  LinearSums(AttentionShape shape, Mask mask, Tensors inputs, Features query, Features key) {
    this.shape = shape;
    this.mask = mask;
    this.inputs = inputs;
    queries = rows(inputs.get("q"), query);
    keys = rows(inputs.get("k"), key);
  }

  private static double[][] rows(Tensor x, Features features) {
    int n = x.extent(2);
    int d = x.extent(3);
    double[][] rows = new double[x.extent(0) * x.extent(1) * n][];
    for (int r = 0; r < rows.length; r++) {
      rows[r] = features.of(x.data(), r * d, r / n % x.extent(1), r % n);
    }
    return rows;
  }

  /// The output, row-major; a row that sees no key and no initial sums is zero.
  double[] out(DoubleUnaryOperator rule) {
    int dv = shape.valueDim();
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    double[] out = new double[queries.length * dv];
    float[] v = inputs.get("v").data();
    for (int row = 0; row < queries.length; row++) {
      int b = row / nq / shape.numHeads();
      int keyHead = b * shape.numKeyValueHeads() + row / nq % shape.numHeads() / shape.groupSize();
      double[] numerator = new double[dv];
      double denominator = addInitial(queries[row], keyHead, numerator);
      boolean seen = inputs.has("initial_state");
      for (int j = 0; j < nk; j++) {
        if (Oracle.sees(shape, mask, b, row % nq, j)) {
          seen = true;
          double weight = dot(queries[row], keys[keyHead * nk + j]);
          denominator += weight;
          for (int c = 0; c < dv; c++) {
            numerator[c] += weight * v[(keyHead * nk + j) * dv + c];
          }
        }
      }
      double by = seen ? rule.applyAsDouble(denominator) : 0;
      for (int c = 0; c < dv && by != 0; c++) {
        out[row * dv + c] = numerator[c] / by;
      }
    }
    return out;
  }

  private double addInitial(double[] query, int keyHead, double[] numerator) {
    if (!inputs.has("initial_state")) {
      return 0;
    }
    double denominator = 0;
    for (int a = 0; a < query.length; a++) {
      int at = keyHead * query.length + a;
      denominator += query[a] * inputs.get("initial_normaliser").data()[at];
      for (int c = 0; c < numerator.length; c++) {
        numerator[c] += query[a] * inputs.get("initial_state").data()[at * numerator.length + c];
      }
    }
    return denominator;
  }

  /// S after the last key, row-major.
  double[] finalState() {
    int dv = shape.valueDim();
    double[] sums = initial("initial_state", dv);
    float[] v = inputs.get("v").data();
    for (int row = 0; row < keys.length; row++) {
      int keyHead = row / shape.keySeqLen();
      int width = keys[row].length;
      for (int e = 0; e < width * dv && isReal(row); e++) {
        sums[keyHead * width * dv + e] += keys[row][e / dv] * v[row * dv + e % dv];
      }
    }
    return sums;
  }

  /// z after the last key, row-major.
  double[] finalNormaliser() {
    double[] sums = initial("initial_normaliser", 1);
    for (int row = 0; row < keys.length; row++) {
      int width = keys[row].length;
      for (int a = 0; a < width && isReal(row); a++) {
        sums[row / shape.keySeqLen() * width + a] += keys[row][a];
      }
    }
    return sums;
  }

  private double[] initial(String name, int width) {
    int features = keys.length == 0 ? 0 : keys[0].length;
    int size = shape.batchSize() * shape.numKeyValueHeads() * features * width;
    double[] sums = new double[size];
    for (int e = 0; e < size && inputs.has(name); e++) {
      sums[e] = inputs.get(name).data()[e];
    }
    return sums;
  }

  private boolean isReal(int row) {
    int b = row / shape.keySeqLen() / shape.numKeyValueHeads();
    return mask.isRealKey(b, row % shape.keySeqLen());
  }

  private static double dot(double[] x, double[] y) {
    double sum = 0;
    for (int a = 0; a < x.length; a++) {
      sum += x[a] * y[a];
    }
    return sum;
  }
}
