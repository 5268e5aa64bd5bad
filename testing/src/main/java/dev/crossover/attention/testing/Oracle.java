// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.tensor.Tensor;
import java.util.function.DoubleUnaryOperator;
import org.jspecify.annotations.Nullable;

/// Attention by naive loops in double precision: one pair at a time, nothing shared with the
/// kernels.
///
/// Outputs are `[batch, heads, nq, dv]`, row-major. Masked pairs are never looked at.
public final class Oracle {
  private Oracle() {}

  /// A number for one (query, key) pair, for example its score or its weight.
  @FunctionalInterface
  public interface Pair {
    /// @param batch batch entry
    /// @param head query head
    /// @param i query position
    /// @param j key position
    double at(int batch, int head, int i, int j);
  }

  /// Exact softmax attention.
  public static double[] softmax(ExactTarget target) {
    if (target.selfLast()) {
      return softmax(
          target.shape(),
          target.mask(),
          target.value(),
          (b, h, i, j) ->
              target.scale() * dot(target.shape(), target.query(), target.key(), b, h, i, j)
                  - (i == j ? 1e9 : 0));
    }
    return softmax(
        target.shape(),
        target.mask(),
        target.query(),
        target.key(),
        target.value(),
        target.scale(),
        null);
  }

  /// Exact softmax attention with an optional `[1, heads, nq, nk]` addition to the scaled scores.
  public static double[] softmax(
      AttentionShape shape,
      Mask mask,
      Tensor query,
      Tensor key,
      Tensor value,
      double scale,
      @Nullable Tensor bias) {
    return softmax(
        shape,
        mask,
        value,
        (b, h, i, j) -> {
          double score = scale * dot(shape, query, key, b, h, i, j);
          if (bias != null) {
            int row = h * shape.querySeqLen() + i;
            score += bias.data()[row * shape.keySeqLen() + j];
          }
          return score;
        });
  }

  /// Softmax attention over any scores; −∞ means *may not attend*, and a row without keys is zero.
  public static double[] softmax(AttentionShape shape, Mask mask, Tensor value, Pair score) {
    double[] out = new double[outputSize(shape)];
    double[] scores = new double[shape.keySeqLen()];
    for (int b = 0; b < shape.batchSize(); b++) {
      for (int h = 0; h < shape.numHeads(); h++) {
        for (int i = 0; i < shape.querySeqLen(); i++) {
          double max = Double.NEGATIVE_INFINITY;
          for (int j = 0; j < scores.length; j++) {
            scores[j] =
                sees(shape, mask, b, i, j) ? score.at(b, h, i, j) : Double.NEGATIVE_INFINITY;
            max = Math.max(max, scores[j]);
          }
          if (max == Double.NEGATIVE_INFINITY) {
            continue;
          }
          double sum = 0;
          for (int j = 0; j < scores.length; j++) {
            scores[j] = Math.exp(scores[j] - max);
            sum += scores[j];
          }
          for (int j = 0; j < scores.length; j++) {
            if (scores[j] != 0) {
              addRow(shape, out, b, h, i, scores[j] / sum, value, j);
            }
          }
        }
      }
    }
    return out;
  }

  /// Weighted means `Σ_j w_ij v_j / (Σ_j w_ij + eps)` over the visible keys: normalised linear
  /// attention when the weights are products of features. A row whose denominator is 0 is zero.
  public static double[] normalised(
      AttentionShape shape, Mask mask, Tensor value, Pair weight, double eps) {
    return normalised(shape, mask, value, weight, sum -> sum + eps);
  }

  /// Weighted means `Σ_j w_ij v_j / rule(Σ_j w_ij)` over the visible keys; a row whose denominator
  /// is 0 is zero.
  public static double[] normalised(
      AttentionShape shape, Mask mask, Tensor value, Pair weight, DoubleUnaryOperator rule) {
    return weighted(shape, mask, value, weight, rule);
  }

  /// Weighted sums `Σ_j w_ij v_j` over the visible keys: linear attention without a denominator.
  public static double[] summed(AttentionShape shape, Mask mask, Tensor value, Pair weight) {
    return weighted(shape, mask, value, weight, _ -> 1);
  }

  /// `q_i · k_j` of a query head and the key/value head it reads.
  public static double dot(
      AttentionShape shape, Tensor query, Tensor key, int b, int h, int i, int j) {
    int d = shape.headDim();
    int group = shape.numHeads() / shape.numKeyValueHeads();
    int q = ((b * shape.numHeads() + h) * shape.querySeqLen() + i) * d;
    int k = ((b * shape.numKeyValueHeads() + h / group) * shape.keySeqLen() + j) * d;
    double sum = 0;
    for (int c = 0; c < d; c++) {
      sum += (double) query.data()[q + c] * key.data()[k + c];
    }
    return sum;
  }

  /// Whether a mask lets query `i` see key `j`.
  public static boolean sees(AttentionShape shape, Mask mask, int b, int i, int j) {
    boolean inOrder =
        !mask.isCausal() || j <= i + mask.causalOffset(shape.querySeqLen(), shape.keySeqLen());
    return inOrder && (!mask.hasKeyPadding() || mask.padding().isReal(b, j));
  }

  private static double[] weighted(
      AttentionShape shape, Mask mask, Tensor value, Pair weight, DoubleUnaryOperator rule) {
    double[] out = new double[outputSize(shape)];
    for (int b = 0; b < shape.batchSize(); b++) {
      for (int h = 0; h < shape.numHeads(); h++) {
        for (int i = 0; i < shape.querySeqLen(); i++) {
          double sum = 0;
          for (int j = 0; j < shape.keySeqLen(); j++) {
            if (sees(shape, mask, b, i, j)) {
              double w = weight.at(b, h, i, j);
              sum += w;
              addRow(shape, out, b, h, i, w, value, j);
            }
          }
          divideRow(shape, out, b, h, i, rule.applyAsDouble(sum));
        }
      }
    }
    return out;
  }

  private static void divideRow(
      AttentionShape shape, double[] out, int b, int h, int i, double by) {
    int dv = shape.valueDim();
    int o = ((b * shape.numHeads() + h) * shape.querySeqLen() + i) * dv;
    for (int c = 0; c < dv; c++) {
      out[o + c] = by == 0 ? 0 : out[o + c] / by;
    }
  }

  private static void addRow(
      AttentionShape shape, double[] out, int b, int h, int i, double w, Tensor value, int j) {
    int dv = shape.valueDim();
    int group = shape.numHeads() / shape.numKeyValueHeads();
    int o = ((b * shape.numHeads() + h) * shape.querySeqLen() + i) * dv;
    int v = ((b * shape.numKeyValueHeads() + h / group) * shape.keySeqLen() + j) * dv;
    for (int c = 0; c < dv; c++) {
      out[o + c] += w * value.data()[v + c];
    }
  }

  private static int outputSize(AttentionShape s) {
    return s.batchSize() * s.numHeads() * s.querySeqLen() * s.valueDim();
  }
}
