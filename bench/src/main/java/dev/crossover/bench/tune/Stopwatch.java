// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.tune;

import java.util.HashSet;
import java.util.Set;
import java.util.function.LongSupplier;

/// Tells about how long a call takes in this process, which only says what is worth timing in
/// processes of its own: the fastest of a few calls.
public final class Stopwatch {
  private static final long WARM_NANOS = 1_000_000_000;
  private static final long TIMED_NANOS = 60_000_000;
  private static final int MOST_CALLS = 200;
  private static final int MOST_WARM_CALLS = 10_000;

  private final LongSupplier clock;
  private final Set<String> warm = new HashSet<>();

  /// @param clock nanoseconds, as of `System.nanoTime`
  public Stopwatch(LongSupplier clock) {
    this.clock = clock;
  }

  /// Seconds of a call.
  ///
  /// @param code what is called: the first time it is, it is called for a second first
  /// @param call the call
  double seconds(String code, Runnable call) {
    if (warm.add(code)) {
      fastest(call, WARM_NANOS, MOST_WARM_CALLS);
    }
    return fastest(call, TIMED_NANOS, MOST_CALLS) / 1e9;
  }

  private long fastest(Runnable call, long enough, int most) {
    long fastest = Long.MAX_VALUE;
    long sum = 0;
    for (int i = 0; i < most && (i < 2 || sum < enough); i++) {
      long start = clock.getAsLong();
      call.run();
      long took = Math.max(1, clock.getAsLong() - start);
      fastest = Math.min(fastest, took);
      sum += took;
    }
    return fastest;
  }
}
