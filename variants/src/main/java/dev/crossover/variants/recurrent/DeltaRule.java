// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.recurrent.UpdateRule;

/// The delta rule with strengths `beta`, with or without decay:
///
/// ```
/// P_t = exp(g_t) ∘ S_{t−1}            before the first of the rows of a token
/// S_t = P_t + β_t k_t (v_t − P_tᵀ k_t)ᵀ
/// ```
final class DeltaRule implements UpdateRule {
  private final Decay decay;
  private final double scale;
  private final int steps;
  private float[] beta = new float[0];
  private float[] logDecay = new float[0];
  private float[] gradBeta = UNWANTED;
  private float[] gradLogDecay = UNWANTED;

  /// @param decay what `log_decay` has a number for; where it is absent, g = 0
  /// @param steps rows of the recurrence per token
  DeltaRule(Decay decay, double scale, int steps) {
    this.decay = decay;
    this.scale = scale;
    this.steps = steps;
  }

  @Override
  public Decay decay() {
    return decay;
  }

  @Override
  public int steps() {
    return steps;
  }

  @Override
  public boolean erases() {
    return true;
  }

  @Override
  public void bind(BoundTensors inputs) {
    beta = inputs.get("beta");
    logDecay = States.place(inputs, "log_decay");
  }

  @Override
  public void bindGradients(BoundTensors gradients) {
    gradBeta = States.place(gradients, "beta");
    gradLogDecay = States.place(gradients, "log_decay");
  }

  @Override
  public float[] gradStrengths() {
    return gradBeta;
  }

  @Override
  public float[] gradLogDecays() {
    return gradLogDecay;
  }

  @Override
  public double scale() {
    return scale;
  }

  @Override
  public double logDecay(int head, int row) {
    return logDecay.length == 0 ? 0 : logDecay[row];
  }

  @Override
  public float[] logDecays() {
    return logDecay;
  }

  @Override
  public float writeStrength(int head, int row) {
    return beta[row];
  }
}
