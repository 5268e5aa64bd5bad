package dev.crossover.reports.answer;

import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.apache.commons.math3.util.CombinatoricsUtils;

/// One-sided permutation test of two small samples on the difference of their means.
///
/// Under the hypothesis that both come from one distribution every division of the pooled values
/// into groups of these sizes is equally likely (Fisher, The Design of Experiments, 1935). All
/// divisions are visited up to 200,000 of them, otherwise as many random ones.
final class PermutationTest {
  private static final long MOST = 200_000;
  private static final double ROUNDING = 1e-12;

  private PermutationTest() {}

  /// Probability of a difference mean(a) − mean(b) at least as large as the one observed.
  ///
  /// @param a at least one finite value
  /// @param b at least one finite value
  static double larger(double[] a, double[] b) {
    double[] pooled = new double[a.length + b.length];
    System.arraycopy(a, 0, pooled, 0, a.length);
    System.arraycopy(b, 0, pooled, a.length, b.length);
    double observed = sum(pooled, a.length);
    // with the sizes fixed the difference of means grows with the first group's sum
    double bound = observed - ROUNDING * (1 + Math.abs(observed));
    double divisions = CombinatoricsUtils.binomialCoefficientDouble(pooled.length, a.length);
    if (divisions <= MOST) {
      return visit(pooled, 0, a.length, 0, bound) / divisions;
    }
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(PanelAnswer.SEED);
    long atLeast = 1;
    for (long i = 0; i < MOST; i++) {
      for (int k = 0; k < a.length; k++) {
        int other = k + random.nextInt(pooled.length - k);
        double kept = pooled[k];
        pooled[k] = pooled[other];
        pooled[other] = kept;
      }
      atLeast += sum(pooled, a.length) >= bound ? 1 : 0;
    }
    return atLeast / (MOST + 1.0);
  }

  /// Smallest probability samples of these sizes can give.
  static double smallest(int a, int b) {
    return Math.max(1 / CombinatoricsUtils.binomialCoefficientDouble(a + b, a), 1 / (MOST + 1.0));
  }

  /// Number of ways to choose `left` of the values from `next` on whose sum with `sum` reaches the
  /// bound.
  private static double visit(double[] values, int next, int left, double sum, double bound) {
    if (left == 0) {
      return sum >= bound ? 1 : 0;
    }
    double count = 0;
    for (int i = next; i <= values.length - left; i++) {
      count += visit(values, i + 1, left - 1, sum + values[i], bound);
    }
    return count;
  }

  private static double sum(double[] values, int count) {
    double sum = 0;
    for (int i = 0; i < count; i++) {
      sum += values[i];
    }
    return sum;
  }
}
