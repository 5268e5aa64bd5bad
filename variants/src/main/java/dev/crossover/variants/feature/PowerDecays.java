// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;

/// The cumulative decays c of [Power] in double, and the last real key up to each position: weights
/// are taken relative to that of the last key a row sees.
final class PowerDecays {
  /// Stands for −∞, so that differences remain numbers.
  private static final double FORGET = -1e4;

  private final AttentionShape shape;
  private final Mask mask;
  private final int n;
  private final double[] cumulative;
  private final int[] lastReal;
  private final Workers.Task head = this::head;
  private float[] logDecay = new float[0];

  PowerDecays(AttentionShape shape, Mask mask, Scratch scratch) {
    this.shape = shape;
    this.mask = mask;
    n = shape.keySeqLen();
    cumulative = scratch.doubles((long) shape.batchSize() * shape.numKeyValueHeads() * n);
    lastReal = scratch.ints(mask.hasKeyPadding() ? (long) shape.batchSize() * n : 0);
    for (int row = 0; row < lastReal.length; row++) {
      int before = row % n == 0 ? -1 : lastReal[row - 1];
      lastReal[row] = mask.isRealKey(row / n, row % n) ? row % n : before;
    }
  }

  /// A decay's logarithm, kept finite.
  static double finite(float g) {
    return Math.max(FORGET, g);
  }

  /// Takes `log_decay`, or an empty array without decay.
  void bind(float[] newLogDecay, Workers workers) {
    logDecay = newLogDecay;
    if (logDecay.length > 0) {
      workers.run(shape.batchSize() * shape.numKeyValueHeads(), head);
    }
  }

  /// The decay goes on at padded positions; what is no decay, a NaN above all, forgets nothing.
  private void head(int worker, int keyHead) {
    double sum = 0;
    for (int j = 0; j < n; j++) {
      float g = logDecay[keyHead * n + j];
      boolean real = mask.isRealKey(keyHead / shape.numKeyValueHeads(), j);
      sum += real || g <= 0 ? finite(g) : 0;
      cumulative[keyHead * n + j] = sum;
    }
  }

  /// Whether keys decay.
  boolean decay() {
    return logDecay.length > 0;
  }

  /// c of a key.
  double at(int keyHead, int j) {
    return cumulative[keyHead * n + j];
  }

  /// Last real key up to position j; −1 if there is none.
  int lastReal(int batch, int j) {
    return lastReal.length == 0 ? j : lastReal[batch * n + j];
  }
}
