// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.exact.ScoreOptions.QkNorm;
import dev.crossover.attention.exact.ScoreOptions.Rope;
import org.jspecify.annotations.Nullable;

/// Norm and rotation of query and key rows, and their way back.
///
/// ```
/// u = N(x);  y = u ∘ weight;  z = c R(position) y
/// e = (c R(−position) ∂z) ∘ weight;  ∂weight += ∂y ∘ u
/// rms: ∂x = (e − u mean(e u)) / r;  layer: … − mean e;  l2: ∂x = (e − u (u · e)) / │x│
/// ```
///
/// Angles are formed in double precision. One instance belongs to one worker.
public final class ScoreRows {
  private final ScoreOptions options;
  private final int dim;
  private final int pairs;
  private final double[] frequencies;
  private final float[] unit;
  private final float[] row;
  private boolean given;

  /// @param scratch allocator
  /// @param options norm and rotation; the others are not looked at
  /// @param dim width of a row
  public ScoreRows(Scratch scratch, ScoreOptions options, int dim) {
    this.options = options;
    this.dim = dim;
    pairs = options.rotated(dim) / 2;
    frequencies = scratch.doubles(pairs);
    unit = scratch.floats(dim);
    row = scratch.floats(dim);
    fromBase();
  }

  private void fromBase() {
    for (int a = 0; a < pairs; a++) {
      frequencies[a] = Math.pow(options.ropeBase(), -(double) a / pairs);
    }
  }

  /// Bytes the constructor allocates.
  public static long bytes(ScoreOptions options, int dim) {
    return options.rotated(dim) / 2 * (long) Double.BYTES + 2L * dim * Float.BYTES;
  }

  /// Takes frequencies instead of those of the base; null for those of the base.
  public void frequencies(float @Nullable [] instead) {
    for (int a = 0; a < pairs && instead != null; a++) {
      frequencies[a] = instead[a];
    }
    if (given && instead == null) {
      fromBase();
    }
    given = instead != null;
  }

  /// Writes the row that scores are made of.
  ///
  /// @param weight multiplies the normalised row; null for 1
  public void forward(
      float[] x, int xo, float @Nullable [] weight, int position, float[] z, int zo) {
    normalise(x, xo);
    for (int c = 0; c < dim; c++) {
      z[zo + c] = weight == null ? unit[c] : unit[c] * weight[c];
    }
    rotate(z, zo, position);
  }

  /// Adds a gradient of a row that scores were made of to that of the row itself. Where it is zero,
  /// as behind padding, the row is not read: it may hold anything.
  ///
  /// @param gradX added to from `gxo`; null where it is not wanted
  /// @param gradWeight added to from `wo`; null where it is not wanted
  public void backward(
      float[] x,
      int xo,
      float @Nullable [] weight,
      int position,
      float[] gradZ,
      int go,
      float @Nullable [] gradX,
      int gxo,
      double @Nullable [] gradWeight,
      int wo) {
    System.arraycopy(gradZ, go, row, 0, dim);
    if (isZero(row)) {
      return;
    }
    rotate(row, 0, -(long) position - 2L * options.ropeOffset());
    double root = normalise(x, xo);
    double dot = 0;
    double sum = 0;
    for (int c = 0; c < dim; c++) {
      if (gradWeight != null) {
        gradWeight[wo + c] += (double) row[c] * unit[c];
      }
      row[c] *= weight == null ? 1 : weight[c];
      dot += (double) row[c] * unit[c];
      sum += row[c];
    }
    if (gradX == null) {
      return;
    }
    for (int c = 0; c < dim; c++) {
      double slope =
          switch (options.qkNorm()) {
            case NONE -> row[c];
            case RMS -> (row[c] - unit[c] * dot / dim) / root;
            case LAYER -> (row[c] - sum / dim - unit[c] * dot / dim) / root;
            case L2 -> root <= 0 ? row[c] / -root : (row[c] - unit[c] * dot) / root;
          };
      gradX[gxo + c] += (float) slope;
    }
  }

  private static boolean isZero(float[] values) {
    for (float value : values) {
      if (value != 0) {
        return false;
      }
    }
    return true;
  }

  /// Writes the normalised row to `unit`; returns what it was divided by, negative where that was a
  /// bound and not a function of the row.
  private double normalise(float[] x, int xo) {
    if (options.qkNorm() == QkNorm.NONE) {
      System.arraycopy(x, xo, unit, 0, dim);
      return 1;
    }
    double mean = 0;
    for (int c = 0; c < dim && options.qkNorm() == QkNorm.LAYER; c++) {
      mean += x[xo + c] / (double) dim;
    }
    double squares = 0;
    for (int c = 0; c < dim; c++) {
      double centred = x[xo + c] - mean;
      squares += centred * centred;
    }
    double eps = options.qkNormEps();
    double root =
        switch (options.qkNorm()) {
          case NONE -> 1;
          case RMS, LAYER -> Math.sqrt(squares / dim + eps);
          case L2 -> Math.max(Math.sqrt(squares), eps);
        };
    for (int c = 0; c < dim; c++) {
      unit[c] = (float) ((x[xo + c] - mean) / root);
    }
    boolean bounded = options.qkNorm() == QkNorm.L2 && Math.sqrt(squares) < eps;
    return bounded ? -root : root;
  }

  /// Rotates by the angles of a position, and multiplies by the concentration.
  private void rotate(float[] z, int zo, long position) {
    double factor = options.ropeConcentration();
    for (int a = 0; a < pairs; a++) {
      double angle = (position + options.ropeOffset()) * frequencies[a];
      double cosine = factor * Math.cos(angle);
      double sine = factor * Math.sin(angle);
      int u = zo + (options.rope() == Rope.INTERLEAVED ? 2 * a : a);
      int w = options.rope() == Rope.INTERLEAVED ? u + 1 : u + pairs;
      double first = z[u];
      double second = z[w];
      z[u] = (float) (first * cosine - second * sine);
      z[w] = (float) (second * cosine + first * sine);
    }
  }
}
