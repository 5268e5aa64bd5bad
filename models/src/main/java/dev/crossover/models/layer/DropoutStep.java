// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

/// The number of the training step, from which all dropout of a model is drawn.
public final class DropoutStep {
  private long number;

  /// Step 0.
  public DropoutStep() {}

  /// The number of the step.
  public long number() {
    return number;
  }

  /// Sets the number of the step.
  public void set(long step) {
    number = step;
  }
}
