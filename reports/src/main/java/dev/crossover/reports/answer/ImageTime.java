// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.Arrays;
import java.util.List;

/// Time to generate a whole sequence token by token, from the time of one token at several context
/// lengths.
///
/// The time of a token is interpolated linearly in log(time) over log(context) between neighbouring
/// measured contexts, which is exact for powers of n, taken constant below the smallest one, and
/// summed over the contexts 1 … n. Nothing is said beyond the largest measured context.
final class ImageTime {
  private ImageTime() {}

  /// Seconds for n tokens at the medians.
  static double seconds(Curve perToken, int n) {
    double[] logs = perToken.samples().stream().mapToDouble(s -> Math.log(s.median())).toArray();
    return sum(perToken.samples(), logs, n);
  }

  /// How many times longer one mechanism takes than another: the sum is formed within each fork,
  /// interval as in [Ratio].
  static Ratio ratio(Curve numerator, Curve denominator, int n) {
    double value = seconds(numerator, n) / seconds(denominator, n);
    return Ratio.of(value, logs(numerator.samples(), n), logs(denominator.samples(), n));
  }

  /// Logarithm of the seconds for n tokens, one for each fork that every context has.
  private static double[] logs(List<Sample> samples, int n) {
    double[][] logs = Logs.of(samples);
    double[] sums = new double[Logs.forks(samples)];
    for (int fork = 0; fork < sums.length; fork++) {
      int f = fork;
      sums[fork] =
          Math.log(sum(samples, Arrays.stream(logs).mapToDouble(row -> row[f]).toArray(), n));
    }
    return sums;
  }

  private static double sum(List<Sample> samples, double[] logs, int n) {
    if (samples.getLast().n() < n) {
      throw new IllegalArgumentException(
          "n must be <= the largest context " + samples.getLast().n() + ", but was " + n);
    }
    double sum = 0;
    int left = 0;
    for (int context = 1; context <= n; context++) {
      while (left + 2 < samples.size() && samples.get(left + 1).n() < context) {
        left++;
      }
      int right = Math.min(left + 1, samples.size() - 1);
      double span = Math.log((double) samples.get(right).n() / samples.get(left).n());
      double share = Math.log((double) context / samples.get(left).n()) / span;
      sum +=
          context <= samples.getFirst().n() || right == left
              ? Math.exp(logs[left])
              : Math.exp(logs[left] + share * (logs[right] - logs[left]));
    }
    return sum;
  }
}
