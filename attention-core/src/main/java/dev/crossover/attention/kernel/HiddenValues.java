// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.TILE;

import org.jspecify.annotations.Nullable;

/// Weights times value rows of which a group's rows do not see the same: a value that is not finite
/// must not meet the zero weight of a row that may not see it.
final class HiddenValues {
  private HiddenValues() {}

  /// Whether the value rows that some row of a group may not see are finite.
  ///
  /// @param first first row that some row of the group sees
  /// @param sharedFirst first row that all see
  /// @param holes whether a bias hides any
  static boolean finite(
      int valueDim,
      float[] v,
      int vo,
      int ldv,
      int first,
      int last,
      int sharedFirst,
      int sharedLast,
      boolean holes) {
    if (holes || sharedFirst >= sharedLast) {
      return VectorMath.finite(last - first, valueDim, v, vo + first * ldv, ldv);
    }
    return VectorMath.finite(sharedFirst - first, valueDim, v, vo + first * ldv, ldv)
        && VectorMath.finite(last - sharedLast, valueDim, v, vo + sharedLast * ldv, ldv);
  }

  /// `o[r] += Σ_j p[r][j] · v[j]` over what each of `count` rows sees, one element at a time.
  static void weigh(
      int count,
      int valueDim,
      float[] p,
      int[] begin,
      int[] end,
      float[] v,
      int vo,
      int ldv,
      float @Nullable [] bias,
      int bo,
      int ldb,
      float[] o,
      int oo,
      int ldo) {
    for (int r = 0; r < count; r++) {
      for (int j = begin[r]; j < end[r]; j++) {
        if (bias != null && bias[bo + r * ldb + j] == Float.NEGATIVE_INFINITY) {
          continue;
        }
        float weight = p[r * TILE + j];
        for (int c = 0; c < valueDim; c++) {
          int at = oo + r * ldo + c;
          o[at] = Math.fma(weight, v[vo + j * ldv + c], o[at]);
        }
      }
    }
  }
}
