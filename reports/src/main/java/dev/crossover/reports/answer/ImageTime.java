package dev.crossover.reports.answer;

import java.util.List;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

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

  /// How many times longer one mechanism takes than another, interval by bootstrap over forks as in
  /// [Ratio].
  static Ratio ratio(Curve numerator, Curve denominator, int n, long seed) {
    List<Sample> top = numerator.samples();
    List<Sample> bottom = denominator.samples();
    double value = seconds(numerator, n) / seconds(denominator, n);
    double[][] topPools = CrossoverBootstrap.pools(top);
    double[][] bottomPools = CrossoverBootstrap.pools(bottom);
    if (CrossoverBootstrap.empty(topPools) || CrossoverBootstrap.empty(bottomPools)) {
      return new Ratio(value, Double.NaN, Double.NaN);
    }
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    double[] ratios = new double[CrossoverBootstrap.REPLICATES];
    for (int i = 0; i < ratios.length; i++) {
      ratios[i] =
          sum(top, redraw(top, topPools, random), n)
              / sum(bottom, redraw(bottom, bottomPools, random), n);
    }
    return Ratio.of(value, ratios);
  }

  private static double[] redraw(List<Sample> samples, double[][] pools, RandomGenerator random) {
    double[] logs = new double[samples.size()];
    for (int i = 0; i < logs.length; i++) {
      logs[i] = CrossoverBootstrap.redraw(samples.get(i), pools[i], random);
    }
    return logs;
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
