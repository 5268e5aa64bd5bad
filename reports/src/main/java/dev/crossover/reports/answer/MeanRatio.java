package dev.crossover.reports.answer;

import java.util.Arrays;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/// Ratio of the means of two samples that belong together pairwise (one seed, one input), interval
/// by bootstrap over the pairs.
final class MeanRatio {
  private MeanRatio() {}

  static Ratio of(double[] numerator, double[] denominator, long seed) {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    double[] ratios = new double[CrossoverBootstrap.REPLICATES];
    for (int i = 0; i < ratios.length; i++) {
      double top = 0;
      double bottom = 0;
      for (int drawn = 0; drawn < numerator.length; drawn++) {
        int pair = random.nextInt(numerator.length);
        top += numerator[pair];
        bottom += denominator[pair];
      }
      ratios[i] = top / bottom;
    }
    return Ratio.of(
        Arrays.stream(numerator).average().orElseThrow()
            / Arrays.stream(denominator).average().orElseThrow(),
        ratios);
  }
}
