// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Scratch;

/// Rotation of queries and keys by their positions (Su et al. 2021, arXiv:2104.09864).
///
/// Pair a of a head turns by t · base^(−2a/d): (u, w) → (u cos φ − w sin φ, u sin φ + w cos φ).
/// Pairs lie half a head apart, or side by side when interleaved. The backward pass turns by −φ.
final class Rotary {
  private final int half;
  private final boolean interleaved;
  private final double base;
  private final int offset;
  private final float[] cosines;
  private final float[] sines;

  /// @param positions number of positions
  /// @param dim width of a head, even
  /// @param offset position of row 0
  Rotary(Scratch scratch, int positions, int dim, boolean interleaved, double base, int offset) {
    if (dim % 2 != 0) {
      throw new IllegalArgumentException("head width must be even for rope, but was " + dim);
    }
    this.half = dim / 2;
    this.interleaved = interleaved;
    this.base = base;
    this.offset = offset;
    cosines = scratch.floats((long) positions * half);
    sines = scratch.floats((long) positions * half);
    for (int t = 0; t < positions; t++) {
      fill(t, t * half);
    }
  }

  private void fill(int t, int at) {
    for (int a = 0; a < half; a++) {
      double angle = (double) (t + offset) * Math.pow(base, -(double) a / half);
      cosines[at + a] = (float) Math.cos(angle);
      sines[at + a] = (float) Math.sin(angle);
    }
  }

  /// Turns a row at position t in place; back again where `back`.
  void turn(float[] row, int at, int t, boolean back) {
    int table = t * half;
    float sign = back ? -1 : 1;
    if (interleaved) {
      for (int a = 0; a < half; a++) {
        float u = row[at + 2 * a];
        float w = row[at + 2 * a + 1];
        float sine = sign * sines[table + a];
        float cosine = cosines[table + a];
        row[at + 2 * a] = u * cosine - w * sine;
        row[at + 2 * a + 1] = u * sine + w * cosine;
      }
      return;
    }
    for (int a = 0; a < half; a++) {
      float u = row[at + a];
      float w = row[at + half + a];
      float sine = sign * sines[table + a];
      float cosine = cosines[table + a];
      row[at + a] = u * cosine - w * sine;
      row[at + half + a] = u * sine + w * cosine;
    }
  }
}
