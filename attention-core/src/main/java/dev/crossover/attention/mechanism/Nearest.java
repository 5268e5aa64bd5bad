// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.mechanism;

import java.util.Collection;

/// Finds the name a typing error was meant to be.
public final class Nearest {
  /// Letters from which a part of a name, such as `features` of `num_features`, means that name.
  private static final int SHORTEST_PART = 5;

  private Nearest() {}

  /// `; did you mean X?` for the nearest candidate, or an empty text when none is near.
  public static String hint(String typed, Collection<String> candidates) {
    String nearest = "";
    int least = Math.max(2, typed.length() / 3) + 1;
    for (String candidate : candidates) {
      boolean part = typed.length() >= SHORTEST_PART && candidate.contains(typed);
      int distance = part ? 1 : editDistance(typed, candidate);
      if (distance < least) {
        least = distance;
        nearest = candidate;
      }
    }
    return nearest.isEmpty() ? "" : "; did you mean " + nearest + "?";
  }

  private static int editDistance(String a, String b) {
    int[] previous = new int[b.length() + 1];
    for (int j = 0; j <= b.length(); j++) {
      previous[j] = j;
    }
    for (int i = 1; i <= a.length(); i++) {
      int[] row = new int[b.length() + 1];
      row[0] = i;
      for (int j = 1; j <= b.length(); j++) {
        int substitute = previous[j - 1] + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
        row[j] = Math.min(substitute, Math.min(previous[j], row[j - 1]) + 1);
      }
      previous = row;
    }
    return previous[b.length()];
  }
}
