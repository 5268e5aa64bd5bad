// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/// The gradients of a [Recurrence] by its reverse recurrence in double precision, one token at a
/// time, from states that are all kept:
///
/// ```
/// dq = scale S G,   dS += scale q Gᵀ                        G the row's upstream gradient
/// e  = v − [erasing] Pᵀk,   w = dSᵀk,   dβ = ⟨w, e⟩,   de = β w = dv
/// dk = β dS e − [erasing] P de,   dP = dS − [erasing] k deᵀ
/// dg = Σ_c dP ∘ P,   dS ← exp(g) ∘ dP
/// ```
public final class RecurrenceGradient {
  /// `[batch, heads, n, d]`, the last two `[…, dv]`.
  public final double[] q;

  /// As k.
  public final double[] k;

  /// As v.
  public final double[] v;

  /// Of g of every token and row of S, `[batch, heads, n, d]`.
  public final double[] logDecay;

  /// Of β, `[batch, heads, n]`.
  public final double[] strength;

  /// Of the state before the first token.
  public final double[] initialState;

  private final Recurrence recurrence;
  private final AttentionShape shape;
  private final Mask mask;
  private final Tensors inputs;
  private final int n;
  private final int d;
  private final int dv;

  /// @param gradOut upstream gradient of the output
  /// @param gradState upstream gradient of the final state, or null
  public RecurrenceGradient(
      Recurrence recurrence,
      AttentionShape shape,
      Mask mask,
      Tensors inputs,
      Tensor gradOut,
      @Nullable Tensor gradState) {
    this.recurrence = recurrence;
    this.shape = shape;
    this.mask = mask;
    this.inputs = inputs;
    n = shape.querySeqLen();
    d = shape.headDim();
    dv = shape.valueDim();
    int rows = shape.problems() * n;
    q = new double[rows * d];
    k = new double[rows * d];
    v = new double[rows * dv];
    logDecay = new double[rows * d];
    strength = new double[rows];
    initialState = new double[shape.problems() * d * dv];
    for (int p = 0; p < shape.problems(); p++) {
      head(p, gradOut, gradState);
    }
  }

  private void head(int p, Tensor gradOut, @Nullable Tensor gradState) {
    double[][] before = new double[n + 1][d * dv];
    double[][] decayed = new double[n][];
    if (inputs.has("initial_state")) {
      for (int e = 0; e < d * dv; e++) {
        before[0][e] = inputs.get("initial_state").data()[p * d * dv + e];
      }
    }
    for (int t = 0; t < n; t++) {
      decayed[t] = decayed(p, t, before[t]);
      before[t + 1] = written(p, t, decayed[t]);
    }
    double[] ds = new double[d * dv];
    for (int e = 0; e < d * dv && gradState != null; e++) {
      ds[e] = gradState.data()[p * d * dv + e];
    }
    for (int t = n - 1; t >= 0; t--) {
      token(p, t, decayed[t], before[t + 1], ds, gradOut);
    }
    System.arraycopy(ds, 0, initialState, p * d * dv, d * dv);
  }

  private boolean real(int p, int t) {
    return mask.isRealKey(p / shape.numHeads(), t);
  }

  private double factor(int p, int t, int a) {
    boolean decays = real(p, t) || recurrence.decaysAtPadding();
    return decays ? Math.exp(recurrence.logDecay().at(p * n + t, a)) : 1;
  }

  private double[] decayed(int p, int t, double[] state) {
    double[] result = new double[d * dv];
    for (int a = 0; a < d; a++) {
      double factor = factor(p, t, a);
      for (int e = a * dv; e < (a + 1) * dv; e++) {
        result[e] = factor * state[e];
      }
    }
    return result;
  }

  /// v − Pᵀk, of a real token.
  private double[] error(int row, double[] decayed) {
    float[] key = inputs.get("k").data();
    float[] value = inputs.get("v").data();
    double[] error = new double[dv];
    for (int c = 0; c < dv; c++) {
      error[c] = value[row * dv + c];
      for (int a = 0; a < d && recurrence.erases(); a++) {
        error[c] -= decayed[a * dv + c] * key[row * d + a];
      }
    }
    return error;
  }

  private double[] written(int p, int t, double[] decayed) {
    double[] result = decayed.clone();
    if (real(p, t)) {
      int row = p * n + t;
      double[] error = error(row, decayed);
      double beta = recurrence.strength().at(row, 0);
      float[] key = inputs.get("k").data();
      for (int a = 0; a < d; a++) {
        for (int c = 0; c < dv; c++) {
          result[a * dv + c] += beta * key[row * d + a] * error[c];
        }
      }
    }
    return result;
  }

  private void token(int p, int t, double[] decayed, double[] state, double[] ds, Tensor gradOut) {
    int row = p * n + t;
    float[] query = inputs.get("q").data();
    for (int a = 0; a < d; a++) {
      for (int c = 0; c < dv; c++) {
        double g = recurrence.scale() * gradOut.data()[row * dv + c];
        q[row * d + a] += g * state[a * dv + c];
        ds[a * dv + c] += g * query[row * d + a];
      }
    }
    if (real(p, t)) {
      write(row, decayed, ds);
    }
    boolean decays = real(p, t) || recurrence.decaysAtPadding();
    for (int a = 0; a < d; a++) {
      double factor = factor(p, t, a);
      for (int e = a * dv; e < (a + 1) * dv; e++) {
        logDecay[row * d + a] += decays ? ds[e] * decayed[e] : 0;
        ds[e] *= factor;
      }
    }
  }

  private void write(int row, double[] decayed, double[] ds) {
    float[] key = inputs.get("k").data();
    double beta = recurrence.strength().at(row, 0);
    double[] error = error(row, decayed);
    double[] de = new double[dv];
    for (int c = 0; c < dv; c++) {
      double w = 0;
      for (int a = 0; a < d; a++) {
        w += ds[a * dv + c] * key[row * d + a];
      }
      strength[row] += w * error[c];
      de[c] = beta * w;
      v[row * dv + c] += de[c];
    }
    for (int a = 0; a < d; a++) {
      for (int c = 0; c < dv; c++) {
        int e = a * dv + c;
        k[row * d + a] += beta * ds[e] * error[c];
        if (recurrence.erases()) {
          k[row * d + a] -= decayed[e] * de[c];
          ds[e] -= key[row * d + a] * de[c];
        }
      }
    }
  }
}
