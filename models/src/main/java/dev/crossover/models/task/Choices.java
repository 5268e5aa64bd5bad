// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;

/// Draws and checks that several tasks share.
final class Choices {
  private Choices() {}

  /// `count` distinct numbers of `low … high - 1`, in random order.
  static int[] distinct(UniformRandomProvider random, int low, int high, int count) {
    int[] all = new int[high - low];
    for (int i = 0; i < all.length; i++) {
      all[i] = low + i;
    }
    for (int i = 0; i < count; i++) {
      int other = i + random.nextInt(all.length - i);
      int swapped = all[i];
      all[i] = all[other];
      all[other] = swapped;
    }
    return Arrays.copyOf(all, count);
  }

  /// An index drawn with probability proportional to its weight.
  static int weighted(UniformRandomProvider random, double[] weights) {
    double sum = 0;
    for (double weight : weights) {
      sum += weight;
    }
    double at = random.nextDouble() * sum;
    int last = 0;
    for (int i = 0; i < weights.length; i++) {
      if (weights[i] > 0) {
        last = i;
        at -= weights[i];
        if (at < 0) {
          return i;
        }
      }
    }
    return last;
  }

  /// Labels that ask nothing.
  static int[] unasked(int length) {
    int[] labels = new int[length];
    Arrays.fill(labels, Task.IGNORE);
    return labels;
  }

  /// Refuses a value below a bound.
  static void atLeast(String name, int value, int least) {
    if (value < least) {
      throw new IllegalArgumentException(name + " must be >= " + least + ", but was " + value);
    }
  }

  /// Refuses what breaks a rule.
  static void require(boolean holds, String name, String rule, Object value) {
    if (!holds) {
      throw new IllegalArgumentException(name + " must " + rule + ", but was " + value);
    }
  }
}
