package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.UpdateRule;

/// Mamba-2's layer core: time steps scale decay rates and inputs, a skip and a gate complete the
/// output.
///
/// ```
/// S_t   = exp(dt_t A) S_{t−1} + dt_t k_t x_tᵀ
/// out_t = (S_tᵀ q_t + D x_t) · silu(z_t)
/// ```
final class Mamba2Layer implements UpdateRule {
  private static final float[] ABSENT = new float[0];

  /// From here on softplus(x) = x in float32.
  private static final double LINEAR = 20;

  private final int groups;
  private final boolean softplus;
  private final int valueDim;
  private float[] timeStep = ABSENT;
  private float[] bias = ABSENT;
  private float[] rate = ABSENT;
  private float[] skip = ABSENT;
  private float[] gate = ABSENT;
  private float[] x = ABSENT;

  Mamba2Layer(int groups, boolean softplus, int valueDim) {
    this.groups = groups;
    this.softplus = softplus;
    this.valueDim = valueDim;
  }

  @Override
  public Decay decay() {
    return Decay.TOKEN;
  }

  @Override
  public boolean weighsWrites() {
    return true;
  }

  @Override
  public int queryKeyHeads(AttentionShape shape) {
    return groups;
  }

  @Override
  public void bind(BoundTensors inputs) {
    timeStep = inputs.get("time_step");
    rate = inputs.get("decay_rate");
    skip = inputs.get("skip");
    x = inputs.get("v");
    bias = inputs.has("time_step_bias") ? inputs.get("time_step_bias") : ABSENT;
    gate = inputs.has("output_gate") ? inputs.get("output_gate") : ABSENT;
  }

  /// a_t = dt_t A.
  @Override
  public double logDecay(int head, int row) {
    return timeStep(head, row) * rate[head];
  }

  /// dt_t.
  @Override
  public float writeStrength(int head, int row) {
    return (float) timeStep(head, row);
  }

  private double timeStep(int head, int row) {
    double raw = timeStep[row];
    if (!softplus) {
      return raw;
    }
    double step = bias.length == 0 ? raw : raw + bias[head];
    return step > LINEAR ? step : Math.log1p(Math.exp(step));
  }

  /// (S_tᵀ q_t + D x_t) · silu(z_t), at padded positions too: there only the time step is 0.
  @Override
  public void finish(int head, int row, int from, int count, float[] out, int at, float[] work) {
    int first = row * valueDim + from;
    for (int c = 0; c < count; c++) {
      out[at + c] = Math.fma(skip[head], x[first + c], out[at + c]);
    }
    if (gate.length > 0) {
      Kernels.get().exp(count, -1, 0, gate, first, work, 0);
      for (int c = 0; c < count; c++) {
        out[at + c] *= gate[first + c] / (1 + work[c]);
      }
    }
  }
}
