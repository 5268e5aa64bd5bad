// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.BoundTensors;

/// The arrays of one backward call, which all workers read and write.
///
/// Rows of a head lie one after the other, heads one after the other. Places of gradients that
/// nobody asked for are empty.
final class GradientTensors {
  private static final float[] NOTHING = new float[0];

  float[] q = NOTHING;
  float[] k = NOTHING;
  float[] v = NOTHING;

  /// Whether the first state was given.
  boolean startsFromState;

  /// Gradient of `scale · Sᵀq`, `[heads, n, dv]`.
  float[] upstream = NOTHING;

  /// Gradient of the final state, or empty.
  float[] finalState = NOTHING;

  float[] gradQ = NOTHING;
  float[] gradK = NOTHING;
  float[] gradV = NOTHING;
  float[] gradInitial = NOTHING;

  /// Gradients of the states after chunks: of all, or per worker of one.
  final float[] reverses;

  /// Gradients of β v: of all rows, or per worker of one chunk.
  final float[] writes;

  GradientTensors(float[] reverses, float[] writes) {
    this.reverses = reverses;
    this.writes = writes;
  }

  void bind(BoundTensors inputs, BoundTensors places) {
    q = inputs.get("q");
    k = inputs.get("k");
    v = inputs.get("v");
    startsFromState = inputs.has(RecurrentPlan.INITIAL);
    gradQ = place(places, "q");
    gradK = place(places, "k");
    gradV = place(places, "v");
    gradInitial = place(places, RecurrentPlan.INITIAL);
  }

  private static float[] place(BoundTensors places, String input) {
    return places.has(input) ? places.get(input) : NOTHING;
  }
}
