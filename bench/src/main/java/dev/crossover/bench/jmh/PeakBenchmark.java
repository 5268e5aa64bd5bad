// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.attention.kernel.PeakLoop;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/// What can this machine do: multiply-adds in registers, and bytes read from memory?
///
/// Run with as many JMH threads as the sweep uses. Expected: arithmetic grows with the cores,
/// bandwidth less than that.
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.SECONDS)
public class PeakBenchmark {
  /// Steps of one call of [#multiplyAdd].
  public static final int STEPS = 1 << 16;

  /// Floating-point operations of one call of [#multiplyAdd].
  public static double flops() {
    return PeakLoop.flops(STEPS);
  }

  /// Bytes one call of [#read] reads on each thread.
  public static long bytesPerThread(int threads) {
    return Math.max(16L << 20, (256L << 20) / threads);
  }

  /// Constants that the compiler cannot know.
  @State(Scope.Benchmark)
  public static class Constants {
    /// Below 1, so that the chains stay finite.
    public float factor = 0.999f;

    /// Added in each step.
    public float addend = 1e-3f;
  }

  /// An array far larger than the caches, one per thread.
  @State(Scope.Thread)
  public static class Memory {
    /// Threads that read at once.
    @Param("1")
    public int readers;

    private float[] data = new float[0];

    /// Writes every element, so that the pages exist.
    @Setup
    public void fill() {
      data = new float[(int) (bytesPerThread(readers) / Float.BYTES) & -1024];
      Arrays.fill(data, 3);
    }
  }

  /// [PeakLoop] for [#STEPS] steps.
  ///
  /// @return its result
  @Benchmark
  public float multiplyAdd(Constants constants) {
    return PeakLoop.run(STEPS, constants.factor, constants.addend);
  }

  /// The sum of an array, which costs nothing beside reading it; four streams keep the prefetchers
  /// busy.
  ///
  /// @return the sum
  @Benchmark
  public float read(Memory memory) {
    return PeakLoop.read(memory.data, 0, memory.data.length, 4);
  }
}
