// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.UpdateRule;

/// A rule of Mamba's layers, which complete the output y of the recurrence, both ways, by a skip D
/// per head and a gate z per element.
///
/// ```
/// out = (y + D x) · silu(z)
/// dy  = dout silu(z),   dz = dout (y + D x) (s + z s (1 − s)),   s = σ(z)
/// dx += D dy,           dD = Σ x·dy
/// ```
///
/// Absent, they are 0 and 1. They act at padded positions, too.
public abstract class SkipAndGate implements UpdateRule {
  /// Number of heads.
  protected final int heads;

  /// Number of pairs of a batch entry and a head.
  protected final int problems;

  private final Kernels kernels = Kernels.get();
  private final int valueDim;
  private float[] skip = UNWANTED;
  private float[] gate = UNWANTED;
  private float[] x = UNWANTED;
  private float[] gradSkip = UNWANTED;
  private float[] gradGate = UNWANTED;
  private float[] gradX = UNWANTED;
  private double[] skipParts = new double[0];

  /// For one plan or session.
  protected SkipAndGate(AttentionShape shape) {
    heads = shape.numHeads();
    problems = shape.problems();
    valueDim = shape.valueDim();
  }

  @Override
  public void bind(BoundTensors inputs) {
    x = inputs.get("v");
    skip = States.place(inputs, "skip");
    gate = States.place(inputs, "output_gate");
  }

  @Override
  public final boolean finishes() {
    return true;
  }

  @Override
  public final boolean readsUnfinished() {
    return true;
  }

  @Override
  public final void finish(
      int head, int row, int from, int count, float[] out, int at, float[] work) {
    int first = row * valueDim + from;
    for (int c = 0; c < count && skip.length > 0; c++) {
      out[at + c] = Math.fma(skip[head], x[first + c], out[at + c]);
    }
    if (gate.length > 0) {
      kernels.exp(count, -1, 0, gate, first, work, 0);
      for (int c = 0; c < count; c++) {
        out[at + c] *= gate[first + c] / (1 + work[c]);
      }
    }
  }

  @Override
  public void allocateGradients(AttentionShape shape, int parts, Scratch scratch) {
    skipParts = scratch.doubles(parts);
  }

  @Override
  public void bindGradients(BoundTensors gradients) {
    gradSkip = States.place(gradients, "skip");
    gradGate = States.place(gradients, "output_gate");
    gradX = States.place(gradients, "v");
  }

  @Override
  public final void finishBack(
      int part,
      int head,
      int row,
      int count,
      float[] unfinished,
      float[] out,
      float[] gradOut,
      float[] grad) {
    int at = row * valueDim;
    int size = count * valueDim;
    if (gate.length == 0) {
      System.arraycopy(gradOut, at, grad, at, size);
    } else {
      kernels.exp(size, -1, 0, gate, at, grad, at);
      for (int e = at; e < at + size && gradGate.length > 0; e++) {
        float s = 1 / (1 + grad[e]);
        float y = skip.length == 0 ? unfinished[e] : Math.fma(skip[head], x[e], unfinished[e]);
        gradGate[e] += gradOut[e] * y * Math.fma(gate[e] * s, 1 - s, s);
      }
      for (int e = at; e < at + size; e++) {
        grad[e] = gradOut[e] * gate[e] / (1 + grad[e]);
      }
    }
    if (skip.length == 0) {
      return;
    }
    double sum = 0;
    for (int o = at; o < at + size; o += valueDim) {
      sum += kernels.dot(valueDim, x, o, grad, o);
    }
    skipParts[part] = sum;
    if (gradX.length > 0) {
      kernels.axpy(size, skip[head], grad, at, gradX, at);
    }
  }

  /// Adds the gradient of D, the parts in their order.
  @Override
  public void addGradients() {
    if (gradSkip.length == 0) {
      return;
    }
    int chunks = problems == 0 ? 0 : skipParts.length / problems;
    for (int head = 0; head < heads; head++) {
      double sum = 0;
      for (int problem = head; problem < problems; problem += heads) {
        for (int part = problem * chunks; part < (problem + 1) * chunks; part++) {
          sum += skipParts[part];
        }
      }
      gradSkip[head] += (float) sum;
    }
  }
}
