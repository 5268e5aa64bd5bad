package dev.crossover.bench.peers;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;

/// One attention problem: batch 1, Gaussian inputs.
///
/// @param shape sizes
/// @param causal whether query i sees keys up to i only
/// @param query `[1, heads, n, d]`
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

  Mask mask() {
    return causal ? Mask.causal() : Mask.none();
  }

  Tensors inputs() {
    return Tensors.qkv(query, key, value);
  }

  /// Floating-point operations: 4 d per pair that the mask allows.
  double flops() {
    double n = shape.querySeqLen();
    double pairs = causal ? n * (n + 1) / 2 : n * n;
    return 4 * pairs * shape.headDim() * shape.numHeads();
  }

  /// Largest deviation of some rows of an output from double precision.
  double error(float[] out) {
    int n = shape.querySeqLen();
    int d = shape.headDim();
    double worst = 0;
    for (int c = 0; c < CHECKED_ROWS; c++) {
      int head = c % shape.numHeads();
      int row = (int) ((long) c * (n - 1) / (CHECKED_ROWS - 1));
      double[] expected = row(head * n * d, row, causal ? row + 1 : n, d);
      for (int x = 0; x < d; x++) {
        double difference = Math.abs(expected[x] - out[(head * n + row) * d + x]);
        worst = difference <= worst ? worst : difference;
      }
    }
    return worst;
  }

  private double[] row(int head, int row, int keys, int d) {
    double[] scores = new double[keys];
    double max = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < keys; j++) {
      for (int x = 0; x < d; x++) {
        double q = query.data()[head + row * d + x];
        scores[j] += q * key.data()[head + j * d + x] / Math.sqrt(d);
      }
      max = Math.max(max, scores[j]);
    }
    double sum = 0;
    double[] out = new double[d];
    for (int j = 0; j < keys; j++) {
      double weight = Math.exp(scores[j] - max);
      sum += weight;
      for (int x = 0; x < d; x++) {
        out[x] += weight * value.data()[head + j * d + x];
      }
    }
    for (int x = 0; x < d; x++) {
      out[x] /= sum;
    }
    return out;
  }
}
