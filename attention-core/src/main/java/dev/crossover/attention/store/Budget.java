// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import java.util.OptionalDouble;
import java.util.OptionalInt;

/// How many positions stay: a number, or a share of the prompt.
final class Budget {
  private Budget() {}

  /// Positions kept where neither is given.
  private static final int DEFAULT = 1024;

  /// Refuses both at once and what is out of range.
  static void check(OptionalInt budget, OptionalDouble ratio) {
    if (budget.isPresent() && ratio.isPresent()) {
      throw new IllegalArgumentException(
          "budget must be absent where compression_ratio is given, but was " + budget.getAsInt());
    }
    if (budget.orElse(1) < 1) {
      throw new IllegalArgumentException("budget must be >= 1, but was " + budget.getAsInt());
    }
    double share = ratio.orElse(0);
    if (!(share >= 0 && share < 1)) {
      throw new IllegalArgumentException("compression_ratio must be in [0, 1), but was " + share);
    }
  }

  /// The number, 1024 where nothing is given, or `(int) (prompt · (1 − ratio))`, evaluated in
  /// double and truncated.
  static int of(OptionalInt budget, OptionalDouble ratio, int prompt) {
    return ratio.isPresent() ? (int) (prompt * (1 - ratio.getAsDouble())) : budget.orElse(DEFAULT);
  }
}
