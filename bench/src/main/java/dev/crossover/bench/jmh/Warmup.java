package dev.crossover.bench.jmh;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;

/// Runs a call until the compiler is done with it.
///
/// Vector code is hundreds of times slower until it is compiled, and how long that takes depends on
/// the mechanism and the machine, so a fixed number of warm-up iterations is either too few or too
/// many. Batches of calls are repeated until several in a row have not become faster; more of them
/// while calls allocate, because vectors that live on the heap are code the compiler has yet to
/// reach, and it can pause there for half a second without getting faster.
final class Warmup {
  private static final long BATCH_NANOS = 40_000_000;
  private static final long COMPILING_NANOS = 1_500_000_000L;
  private static final long LONGEST_NANOS = 4_000_000_000L;
  private static final int STEADY_BATCHES = 5;
  private static final int STEADY_BATCHES_WHILE_ALLOCATING = 25;
  private static final long ALLOCATING_BYTES_PER_CALL = 4096;
  private static final double FASTER = 0.97;

  private Warmup() {}

  /// Calls until steady, for a process that has run nothing like it: at least 1.5 seconds, because
  /// the compiler may take one of them over a single method while all seems steady.
  static void untilCompiled(Runnable call) {
    untilSteady(call, COMPILING_NANOS);
  }

  /// Calls until steady: at least two calls, at most about four seconds or one call beyond.
  static void untilSteady(Runnable call) {
    untilSteady(call, 0);
  }

  private static void untilSteady(Runnable call, long least) {
    long begin = System.nanoTime();
    double best = Double.MAX_VALUE;
    int steady = 0;
    int needed = STEADY_BATCHES;
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    while (System.nanoTime() - begin < least
        || steady < needed && System.nanoTime() - begin < LONGEST_NANOS) {
      long batch = System.nanoTime();
      double fastest = Double.MAX_VALUE;
      long now = batch;
      long allocatedBefore = threads.getTotalThreadAllocatedBytes();
      long calls = 0;
      while (now - batch < BATCH_NANOS) {
        call.run();
        calls++;
        long end = System.nanoTime();
        fastest = Math.min(fastest, end - now);
        now = end;
      }
      long allocated = threads.getTotalThreadAllocatedBytes() - allocatedBefore;
      needed =
          allocated > calls * ALLOCATING_BYTES_PER_CALL
              ? STEADY_BATCHES_WHILE_ALLOCATING
              : STEADY_BATCHES;
      steady = fastest < FASTER * best ? 0 : steady + 1;
      best = Math.min(best, fastest);
    }
  }
}
