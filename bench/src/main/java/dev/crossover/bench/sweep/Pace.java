// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Peak;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Predicts how long calls and forks take, from the counted work and what was measured before.
final class Pace {
  private static final double ASSUMED_SHARE_OF_PEAK = 0.3;
  private static final double ASSUMED_GFLOPS_PER_THREAD = 100;
  private static final double FORK_OVERHEAD_SECONDS = 2.5;
  private static final double PEAK_FORKS_SECONDS = 4;
  private static final int STEADY_CALLS = 7;
  private static final double STEADY_SECONDS = 0.28;
  private static final double LONGEST_STEADY_SECONDS = 4;

  /// Bytes per second at which a session takes a prefix without answering it.
  private static final double PREFILL_BYTES_PER_SECOND = 5e8;

  /// Seconds per counted operation, by study, mechanism and threads; the latest measurement counts.
  private final Map<String, Double> secondsPerFlop = new HashMap<>();

  private final Map<Point, Double> flops = new HashMap<>();
  private @Nullable Double peakGflops;
  private double actual;
  private double predicted;

  void peak(@Nullable Peak peak) {
    if (peak != null) {
      peakGflops = peak.gflops();
    }
  }

  /// Learns a mechanism's speed, and the machine's peak, from a measured point.
  void learn(Problem problem, ResultRecord record) {
    if (record.time() != null && flops(problem) > 0) {
      secondsPerFlop.put(key(problem), record.time().median() / flops(problem));
    }
    peak(record.peak());
  }

  /// A fork took this long in all.
  void took(List<Problem> group, Forks.Settings settings, double seconds) {
    predicted += plainForkSeconds(group, settings);
    actual += seconds;
  }

  /// Whether the speed of a point's mechanism was measured.
  boolean knows(Problem problem) {
    return secondsPerFlop.containsKey(key(problem));
  }

  /// Predicted seconds of one call.
  double callSeconds(Problem problem) {
    Double known = secondsPerFlop.get(key(problem));
    return flops(problem)
        * (known != null
            ? known
            : 1 / (ASSUMED_SHARE_OF_PEAK * gflops(problem.point().threads()) * 1e9));
  }

  /// Where the rate of a mechanism that was not measured comes from.
  String assumption() {
    String share = Math.round(100 * ASSUMED_SHARE_OF_PEAK) + " % of ";
    return share
        + (peakGflops == null
            ? String.format(Locale.ROOT, "an assumed %.0f GFLOP/s a thread", gflops(1))
            : String.format(Locale.ROOT, "the measured peak of %.0f GFLOP/s", peakGflops));
  }

  /// Predicted seconds of one fork, corrected by how long forks took so far.
  double forkSeconds(List<Problem> group, Forks.Settings settings) {
    double correction = predicted > 0 ? actual / predicted : 1;
    return correction * plainForkSeconds(group, settings);
  }

  /// Predicted seconds of measuring the machine's peak.
  double peakSeconds() {
    return PEAK_FORKS_SECONDS;
  }

  private double plainForkSeconds(List<Problem> group, Forks.Settings settings) {
    double seconds = FORK_OVERHEAD_SECONDS;
    for (Problem problem : group) {
      double call = callSeconds(problem);
      double iteration = Math.max(call, settings.iterationMillis() / 1000.0);
      if (!problem.point().study().wholeSequence()) {
        call = problem.decodedTokens() * call + prefillSeconds(problem);
        iteration = call;
      }
      double steady = Math.min(STEADY_CALLS * call, LONGEST_STEADY_SECONDS + 2 * call);
      seconds +=
          Math.max(STEADY_SECONDS, steady)
              + (settings.warmups() + settings.iterations()) * iteration;
    }
    return seconds;
  }

  private static double prefillSeconds(Problem problem) {
    var shape = problem.shape();
    double floats = shape.problems() * (double) shape.keySeqLen() * 3 * shape.headDim();
    return Float.BYTES * floats / PREFILL_BYTES_PER_SECOND;
  }

  private double gflops(int threads) {
    return peakGflops != null ? peakGflops : ASSUMED_GFLOPS_PER_THREAD * threads;
  }

  private double flops(Problem problem) {
    return flops.computeIfAbsent(problem.point(), _ -> problem.callFlops());
  }

  private static String key(Problem problem) {
    return problem.point().study()
        + "|"
        + problem.attention().name()
        + "|"
        + problem.point().threads();
  }
}
