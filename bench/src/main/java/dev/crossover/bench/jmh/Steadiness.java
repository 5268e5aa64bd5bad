// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/// Runs a piece of work until the compiler is done with it, or says that it never was.
///
/// Vector code is hundreds of times slower until it is compiled, and how long that takes depends on
/// the mechanism, on the machine and on what else runs there. Two things tell that it is over: the
/// compiler has been idle, and the work has not become faster, both over the last quarter of a
/// second of the measuring thread's processor time. Time of day decides nothing, because on a
/// loaded machine it passes without anything being run or compiled; it only ends a wait that would
/// not end otherwise.
///
/// Budget of one piece of work: [#MOST_NANOS] of the measuring thread's processor time, or
/// [#MOST_WALL_NANOS] of time of day, but at least [#LEAST_CALLS] calls of what takes long.
final class Steadiness {
  /// Processor time in which nothing may have changed.
  static final long WINDOW_NANOS = 250_000_000;

  /// The same while calls allocate: vectors that live on the heap are code the compiler has yet to
  /// reach, and it can pause there for half a second.
  static final long WINDOW_WHILE_ALLOCATING_NANOS = 1_000_000_000;

  /// Processor time for which a process that has run nothing like it warms up at least: the
  /// compiler may take one second over a single method while all seems steady.
  static final long FIRST_NANOS = 1_500_000_000;

  /// The most processor time that one piece of work may take to become steady.
  static final long MOST_NANOS = 10_000_000_000L;

  /// The most time of day likewise.
  static final long MOST_WALL_NANOS = 40_000_000_000L;

  /// Calls within a window, and before a budget counts as used up.
  static final int LEAST_CALLS = 3;

  /// Share of the window from which the compiler counts as busy.
  static final double BUSY = 0.1;

  /// Share of the time of day that a measuring thread must have had a processor for.
  static final double LEAST_SHARE = 0.9;

  /// What gauges that count in ticks may be wrong by over a window.
  private static final long TICKS_NANOS = 25_000_000;

  private static final String TOO_LITTLE = "it had run too little to be judged";
  private static final long BATCH_NANOS = 40_000_000;
  private static final long ALLOCATING_BYTES_PER_CALL = 4096;
  private static final double FASTER = 0.97;

  private final Gauges gauges;

  Steadiness(Gauges gauges) {
    this.gauges = gauges;
  }

  /// One call of what is to become steady.
  @FunctionalInterface
  interface Work {
    /// Runs once.
    ///
    /// @return processor time that counts, in nanoseconds, or any other cost that falls until the
    ///     code is compiled
    double run();
  }

  /// Readings at the end of a batch.
  ///
  /// @param best least cost of a call so far
  private record Reading(
      long thread, long runtime, long compilation, long allocated, long calls, double best) {}

  /// Calls until steady.
  ///
  /// @param work what to call
  /// @param leastNanos processor time to spend at least
  /// @return an empty text, or why the work was not steady when its budget was used up
  String warmUp(Work work, long leastNanos) {
    long wallBegin = gauges.wallNanos();
    long threadBegin = gauges.threadNanos();
    Deque<Reading> readings = new ArrayDeque<>();
    double best = Double.MAX_VALUE;
    long calls = 0;
    readings.add(reading(calls, best));
    while (true) {
      long batch = gauges.threadNanos();
      do {
        best = Math.min(best, work.run());
        calls++;
      } while (gauges.threadNanos() - batch < BATCH_NANOS
          && gauges.wallNanos() - wallBegin < MOST_WALL_NANOS);
      readings.add(reading(calls, best));
      trim(readings);
      long spent = gauges.threadNanos() - threadBegin;
      long passed = gauges.wallNanos() - wallBegin;
      String reason = judge(readings);
      if (reason.isEmpty() && spent >= leastNanos) {
        return "";
      }
      boolean used = spent >= Math.max(leastNanos, MOST_NANOS) || passed >= MOST_WALL_NANOS;
      if (used && calls >= LEAST_CALLS) {
        return String.format(
            Locale.ROOT,
            "%s after %.1f s of processor time in %.0f s",
            reason.isEmpty() ? TOO_LITTLE : reason,
            spent * 1e-9,
            passed * 1e-9);
      }
    }
  }

  /// Why samples that were taken are not those of steady code; empty when they are.
  ///
  /// @param wallNanos time of day over all samples
  /// @param threadNanos processor time of the measuring thread over them
  /// @param compilingNanos processor time of the compiler and the runtime over them
  static String ofSamples(long wallNanos, long threadNanos, long compilingNanos) {
    if (compilingNanos > Math.max(BUSY * threadNanos, TICKS_NANOS)) {
      return String.format(
          Locale.ROOT,
          "the compiler worked for %.0f ms beside %.0f ms of samples",
          compilingNanos * 1e-6,
          threadNanos * 1e-6);
    }
    if (threadNanos < LEAST_SHARE * wallNanos && wallNanos - threadNanos > TICKS_NANOS) {
      return String.format(
          Locale.ROOT,
          "the measuring thread had a processor for only %.0f %% of the time",
          100.0 * threadNanos / wallNanos);
    }
    return "";
  }

  private Reading reading(long calls, double best) {
    return new Reading(
        gauges.threadNanos(),
        gauges.runtimeNanos(),
        gauges.compilationNanos(),
        gauges.allocatedBytes(),
        calls,
        best);
  }

  /// Why the last window is not steady; empty when it is.
  private static String judge(Deque<Reading> readings) {
    Reading last = readings.getLast();
    Reading begin = windowBegin(readings, WINDOW_NANOS);
    if (begin != null && allocates(begin, last)) {
      begin = windowBegin(readings, WINDOW_WHILE_ALLOCATING_NANOS);
    }
    if (begin == null) {
      return TOO_LITTLE;
    }
    long compiling =
        Math.max(last.runtime() - begin.runtime(), last.compilation() - begin.compilation());
    if (compiling > Math.max(BUSY * (last.thread() - begin.thread()), TICKS_NANOS)) {
      return "its code was still being compiled";
    }
    return last.best() < FASTER * begin.best() ? "its calls were still becoming faster" : "";
  }

  private static boolean allocates(Reading begin, Reading last) {
    return last.allocated() - begin.allocated()
        > ALLOCATING_BYTES_PER_CALL * (last.calls() - begin.calls());
  }

  /// The latest reading after a call from which on the window is long enough, if there is one.
  private static @Nullable Reading windowBegin(Deque<Reading> readings, long nanos) {
    Reading last = readings.getLast();
    Iterator<Reading> latestFirst = readings.descendingIterator();
    while (latestFirst.hasNext()) {
      Reading reading = latestFirst.next();
      if (last.thread() - reading.thread() >= nanos
          && last.calls() - reading.calls() >= LEAST_CALLS
          && reading.calls() > 0) {
        return reading;
      }
    }
    return null;
  }

  /// Drops readings that are older than every window.
  private static void trim(Deque<Reading> readings) {
    Reading begin = windowBegin(readings, WINDOW_WHILE_ALLOCATING_NANOS);
    while (begin != null && readings.getFirst() != begin) {
      readings.removeFirst();
    }
  }
}
