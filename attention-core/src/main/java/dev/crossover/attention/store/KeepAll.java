// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import java.util.Arrays;

/// Keeps every position: what a session does that is asked for a store, but for no policy.
record KeepAll() implements CachePolicy {
  @Override
  public String name() {
    return "all";
  }

  @Override
  public int budget(int prompt) {
    return Integer.MAX_VALUE;
  }

  @Override
  public void score(CacheView view, int head, double[] scores) {
    Arrays.fill(scores, 0, view.cached(), Double.POSITIVE_INFINITY);
  }
}
