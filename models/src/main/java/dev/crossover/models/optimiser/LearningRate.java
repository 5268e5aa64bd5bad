// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.optimiser;

/// A learning rate that depends on the step.
///
/// Warm-up: base (s + 1)/W for s < W; then constant, or cosine: base (r + (1 − r)(1 + cos(π (s −
/// W)/(T − W)))/2), held after T. Noam (Vaswani et al. 2017): factor · width^(−1/2) ·
/// min(t^(−1/2), t W^(−3/2)), t = s + 1.
///
/// @param schedule `constant`, `cosine` or `noam`
/// @param base the rate after the warm-up
/// @param warmup W
/// @param totalSteps T
/// @param leastRatio r
/// @param noamFactor factor of noam
/// @param noamWidth width of noam
public record LearningRate(
    String schedule,
    double base,
    double warmup,
    double totalSteps,
    double leastRatio,
    double noamFactor,
    double noamWidth) {

  /// The rate of a step, counted from 0.
  public double at(long step) {
    if (schedule.equals("noam")) {
      double t = step + 1.0;
      double rise = warmup > 0 ? t * Math.pow(warmup, -1.5) : Double.POSITIVE_INFINITY;
      return noamFactor / Math.sqrt(noamWidth) * Math.min(1 / Math.sqrt(t), rise);
    }
    if (step < warmup) {
      return base * (step + 1) / warmup;
    }
    if (schedule.equals("constant")) {
      return base;
    }
    double span = Math.max(1, totalSteps - warmup);
    double done = Math.min(1, (step - warmup) / span);
    return base * (leastRatio + (1 - leastRatio) * 0.5 * (1 + Math.cos(Math.PI * done)));
  }
}
