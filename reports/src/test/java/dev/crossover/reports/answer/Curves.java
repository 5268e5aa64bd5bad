// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.ArrayList;
import java.util.List;
import java.util.function.IntToDoubleFunction;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/// Synthetic curves of known truth.
final class Curves {
  private Curves() {}

  static Curve exact(String label, IntToDoubleFunction value, int... lengths) {
    List<Sample> samples = new ArrayList<>();
    for (int n : lengths) {
      double v = value.applyAsDouble(n);
      samples.add(new Sample(n, List.of(v, v, v)));
    }
    return new Curve(label, samples);
  }

  static Curve noisy(
      String label,
      IntToDoubleFunction value,
      int forks,
      double relativeNoise,
      RandomGenerator random,
      int... lengths) {
    List<Sample> samples = new ArrayList<>();
    for (int n : lengths) {
      List<Double> values = new ArrayList<>();
      for (int fork = 0; fork < forks; fork++) {
        values.add(value.applyAsDouble(n) * Math.exp(relativeNoise * random.nextGaussian()));
      }
      samples.add(new Sample(n, values));
    }
    return new Curve(label, samples);
  }

  static RandomGenerator random(long seed) {
    return RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
  }
}
