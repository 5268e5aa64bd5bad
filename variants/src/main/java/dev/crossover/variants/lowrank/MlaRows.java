// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.exact.ScoreOptions;
import dev.crossover.attention.exact.ScoreOptions.QkNorm;
import dev.crossover.attention.exact.ScoreOptions.Rope;
import dev.crossover.attention.exact.ScoreRows;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/// Norm of a latent and rotation of the shared key and of queries, of one worker, and their way
/// back.
final class MlaRows {
  private final ScoreRows norm;
  private final ScoreRows rotation;
  private final int r;
  private final int dr;
  private float[] latent = new float[0];
  private float[] keyRope = latent;
  private float @Nullable [] weight;

  MlaRows(Scratch scratch, Mla mla, AttentionShape shape) {
    r = mla.rank(shape);
    dr = mla.rotated(shape);
    norm = new ScoreRows(scratch, normed(mla), r);
    rotation = new ScoreRows(scratch, rotated(mla), dr);
  }

  static long bytes(Mla mla, AttentionShape s) {
    return ScoreRows.bytes(normed(mla), mla.rank(s))
        + ScoreRows.bytes(rotated(mla), mla.rotated(s));
  }

  private static ScoreOptions normed(Mla mla) {
    return ScoreOptions.ofRows(
        QkNorm.RMS, mla.eps(), Rope.NONE, mla.ropeBase(), OptionalInt.empty());
  }

  private static ScoreOptions rotated(Mla mla) {
    return ScoreOptions.ofRows(
        QkNorm.NONE, mla.eps(), mla.rope(), mla.ropeBase(), OptionalInt.empty());
  }

  /// Takes the tensors of a call.
  void bind(BoundTensors inputs) {
    latent = inputs.get("latent");
    keyRope = inputs.get("key_rope");
    weight = inputs.has("latent_norm_weight") ? inputs.get("latent_norm_weight") : null;
    boolean given = inputs.has("rope_frequencies");
    rotation.frequencies(given ? inputs.get("rope_frequencies") : null);
  }

  /// Writes [c ; t] of a row of the bound tensors.
  void key(int row, int position, float[] to, int o) {
    if (weight == null) {
      System.arraycopy(latent, row * r, to, o, r);
    } else {
      norm.forward(latent, row * r, weight, 0, to, o);
    }
    rotate(keyRope, row * dr, position, to, o + r);
  }

  /// Writes R(position) x.
  void rotate(float[] x, int xo, int position, float[] to, int o) {
    rotation.forward(x, xo, null, position, to, o);
  }

  /// Adds R(−position) g.
  void rotateBack(float[] x, int xo, int position, float[] g, int go, float[] gradX, int gxo) {
    rotation.backward(x, xo, null, position, g, go, gradX, gxo, null, 0);
  }

  /// Adds the gradient of c of a row to those of the latent and of the norm's weight; a row whose
  /// gradient is zero is not read.
  void normBack(
      int row,
      float[] g,
      int go,
      float @Nullable [] gradLatent,
      double @Nullable [] gradWeight,
      int wo) {
    if (weight != null) {
      norm.backward(latent, row * r, weight, 0, g, go, gradLatent, row * r, gradWeight, wo);
      return;
    }
    for (int c = 0; c < r && gradLatent != null; c++) {
      gradLatent[row * r + c] += g[go + c];
    }
  }

  /// Adds the gradient of t of a row to that of the shared key.
  void keyRopeBack(int row, int position, float[] g, int go, float[] gradKeyRope) {
    rotateBack(keyRope, row * dr, position, g, go, gradKeyRope, row * dr);
  }
}
