package dev.crossover.reports.answer;

import java.util.Arrays;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/// Ratio of the means of two samples, interval by bootstrap over their values.
final class MeanRatio {
  private MeanRatio() {}

  static Ratio of(double[] numerator, double[] denominator, long seed) {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
    double[] ratios = new double[CrossoverBootstrap.REPLICATES];
    for (int i = 0; i < ratios.length; i++) {
      ratios[i] = redrawn(numerator, random) / redrawn(denominator, random);
    }
    return Ratio.of(
        Arrays.stream(numerator).average().orElseThrow()
            / Arrays.stream(denominator).average().orElseThrow(),
        ratios);
  }

  private static double redrawn(double[] values, RandomGenerator random) {
    double sum = 0;
    for (int i = 0; i < values.length; i++) {
      sum += values[random.nextInt(values.length)];
    }
    return sum / values.length;
  }
}
