// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.bench.result.ResultRecord.PeakRange;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.function.DoubleUnaryOperator;

/// Times of turns that follow one another in every round, so that all meet the same machine.
///
/// @param millis milliseconds of a call, turn by turn and round by round
record Rounds(List<double[]> millis) {
  private static final int MOST = 2000;
  private static final int LEAST = 9;

  /// Pause before a turn on several threads. OpenMP's threads go on spinning for up to 200 ms after
  /// their work; with a pause of 20 ms every contender lost half a core to the one before it, the
  /// peak too.
  private static final long PAUSE_NANOS = 250_000_000;

  /// Least duration of one sample. A single call of a millisecond, after other contenders, measures
  /// how it finds the caches and the clock; calls in a row are what a model's layers do.
  static final double LEAST_MILLIS = 20;

  /// Runs rounds: at least nine, and for so many seconds.
  ///
  /// @param turns what is timed
  /// @param threads on how many threads turns work
  /// @param warmUpSeconds for how long rounds run that are not kept
  /// @param seconds for how long rounds run that are kept
  static Rounds time(List<Runnable> turns, int threads, double warmUpSeconds, double seconds) {
    double[][] times = new double[turns.size()][MOST];
    int rounds = 0;
    boolean warm = false;
    long start = System.nanoTime();
    while (rounds < LEAST || rounds < MOST && System.nanoTime() - start < seconds * 1e9) {
      if (!warm && System.nanoTime() - start > warmUpSeconds * 1e9) {
        warm = true;
        start = System.nanoTime();
      }
      for (int t = 0; t < times.length; t++) {
        Runnable turn = turns.get(t);
        if (threads > 1) {
          LockSupport.parkNanos(PAUSE_NANOS);
          turn.run();
        }
        double sample = sample(turn);
        if (warm) {
          times[t][rounds] = sample;
        }
      }
      rounds += warm ? 1 : 0;
    }
    List<double[]> kept = new ArrayList<>();
    for (double[] turn : times) {
      kept.add(Arrays.copyOf(turn, rounds));
    }
    return new Rounds(List.copyOf(kept));
  }

  /// Milliseconds of one call, over as many calls as fill the least duration.
  private static double sample(Runnable turn) {
    long begin = System.nanoTime();
    int calls = 0;
    double millis;
    do {
      turn.run();
      calls++;
      millis = (System.nanoTime() - begin) * 1e-6;
    } while (millis < LEAST_MILLIS);
    return millis / calls;
  }

  /// A quantile of a turn's milliseconds.
  double quantile(int turn, double q) {
    return quantile(millis.get(turn), q);
  }

  /// A quantile of a turn's time beside another's of the same round.
  double ratio(int turn, int base, double q) {
    double[] ratios = millis.get(turn).clone();
    for (int r = 0; r < ratios.length; r++) {
      ratios[r] /= millis.get(base)[r];
    }
    return quantile(ratios, q);
  }

  /// Rates of a turn: at its 90 %, 50 % and 10 % quantile of time.
  ///
  /// @param work of one call
  /// @return 10⁹ of its unit in a second
  PeakRange rates(int turn, double work) {
    DoubleUnaryOperator rate = q -> work / quantile(turn, q) * 1e-6;
    return new PeakRange(rate.applyAsDouble(0.9), rate.applyAsDouble(0.5), rate.applyAsDouble(0.1));
  }

  private static double quantile(double[] numbers, double q) {
    double[] sorted = numbers.clone();
    Arrays.sort(sorted);
    return sorted[(int) Math.min(sorted.length - 1, Math.round(q * (sorted.length - 1)))];
  }
}
