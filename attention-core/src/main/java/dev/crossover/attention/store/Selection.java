// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import java.util.Arrays;

/// Marks the largest of some scores.
final class Selection {
  /// What a chosen score is replaced by.
  static final double STAYS = Double.POSITIVE_INFINITY;

  /// What any other score is replaced by.
  static final double GOES = Double.NEGATIVE_INFINITY;

  private Selection() {}

  /// Replaces the `wanted` largest of the first `count` scores by [#STAYS], the others by [#GOES].
  /// The lower index of equal scores is taken first; NaN counts as smallest.
  ///
  /// @param sorted scratch of `count` numbers
  static void markLargest(double[] scores, int count, int wanted, double[] sorted) {
    for (int j = 0; j < count; j++) {
      scores[j] = Double.isNaN(scores[j]) ? GOES : scores[j];
      sorted[j] = scores[j];
    }
    if (wanted >= count) {
      Arrays.fill(scores, 0, count, STAYS);
      return;
    }
    if (wanted <= 0) {
      Arrays.fill(scores, 0, count, GOES);
      return;
    }
    Arrays.sort(sorted, 0, count);
    double threshold = sorted[count - wanted];
    int larger = 0;
    for (int j = 0; j < count; j++) {
      larger += scores[j] > threshold ? 1 : 0;
    }
    int equal = wanted - larger;
    for (int j = 0; j < count; j++) {
      boolean stays = scores[j] > threshold || (scores[j] == threshold && equal-- > 0);
      scores[j] = stays ? STAYS : GOES;
    }
  }
}
