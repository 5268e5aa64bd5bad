package dev.crossover.reports.answer;

import java.util.Arrays;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/// Percentile bootstrap of a crossover over forks.
///
/// A replicate redraws every point of both curves: as many forks as were run, each the point's
/// median (in logarithms) plus a deviation drawn from the forks of that length and of its two
/// neighbours on the same curve, then the median again. Deviations are taken from their length's
/// mean and stretched by √(k/(k−1)) for k forks, which makes up for the degree of freedom the mean
/// costs; borrowing from the neighbours makes up for the few forks a sweep can afford. A test holds
/// the interval's coverage.
///
/// Replicates without a crossing count as one below the smallest (0) or above the largest length
/// (∞), so that an interval that reaches beyond the measured lengths is open rather than
/// extrapolated.
final class CrossoverBootstrap {
  static final int REPLICATES = 2000;
  static final double TAIL = 0.025;

  private CrossoverBootstrap() {}

  static Crossover run(Curve curve, Curve baseline, long seed) {
    Crossover.Common common = Crossover.Common.of(curve, baseline);
    double[] observed = common.logRatios();
    double[][] curvePools = pools(common.curve());
    double[][] baselinePools = pools(common.baseline());
    if (observed.length == 0 || empty(curvePools) || empty(baselinePools)) {
      return common.crossover(observed, Double.NaN, Double.NaN, Double.NaN);
    }
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    double[] last = new double[REPLICATES];
    int cheaper = 0;
    for (int replicate = 0; replicate < REPLICATES; replicate++) {
      double[] ratios = new double[observed.length];
      for (int i = 0; i < ratios.length; i++) {
        ratios[i] =
            redraw(common.curve().get(i), curvePools[i], random)
                - redraw(common.baseline().get(i), baselinePools[i], random);
      }
      last[replicate] = common.last(ratios);
      cheaper += ratios[ratios.length - 1] < 0 ? 1 : 0;
    }
    Arrays.sort(last);
    return common.crossover(
        observed,
        Statistics.quantile(last, TAIL),
        Statistics.quantile(last, 1 - TAIL),
        (double) cheaper / REPLICATES);
  }

  /// Logarithm of a point's median, redrawn once.
  static double redraw(Sample sample, double[] pool, RandomGenerator random) {
    double[] drawn = new double[sample.forks().size()];
    for (int i = 0; i < drawn.length; i++) {
      drawn[i] = pool[random.nextInt(pool.length)];
    }
    return Math.log(sample.median()) + Statistics.median(drawn);
  }

  /// Whether some length has no deviation to draw from.
  static boolean empty(double[][] pools) {
    for (double[] pool : pools) {
      if (pool.length == 0) {
        return true;
      }
    }
    return false;
  }

  /// Deviations each length may draw from: its own and its neighbours'.
  static double[][] pools(List<Sample> samples) {
    double[][] pools = new double[samples.size()][];
    for (int i = 0; i < pools.length; i++) {
      List<Sample> near = samples.subList(Math.max(0, i - 1), Math.min(samples.size(), i + 2));
      pools[i] = near.stream().flatMapToDouble(s -> Arrays.stream(deviations(s))).toArray();
    }
    return pools;
  }

  private static double[] deviations(Sample sample) {
    int forks = sample.forks().size();
    if (forks < 2) {
      return new double[0];
    }
    double[] logs = sample.forks().stream().mapToDouble(Math::log).toArray();
    double mean = Arrays.stream(logs).average().orElseThrow();
    double stretch = Math.sqrt(forks / (forks - 1.0));
    return Arrays.stream(logs).map(log -> (log - mean) * stretch).toArray();
  }
}
