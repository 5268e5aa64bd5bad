package dev.crossover.reports.answer;

import java.util.Arrays;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/// How many times larger one measured quantity is than another, with its 95 % interval.
///
/// Ratio of the medians over forks. The interval is a percentile bootstrap over forks that draws
/// deviations as [CrossoverBootstrap] does: from the point's own forks and those of the
/// neighbouring lengths of the same curve.
///
/// @param value ratio of the medians
/// @param low lower end; NaN where no point nearby has two forks
/// @param high upper end; NaN like `low`
public record Ratio(double value, double low, double high) {

  /// Compares two curves at one length.
  ///
  /// @param numerator curve that is divided
  /// @param denominator curve it is divided by
  /// @param n a length both were measured at
  /// @param seed seed of the bootstrap
  /// @throws IllegalArgumentException if one of them was not measured at `n`
  public static Ratio of(Curve numerator, Curve denominator, int n, long seed) {
    return of(
        numerator.samples(),
        index(numerator, n),
        denominator.samples(),
        index(denominator, n),
        seed);
  }

  private static Ratio of(List<Sample> top, int at, List<Sample> bottom, int below, long seed) {
    double value = top.get(at).median() / bottom.get(below).median();
    double[] topPool = CrossoverBootstrap.pools(top)[at];
    double[] bottomPool = CrossoverBootstrap.pools(bottom)[below];
    if (topPool.length == 0 || bottomPool.length == 0) {
      return new Ratio(value, Double.NaN, Double.NaN);
    }
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    double[] ratios = new double[CrossoverBootstrap.REPLICATES];
    for (int i = 0; i < ratios.length; i++) {
      ratios[i] =
          Math.exp(
              CrossoverBootstrap.redraw(top.get(at), topPool, random)
                  - CrossoverBootstrap.redraw(bottom.get(below), bottomPool, random));
    }
    return of(value, ratios);
  }

  /// A value with the interval of its bootstrap replicates, widened to hold the value.
  static Ratio of(double value, double[] replicates) {
    Arrays.sort(replicates);
    double low = Statistics.quantile(replicates, CrossoverBootstrap.TAIL);
    double high = Statistics.quantile(replicates, 1 - CrossoverBootstrap.TAIL);
    return new Ratio(value, Math.min(value, low), Math.max(value, high));
  }

  /// Whether there is an interval.
  public boolean hasInterval() {
    return !Double.isNaN(low);
  }

  /// Whether the whole interval lies above a value; false without an interval.
  public boolean above(double bound) {
    return low > bound;
  }

  /// Whether the whole interval lies below a value; false without an interval.
  public boolean below(double bound) {
    return high < bound;
  }

  /// For example `4.21 (3.95–4.63)`; the value and `(no interval)` without one.
  public String words() {
    return hasInterval()
        ? Wording.digits(value) + " (" + Wording.digits(low) + "–" + Wording.digits(high) + ")"
        : Wording.digits(value) + " (no interval)";
  }

  private static int index(Curve curve, int n) {
    for (int i = 0; i < curve.samples().size(); i++) {
      if (curve.samples().get(i).n() == n) {
        return i;
      }
    }
    throw new IllegalArgumentException("n must be a length of " + curve.label() + ", but was " + n);
  }
}
