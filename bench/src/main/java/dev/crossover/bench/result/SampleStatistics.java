package dev.crossover.bench.result;

import dev.crossover.attention.random.Draws;
import java.util.Arrays;
import java.util.List;
import org.apache.commons.rng.UniformRandomProvider;

/// Median of samples grouped by fork, with a bootstrap interval over the forks.
///
/// Samples of one JVM share its compilation and memory layout, so forks are what varies: the
/// statistic is the median of the forks' medians, and the interval resamples first forks, then
/// samples inside each drawn fork (the two-stage bootstrap of Kalibera and Jones, "Rigorous
/// Benchmarking in Reasonable Time", ISMM 2013). With two or three forks the interval is coarse; it
/// still covers the difference between them.
///
/// @param median median of the forks' medians
/// @param low 2.5 % point of the bootstrap distribution
/// @param high 97.5 % point
public record SampleStatistics(double median, double low, double high) {
  private static final int RESAMPLES = 2000;

  /// Statistics of samples, one list per fork, none of them empty.
  ///
  /// @param samples at least one fork with at least one sample
  /// @param seed seed of the resampling: same samples and seed, same interval
  /// @throws IllegalArgumentException if there is no sample
  public static SampleStatistics of(List<List<Double>> samples, long seed) {
    double[][] forks =
        samples.stream()
            .filter(fork -> !fork.isEmpty())
            .map(fork -> fork.stream().mapToDouble(Double::doubleValue).toArray())
            .toArray(double[][]::new);
    if (forks.length == 0) {
      throw new IllegalArgumentException("samples must not be empty, but were " + samples);
    }
    UniformRandomProvider random = Draws.generator(Draws.seedFor(seed, "bootstrap"));
    double[] resampled = new double[RESAMPLES];
    double[] forkMedians = new double[forks.length];
    for (int r = 0; r < RESAMPLES; r++) {
      for (int f = 0; f < forks.length; f++) {
        double[] fork = forks[random.nextInt(forks.length)];
        double[] drawn = new double[fork.length];
        for (int i = 0; i < drawn.length; i++) {
          drawn[i] = fork[random.nextInt(fork.length)];
        }
        forkMedians[f] = median(drawn);
      }
      resampled[r] = median(forkMedians.clone());
    }
    Arrays.sort(resampled);
    double median = median(Arrays.stream(forks).mapToDouble(f -> median(f.clone())).toArray());
    return new SampleStatistics(
        median,
        Math.min(median, resampled[(int) (0.025 * RESAMPLES)]),
        Math.max(median, resampled[(int) (0.975 * RESAMPLES)]));
  }

  /// Median of the values; sorts them.
  private static double median(double[] values) {
    Arrays.sort(values);
    int half = values.length / 2;
    return values.length % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  }
}
