package dev.crossover.bench.sweep;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Peak;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Predicts how long calls and forks take, from the counted work and what was measured before.
final class Pace {
  private static final double FIRST_GUESS_OF_PEAK = 0.15;
  private static final double FORK_OVERHEAD_SECONDS = 2.5;
  private static final double STEADY_SECONDS = 0.25;
  private static final double TYPICAL_GFLOPS = 50;

  /// Seconds per counted operation, by mechanism and threads; the latest measurement counts.
  private final Map<String, Double> secondsPerFlop = new HashMap<>();

  private double peakGflops = TYPICAL_GFLOPS;
  private double actual;
  private double predicted;

  void peak(@Nullable Peak peak) {
    if (peak != null) {
      peakGflops = peak.gflops();
    }
  }

  /// Learns a mechanism's speed from a measured point.
  void learn(ResultRecord record) {
    if (record.time() != null && record.counted() != null && record.counted().flops() > 0) {
      secondsPerFlop.put(
          record.mechanism() + "|" + record.threads(),
          record.time().median() / record.counted().flops());
    }
  }

  /// A fork took this long in all.
  void took(List<Problem> group, Forks.Settings settings, double seconds) {
    predicted += plainForkSeconds(group, settings);
    actual += seconds;
  }

  /// Predicted seconds of one call.
  double callSeconds(Problem problem) {
    double perFlop =
        secondsPerFlop.getOrDefault(
            problem.type().name() + "|" + problem.point().threads(),
            1 / (FIRST_GUESS_OF_PEAK * peakGflops * 1e9));
    return problem.cost().flops() * perFlop;
  }

  /// Predicted seconds of one fork, corrected by how long forks took so far.
  double forkSeconds(List<Problem> group, Forks.Settings settings) {
    double correction = predicted > 0 ? actual / predicted : 1;
    return correction * plainForkSeconds(group, settings);
  }

  private double plainForkSeconds(List<Problem> group, Forks.Settings settings) {
    double seconds = FORK_OVERHEAD_SECONDS;
    for (Problem problem : group) {
      double call = callSeconds(problem);
      double iteration = Math.max(call, settings.iterationMillis() / 1000.0);
      seconds +=
          Math.max(STEADY_SECONDS, 3 * call)
              + (settings.warmups() + settings.iterations()) * iteration;
    }
    return seconds;
  }
}
