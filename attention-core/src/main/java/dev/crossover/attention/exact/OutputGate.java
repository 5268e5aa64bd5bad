// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import org.jspecify.annotations.Nullable;

/// The output gate: out = o ∘ σ(gate), one gate per feature or one per head.
final class OutputGate {
  private OutputGate() {}

  /// Multiplies rows in place.
  static void apply(AttentionShape s, float[] gate, boolean perHead, float[] rows) {
    int dv = s.valueDim();
    for (int row = 0; row < s.problems() * s.querySeqLen(); row++) {
      float open = perHead ? sigmoid(gate[row]) : 0;
      for (int e = row * dv; e < (row + 1) * dv; e++) {
        rows[e] *= perHead ? open : sigmoid(gate[e]);
      }
    }
  }

  /// Multiplies one row in place.
  ///
  /// @param width gates of the row: one, or one per feature
  static void row(int dv, float[] gate, int go, int width, float[] rows, int ro) {
    for (int e = 0; e < dv; e++) {
      rows[ro + e] *= sigmoid(gate[go + (width == 1 ? 0 : e)]);
    }
  }

  /// ∂gate += g ∘ o σ (1 − σ), summed over the features of a head's gate; writes g ∘ σ.
  static void backward(
      AttentionShape s,
      float[] gate,
      boolean perHead,
      float[] before,
      float[] gradOut,
      float[] gradBefore,
      float @Nullable [] gradGate) {
    int dv = s.valueDim();
    for (int row = 0; row < s.problems() * s.querySeqLen(); row++) {
      double sum = 0;
      float openHead = perHead ? sigmoid(gate[row]) : 0;
      for (int e = row * dv; e < (row + 1) * dv; e++) {
        float open = perHead ? openHead : sigmoid(gate[e]);
        float slope = gradOut[e] * before[e] * open * (1 - open);
        sum += slope;
        if (gradGate != null && !perHead) {
          gradGate[e] += slope;
        }
        gradBefore[e] = gradOut[e] * open;
      }
      if (gradGate != null && perHead) {
        gradGate[row] += (float) sum;
      }
    }
  }

  private static float sigmoid(float x) {
    return (float) (1 / (1 + Math.exp(-x)));
  }
}
