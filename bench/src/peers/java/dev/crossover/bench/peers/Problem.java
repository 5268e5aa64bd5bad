// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;

/// One attention problem: batch 1, Gaussian inputs, n queries or, for decoding, one.
///
/// @param shape sizes
/// @param causal whether query i sees keys up to i only
/// @param query `[1, heads, nq, d]`
/// @param key `[1, heads, n, d]`
/// @param value `[1, heads, n, d]`
record Problem(AttentionShape shape, boolean causal, Tensor query, Tensor key, Tensor value) {
  private static final int CHECKED_ROWS = 50;

  static Problem of(int heads, int n, int d, boolean causal) {
    return new Problem(
        AttentionShape.of(1, heads, n, d),
        causal,
        Draws.gaussian(1, 1, heads, n, d),
        Draws.gaussian(2, 1, heads, n, d),
        Draws.gaussian(3, 1, heads, n, d));
  }

  /// One query over many keys.
  static Problem decoding(int heads, int keys, int d) {
    return new Problem(
        new AttentionShape(1, heads, heads, 1, keys, d, d, d),
        false,
        Draws.gaussian(1, 1, heads, 1, d),
        Draws.gaussian(2, 1, heads, keys, d),
        Draws.gaussian(3, 1, heads, keys, d));
  }

  /// As in the table.
  String label() {
    return causal ? "causal" : shape.querySeqLen() == 1 ? "decoding" : "none";
  }

  /// Bytes of the keys and values.
  double bytes() {
    return 8.0 * shape.numHeads() * shape.keySeqLen() * shape.headDim();
  }

  Mask mask() {
    return causal ? Mask.causal() : Mask.none();
  }

  Tensors inputs() {
    return Tensors.qkv(query, key, value);
  }

  /// Floating-point operations: 4 d per pair that the mask allows.
  double flops() {
    double n = shape.keySeqLen();
    double pairs = causal ? n * (n + 1) / 2 : n * shape.querySeqLen();
    return 4 * pairs * shape.headDim() * shape.numHeads();
  }

  /// Largest deviation of some rows of an output from double precision.
  double error(float[] out) {
    int n = shape.querySeqLen();
    int nk = shape.keySeqLen();
    int d = shape.headDim();
    double worst = 0;
    for (int c = 0; c < CHECKED_ROWS; c++) {
      int head = c % shape.numHeads();
      int row = (int) ((long) c * (n - 1) / (CHECKED_ROWS - 1));
      double[] expected = row(head, row, causal ? row + 1 : nk, d);
      for (int x = 0; x < d; x++) {
        double difference = Math.abs(expected[x] - out[(head * n + row) * d + x]);
        worst = difference <= worst ? worst : difference;
      }
    }
    return worst;
  }

  /// Weights of one row.
  double[] weights(int head, int row, int keys, int d) {
    double[] scores = new double[keys];
    double max = Double.NEGATIVE_INFINITY;
    int q = (head * shape.querySeqLen() + row) * d;
    int k = head * shape.keySeqLen() * d;
    for (int j = 0; j < keys; j++) {
      for (int x = 0; x < d; x++) {
        double product = (double) query.data()[q + x] * key.data()[k + j * d + x];
        scores[j] += product / Math.sqrt(d);
      }
      max = Math.max(max, scores[j]);
    }
    double sum = 0;
    for (int j = 0; j < keys; j++) {
      scores[j] = Math.exp(scores[j] - max);
      sum += scores[j];
    }
    for (int j = 0; j < keys; j++) {
      scores[j] /= sum;
    }
    return scores;
  }

  private double[] row(int head, int row, int keys, int d) {
    double[] weights = weights(head, row, keys, d);
    double[] out = new double[d];
    for (int j = 0; j < keys; j++) {
      for (int x = 0; x < d; x++) {
        out[x] += weights[j] * value.data()[(head * shape.keySeqLen() + j) * d + x];
      }
    }
    return out;
  }
}
