// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import java.util.Arrays;

/// Tables of how often each byte follows the k bytes before it, for k = 0 to some order: what a
/// text says without a model. A table that has seen little backs off to the one of a byte less, by
/// the interpolation of Witten and Bell (1991, method C):
///
/// ```
/// p_k(b | h) = (times of b after h + T p_(k−1)(b | h')) / (times of h + T),  p_(−1) = 1/256
/// ```
///
/// | symbol | what it is |
/// |--------|------------|
/// | h      | the k bytes before b |
/// | h'     | h without its first byte |
/// | T      | how many different bytes follow h |
final class ByteTables {
  /// The most bytes before one that fit, with it, into an int.
  static final int LONGEST_CONTEXT = 3;

  private final Table[] tables;

  /// Counts the bytes of a text up to a place.
  ///
  /// @param text all of it
  /// @param to first place that is not counted
  /// @param order the most bytes before one that are looked at, 0 to 3
  ByteTables(byte[] text, int to, int order) {
    tables = new Table[order + 1];
    for (int k = 0; k <= order; k++) {
      tables[k] = new Table(text, to, k);
    }
  }

  /// Mean bits that a byte costs, of those from one place to another.
  double bits(byte[] text, int from, int to) {
    double nats = 0;
    for (int at = from; at < to; at++) {
      nats -= Math.log(probability(text, at, Math.min(at, tables.length - 1)));
    }
    return nats / (to - from) / Math.log(2);
  }

  private double probability(byte[] text, int at, int k) {
    return k < 0 ? 1.0 / 256 : tables[k].probability(text, at, probability(text, at, k - 1));
  }

  /// Runs of k + 1 bytes as ascending numbers, and what is known of their first k.
  private static final class Table {
    private final int k;
    private int[] runs;
    private int[] times;
    private int[] contexts;
    private int[] totals;
    private int[] kinds;

    Table(byte[] text, int to, int k) {
      this.k = k;
      int[] all = new int[Math.max(0, to - k)];
      for (int i = 0; i < all.length; i++) {
        all[i] = run(text, i + k);
      }
      Arrays.sort(all);
      runs = new int[all.length];
      times = new int[all.length];
      contexts = new int[all.length];
      totals = new int[all.length];
      kinds = new int[all.length];
      int r = -1;
      int c = -1;
      for (int i = 0; i < all.length; i++) {
        if (c < 0 || contexts[c] != context(all[i])) {
          contexts[++c] = context(all[i]);
        }
        if (r < 0 || runs[r] != all[i]) {
          runs[++r] = all[i];
          kinds[c]++;
        }
        times[r]++;
        totals[c]++;
      }
      runs = Arrays.copyOf(runs, r + 1);
      times = Arrays.copyOf(times, r + 1);
      contexts = Arrays.copyOf(contexts, c + 1);
      totals = Arrays.copyOf(totals, c + 1);
      kinds = Arrays.copyOf(kinds, c + 1);
    }

    /// The bytes that end at a place as one number; ascending as the bytes do.
    private int run(byte[] text, int at) {
      int run = 0;
      for (int i = at - k; i <= at; i++) {
        run = run << 8 | text[i] & 0xff;
      }
      return run ^ Integer.MIN_VALUE;
    }

    private static int context(int run) {
      return (run ^ Integer.MIN_VALUE) >>> 8;
    }

    double probability(byte[] text, int at, double shorter) {
      int run = run(text, at);
      int c = Arrays.binarySearch(contexts, context(run));
      if (c < 0) {
        return shorter;
      }
      int r = Arrays.binarySearch(runs, run);
      double seen = r < 0 ? 0 : times[r];
      return (seen + kinds[c] * shorter) / (totals[c] + kinds[c]);
    }
  }
}
