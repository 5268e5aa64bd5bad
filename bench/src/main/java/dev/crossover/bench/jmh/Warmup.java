package dev.crossover.bench.jmh;

/// Runs a call until the compiler is done with it.
///
/// Vector code is hundreds of times slower until it is compiled, and how long that takes depends on
/// the mechanism and the machine, so a fixed number of warm-up iterations is either too few or too
/// many. Batches of calls are repeated until several in a row have not become faster.
final class Warmup {
  private static final long BATCH_NANOS = 40_000_000;
  private static final long LONGEST_NANOS = 4_000_000_000L;
  private static final int STEADY_BATCHES = 5;
  private static final double FASTER = 0.97;

  private Warmup() {}

  /// Calls until steady: at least two calls, at most about four seconds or one call beyond.
  static void untilSteady(Runnable call) {
    long begin = System.nanoTime();
    double best = Double.MAX_VALUE;
    int steady = 0;
    while (steady < STEADY_BATCHES && System.nanoTime() - begin < LONGEST_NANOS) {
      long batch = System.nanoTime();
      double fastest = Double.MAX_VALUE;
      long now = batch;
      while (now - batch < BATCH_NANOS) {
        call.run();
        long end = System.nanoTime();
        fastest = Math.min(fastest, end - now);
        now = end;
      }
      steady = fastest < FASTER * best ? 0 : steady + 1;
      best = Math.min(best, fastest);
    }
  }
}
