// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/// Recurrences over a matrix state by naive loops in double precision, one token at a time:
///
/// ```
/// P = exp(g_t) ∘ S,   S ← P + β_t k_t (v_t − [erasing] Pᵀk_t)ᵀ,   out_t = scale Sᵀq_t
/// ```
///
/// @param scale factor on queries
/// @param logDecay g of a token and row of S
/// @param decaysAtPadding whether g applies at padded positions, where nothing is written
/// @param strength β of a token
/// @param erases whether what S holds at the key is subtracted
public record Recurrence(
    double scale, PerToken logDecay, boolean decaysAtPadding, PerToken strength, boolean erases) {

  /// A number per token.
  @FunctionalInterface
  public interface PerToken {
    /// @param row `(batch · heads + head) · n + t`
    /// @param a row of S, for what differs between them
    double at(int row, int a);
  }

  /// Output `[batch, heads, n, dv]` and state `[batch, heads, d, dv]` after the last token.
  public record Result(double[] out, double[] state) {}

  /// Runs over `q`, `k`, `v` and, if given, from `initial_state`.
  public Result run(AttentionShape s, Mask mask, Tensors inputs) {
    int n = s.querySeqLen();
    int d = s.headDim();
    int dv = s.valueDim();
    double[] out = new double[s.problems() * n * dv];
    double[] state = new double[s.problems() * d * dv];
    Tensor initial = inputs.has("initial_state") ? inputs.get("initial_state") : null;
    for (int p = 0; p < s.problems(); p++) {
      double[] head = initial(initial, p, d * dv);
      for (int t = 0; t < n; t++) {
        int row = p * n + t;
        boolean real = !mask.hasKeyPadding() || mask.padding().isReal(p / s.numHeads(), t);
        step(head, row, real, d, dv, inputs);
        for (int c = 0; c < dv; c++) {
          for (int a = 0; a < d; a++) {
            out[row * dv + c] += scale * inputs.get("q").data()[row * d + a] * head[a * dv + c];
          }
        }
      }
      System.arraycopy(head, 0, state, p * d * dv, d * dv);
    }
    return new Result(out, state);
  }

  private static double[] initial(@Nullable Tensor initial, int problem, int size) {
    double[] head = new double[size];
    for (int e = 0; e < size && initial != null; e++) {
      head[e] = initial.data()[problem * size + e];
    }
    return head;
  }

  private void step(double[] head, int row, boolean real, int d, int dv, Tensors inputs) {
    float[] k = inputs.get("k").data();
    float[] v = inputs.get("v").data();
    for (int a = 0; a < d && (real || decaysAtPadding); a++) {
      double factor = Math.exp(logDecay.at(row, a));
      for (int c = 0; c < dv; c++) {
        head[a * dv + c] *= factor;
      }
    }
    for (int c = 0; c < dv && real; c++) {
      double value = v[row * dv + c];
      for (int a = 0; a < d && erases; a++) {
        value -= head[a * dv + c] * k[row * d + a];
      }
      for (int a = 0; a < d; a++) {
        head[a * dv + c] += strength.at(row, 0) * k[row * d + a] * value;
      }
    }
  }
}
