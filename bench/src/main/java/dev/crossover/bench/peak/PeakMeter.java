// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peak;

import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.PeakLoop;
import dev.crossover.bench.result.ResultRecord.PeakRange;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/// The one peak: fused multiply-adds on registers, on as many threads as what is compared with it,
/// run between its samples.
///
/// Processors change their pace within seconds, so that a peak of a minute ago, or of another
/// process, is not the denominator of a share. A sample is the best of [#TRIES] short loops: a
/// single interruption is not a slower machine.
public final class PeakMeter {
  private static final int TRIES = 3;
  private static final long LOOP_NANOS = 2_000_000;
  private static final long WARM_UP_NANOS = 300_000_000;
  private static final int FIRST_STEPS = 1 << 14;

  /// Far more than any last-level cache holds.
  private static final int MEGABYTES = 1024;

  private static final int MEGABYTES_PER_TASK = 4;
  private static final int STREAMS = 4;

  private final Workers workers;
  private final Workers.Task multiply = this::multiply;
  private final Workers.Task read = this::read;
  private final List<Double> samples = new ArrayList<>();
  private final float[] results;
  private float[] memory = new float[0];
  private int steps = FIRST_STEPS;

  /// Warms the loop up.
  ///
  /// @param threads number of threads, at least 1
  public PeakMeter(int threads) {
    workers = new Workers(threads);
    results = new float[threads];
    long begin = System.nanoTime();
    double best = Double.MAX_VALUE;
    while (System.nanoTime() - begin < WARM_UP_NANOS) {
      best = Math.min(best, loopNanos() / steps);
    }
    steps = (int) Math.clamp(LOOP_NANOS / best, 1024, 1 << 24);
  }

  /// Runs the loop now, keeps what it reached and returns it.
  ///
  /// @return 10⁹ float32 operations per second of all threads
  public double sample() {
    double nanos = Double.MAX_VALUE;
    for (int i = 0; i < TRIES; i++) {
      nanos = Math.min(nanos, loopNanos());
    }
    double gflops = flops() / nanos;
    samples.add(gflops);
    return gflops;
  }

  /// Runs the loop once without keeping anything.
  public void run() {
    workers.run(workers.threads(), multiply);
  }

  /// Floating-point operations of one [#run].
  public double flops() {
    return workers.threads() * PeakLoop.flops(steps);
  }

  /// What the samples so far reached.
  ///
  /// @throws IllegalStateException if there is none
  public PeakRange range() {
    return range(samples);
  }

  /// Least, median and most of some samples.
  ///
  /// @throws IllegalStateException if there is none
  public static PeakRange range(List<Double> samples) {
    if (samples.isEmpty()) {
      throw new IllegalStateException("samples must not be empty, but were");
    }
    List<Double> sorted = new ArrayList<>(samples);
    Collections.sort(sorted);
    int half = sorted.size() / 2;
    double median =
        sorted.size() % 2 == 1 ? sorted.get(half) : (sorted.get(half - 1) + sorted.get(half)) / 2;
    return new PeakRange(sorted.getFirst(), median, sorted.getLast());
  }

  /// Reads a gigabyte once on all threads, for what is compared with the memory's bandwidth.
  public void readAll() {
    if (memory.length == 0) {
      memory = new float[MEGABYTES << 18];
      for (int i = 0; i < memory.length; i++) {
        memory[i] = (i % 7) * 0.125f;
      }
    }
    workers.run(MEGABYTES / MEGABYTES_PER_TASK, read);
  }

  /// Bytes that [#readAll] reads.
  public double bytesRead() {
    return 4.0 * (MEGABYTES << 18);
  }

  private double loopNanos() {
    long begin = System.nanoTime();
    run();
    return System.nanoTime() - begin;
  }

  private void multiply(int worker, int index) {
    results[worker] = PeakLoop.run(steps, 0.999f, 1e-3f + results[worker] * 1e-9f);
  }

  private void read(int worker, int index) {
    int floats = MEGABYTES_PER_TASK << 18;
    results[worker] += PeakLoop.read(memory, index * floats, floats, STREAMS);
  }
}
