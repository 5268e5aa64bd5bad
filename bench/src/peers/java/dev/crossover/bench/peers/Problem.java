// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;

/// One attention problem: Gaussian inputs, n queries or, for decoding, one.
///
/// @param shape sizes
/// @param causal whether query i sees keys up to i only
/// @param query `[batch, heads, nq, d]`
/// @param key `[batch, key/value heads, n, d]`
/// @param value `[batch, key/value heads, n, d]`
record Problem(AttentionShape shape, boolean causal, Tensor query, Tensor key, Tensor value) {
  private static final int CHECKED_ROWS = 50;
  private static final int CHECKED_GRADIENTS = 20;

  /// As many queries as keys.
  static Problem of(int batch, int heads, int n, int d, boolean causal) {
    return of(AttentionShape.of(batch, heads, n, d), causal);
  }

  /// Several query heads share keys and values.
  static Problem grouped(int heads, int keyValueHeads, int n, int d, boolean causal) {
    return of(new AttentionShape(1, heads, keyValueHeads, n, n, d, d, d), causal);
  }

  /// One query over many keys.
  static Problem decoding(int heads, int keys, int d) {
    return of(new AttentionShape(1, heads, heads, 1, keys, d, d, d), false);
  }

  private static Problem of(AttentionShape s, boolean causal) {
    int batch = s.batchSize();
    int d = s.headDim();
    return new Problem(
        s,
        causal,
        Draws.gaussian(1, batch, s.numHeads(), s.querySeqLen(), d),
        Draws.gaussian(2, batch, s.numKeyValueHeads(), s.keySeqLen(), d),
        Draws.gaussian(3, batch, s.numKeyValueHeads(), s.keySeqLen(), d));
  }

  /// The mask, as in the table.
  String label() {
    return causal ? "causal" : shape.querySeqLen() == 1 ? "decoding" : "none";
  }

  /// Batch entries, heads and width, as in the table.
  String sizes() {
    String heads =
        shape.numHeads() == shape.numKeyValueHeads()
            ? Integer.toString(shape.numHeads())
            : shape.numHeads() + "/" + shape.numKeyValueHeads();
    return shape.batchSize() + " × " + heads + " × " + shape.headDim();
  }

  /// Keys or values with a copy for every query head that shares them, for those that cannot share.
  float[] repeated(Tensor x) {
    int group = shape.numHeads() / shape.numKeyValueHeads();
    int size = shape.keySeqLen() * shape.headDim();
    float[] all = new float[shape.problems() * size];
    for (int head = 0; head < shape.problems(); head++) {
      System.arraycopy(x.data(), head / group * size, all, head * size, size);
    }
    return all;
  }

  /// Bytes of the keys and values.
  double bytes() {
    return 8.0 * shape.batchSize() * shape.numKeyValueHeads() * shape.keySeqLen() * shape.headDim();
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
    return 4 * pairs * shape.headDim() * shape.problems();
  }

  /// Largest deviation of some rows of an output from double precision.
  double error(float[] out) {
    int n = shape.querySeqLen();
    int nk = shape.keySeqLen();
    int d = shape.headDim();
    double worst = 0;
    for (int c = 0; c < CHECKED_ROWS; c++) {
      int head = c % shape.problems();
      int row = (int) ((long) c * (n - 1) / (CHECKED_ROWS - 1));
      double[] expected = row(head, row, causal ? row + 1 : nk, d);
      for (int x = 0; x < d; x++) {
        double difference = Math.abs(expected[x] - out[(head * n + row) * d + x]);
        worst = difference <= worst ? worst : difference;
      }
    }
    return worst;
  }

  /// Largest deviation of some rows of a gradient of q from double precision: Σ_j p_j (∂p_j − Σ p
  /// ∂p) k_j / √d.
  ///
  /// @param gradOut gradient of the output
  /// @param gradQuery what is checked
  double error(float[] gradOut, float[] gradQuery) {
    int n = shape.querySeqLen();
    int d = shape.headDim();
    double worst = 0;
    for (int c = 0; c < CHECKED_GRADIENTS; c++) {
      int head = c % shape.problems();
      int row = (int) ((long) c * (n - 1) / (CHECKED_GRADIENTS - 1));
      int at = (head * n + row) * d;
      int keys = keysOf(head);
      double[] p = weights(head, row, causal ? row + 1 : n, d);
      double[] slopes = new double[p.length];
      double mean = 0;
      for (int j = 0; j < p.length; j++) {
        for (int x = 0; x < d; x++) {
          slopes[j] += (double) gradOut[at + x] * value.data()[keys + j * d + x];
        }
        mean += p[j] * slopes[j];
      }
      for (int x = 0; x < d; x++) {
        double expected = 0;
        for (int j = 0; j < p.length; j++) {
          expected += p[j] * (slopes[j] - mean) * key.data()[keys + j * d + x] / Math.sqrt(d);
        }
        double difference = Math.abs(expected - gradQuery[at + x]);
        worst = difference <= worst ? worst : difference;
      }
    }
    return worst;
  }

  /// Where the keys and values of a query head begin.
  private int keysOf(int head) {
    return head * shape.numKeyValueHeads() / shape.numHeads() * shape.keySeqLen() * shape.headDim();
  }

  /// Weights of one row.
  private double[] weights(int head, int row, int keys, int d) {
    double[] scores = new double[keys];
    double max = Double.NEGATIVE_INFINITY;
    int q = (head * shape.querySeqLen() + row) * d;
    int k = keysOf(head);
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
        out[x] += weights[j] * value.data()[keysOf(head) + j * d + x];
      }
    }
    return out;
  }
}
