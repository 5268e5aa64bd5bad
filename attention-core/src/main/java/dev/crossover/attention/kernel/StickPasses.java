// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import java.util.Arrays;

/// The passes of stick-breaking attention over a tile of scores, in units of log 2 and key by key:
/// that of key c and row r is at `c * rows + r`. Rows lie side by side, so that the walk along the
/// keys, from the last to the first, is the same work for all of them at once.
///
/// A score of −∞ belongs to a key that a row may not see: nothing is broken off.
public final class StickPasses {
  private static final float LN_2 = 0.6931472f;

  private StickPasses() {}

  /// What a key takes of the stick and what it leaves, as logarithms: `lost = log2(1 + 2^s)` and
  /// `s ← s − lost`, the logarithm of a logistic function. Relative errors below 1e-6 + 1e-7 |s|,
  /// neither with cancellation.
  ///
  /// With e = 2^−|s|, log2(1 + e) = e · Q(e), where Q is the polynomial of [Kernels#softplus2].
  public static void logarithms(int n, float[] s, float[] lost) {
    for (int i = 0; i < n; i++) {
      lost[i] = -Math.abs(s[i]);
    }
    Kernels.get().exp(n, LN_2, 0, lost, 0, lost, 0);
    for (int i = 0; i < n; i++) {
      float e = lost[i];
      float q = 0.0073954021f * e - 0.0419450104f;
      q = q * e + 0.1118320748f;
      q = q * e - 0.1962389499f;
      q = q * e + 0.2752211988f;
      q = q * e - 0.3582990766f;
      q = q * e + 0.4806788862f;
      q = q * e - 0.7213395238f;
      q = q * e + 1.4426950216f;
      float both = e * q;
      float score = s[i];
      lost[i] = Math.max(score, 0) + both;
      s[i] = Math.min(score, 0) - both;
    }
  }

  /// `y = 2^s`.
  public static void powers(int n, float[] s, float[] y) {
    Kernels.get().exp(n, LN_2, 0, s, 0, y, 0);
  }

  /// Weights of a tile: `s ← 2^(s + what later keys left)`.
  ///
  /// @param s what [#logarithms] wrote
  /// @param lost what [#logarithms] wrote
  /// @param left logarithm of what keys after the tile left, one number per row; unchanged
  /// @param here receives the logarithm of what the tile leaves of that
  public static void weights(
      int keys, int rows, float[] s, float[] lost, float[] left, float[] here) {
    Arrays.fill(here, 0, rows, 0);
    for (int at = (keys - 1) * rows; at >= 0; at -= rows) {
      for (int r = 0; r < rows; r++) {
        float own = here[r];
        s[at + r] += left[r] + own;
        here[r] = own - lost[at + r];
      }
    }
    powers(keys * rows, s, s);
  }

  /// Gradients of the scores of a tile, `ds = a − share (rest − Σ a of later keys)` with `a =
  /// weight · products`.
  ///
  /// @param weight what [#weights] wrote
  /// @param share what a key takes of what it finds, 2^s of [#logarithms]
  /// @param products gradient of a row's output times the key's value; receives ds
  /// @param rest sum of a over the keys of the tile and those before it; unchanged
  /// @param here receives minus the sum of a over the tile
  public static void gradients(
      int keys,
      int rows,
      float[] weight,
      float[] share,
      float[] products,
      float[] rest,
      float[] here) {
    Arrays.fill(here, 0, rows, 0);
    for (int at = (keys - 1) * rows; at >= 0; at -= rows) {
      for (int r = 0; r < rows; r++) {
        float own = here[r];
        float a = weight[at + r] * products[at + r];
        products[at + r] = a - share[at + r] * (rest[r] + own);
        here[r] = own - a;
      }
    }
  }
}
