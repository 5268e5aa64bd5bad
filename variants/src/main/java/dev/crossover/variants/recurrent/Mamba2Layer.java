// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import java.util.Arrays;

/// Mamba-2's layer core: time steps scale decay rates and inputs, a skip and a gate complete the
/// output.
///
/// ```
/// S_t   = exp(dt_t A) S_{t−1} + dt_t k_t x_tᵀ
/// out_t = (S_tᵀ q_t + D x_t) · silu(z_t)
/// ```
final class Mamba2Layer extends SkipAndGate {
  /// From here on softplus(x) = x in float32.
  private static final double LINEAR = 20;

  private final int groups;
  private final boolean softplus;
  private float[] timeStep = UNWANTED;
  private float[] bias = UNWANTED;
  private float[] rate = UNWANTED;
  private float[] gradTimeStep = UNWANTED;
  private float[] gradBias = UNWANTED;
  private float[] gradRate = UNWANTED;
  private float[] logDecayGradients = UNWANTED;
  private float[] strengthGradients = UNWANTED;
  private int tokens;

  Mamba2Layer(int groups, boolean softplus, AttentionShape shape) {
    super(shape);
    this.groups = groups;
    this.softplus = softplus;
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
    super.bind(inputs);
    timeStep = inputs.get("time_step");
    rate = inputs.get("decay_rate");
    bias = States.place(inputs, "time_step_bias");
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

  @Override
  public void allocateGradients(AttentionShape shape, int parts, Scratch scratch) {
    tokens = shape.querySeqLen();
    long rows = (long) shape.problems() * shape.querySeqLen();
    logDecayGradients = scratch.floats(rows);
    strengthGradients = scratch.floats(rows);
    super.allocateGradients(shape, parts, scratch);
  }

  @Override
  public void bindGradients(BoundTensors gradients) {
    super.bindGradients(gradients);
    gradTimeStep = States.place(gradients, "time_step");
    gradBias = States.place(gradients, "time_step_bias");
    gradRate = States.place(gradients, "decay_rate");
    Arrays.fill(logDecayGradients, 0);
    Arrays.fill(strengthGradients, 0);
  }

  @Override
  public float[] gradLogDecays() {
    return logDecayGradients;
  }

  @Override
  public float[] gradStrengths() {
    return strengthGradients;
  }

  /// From the gradients of a_t and dt_t to those of time steps, their bias, and A; sums over tokens
  /// in their order.
  @Override
  public void addGradients() {
    super.addGradients();
    for (int head = 0; head < heads; head++) {
      double rateSum = 0;
      double biasSum = 0;
      for (int problem = head; problem < problems; problem += heads) {
        for (int row = problem * tokens; row < (problem + 1) * tokens; row++) {
          double decay = logDecayGradients[row];
          double strength = strengthGradients[row];
          if (decay != 0 || strength != 0) {
            rateSum += timeStep(head, row) * decay;
            double step = (decay * rate[head] + strength) * slope(head, row);
            biasSum += softplus ? step : 0;
            if (gradTimeStep.length > 0) {
              gradTimeStep[row] += (float) step;
            }
          }
        }
      }
      add(gradRate, head, rateSum);
      add(gradBias, head, biasSum);
    }
  }

  private static void add(float[] place, int head, double gradient) {
    if (place.length > 0) {
      place[head] += (float) gradient;
    }
  }

  /// Derivative of the time step with respect to what is given.
  private double slope(int head, int row) {
    if (!softplus) {
      return 1;
    }
    double raw = bias.length == 0 ? timeStep[row] : timeStep[row] + bias[head];
    return 1 / (1 + Math.exp(-raw));
  }
}
