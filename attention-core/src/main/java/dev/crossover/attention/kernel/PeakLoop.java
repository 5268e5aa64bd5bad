// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// The most float32 arithmetic a core can do: fused multiply-adds on registers, no memory touched.
///
/// Run beside a kernel, between its samples, it is the denominator of "share of peak". It says what
/// the machine can do, so that it uses vectors also where scalar kernels were asked for.
public final class PeakLoop {
  private static final boolean VECTOR = KernelSelection.VECTOR || scalarWasAskedFor();
  private static final int CHAINS = 12;

  private PeakLoop() {}

  /// Floating-point operations of [#run], a multiply-add counted as two.
  ///
  /// @param steps as given to it
  public static double flops(int steps) {
    return VECTOR ? VectorPeakLoop.flops(steps) : 2.0 * CHAINS * steps;
  }

  /// Runs the loop.
  ///
  /// @param steps number of multiply-adds in each chain
  /// @param factor multiplier; below 1 the chains stay finite
  /// @param addend what is added in each step
  /// @return a value that depends on every operation
  public static float run(int steps, float factor, float addend) {
    return VECTOR ? VectorPeakLoop.run(steps, factor, addend) : scalar(steps, factor, addend);
  }

  /// Reads an array, which costs nothing beside fetching it: the sum of `x[from … from + count -
  /// 1]` over 1, 4 or 8 streams, each forward through its own part. How many streams a processor's
  /// prefetchers like best differs, also with the number of threads.
  ///
  /// @param count a multiple of 1024
  /// @param streams 1, 4 or 8
  public static float read(float[] x, int from, int count, int streams) {
    return VECTOR
        ? VectorPeakLoop.read(x, from, count, streams)
        : Kernels.get().sum(count, x, from);
  }

  private static boolean scalarWasAskedFor() {
    return "scalar".equalsIgnoreCase(System.getProperty(KernelSelection.KERNELS_PROPERTY))
        && ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
  }

  private static float scalar(int steps, float a, float b) {
    float c0 = b;
    float c1 = b;
    float c2 = b;
    float c3 = b;
    float c4 = b;
    float c5 = b;
    float c6 = b;
    float c7 = b;
    float c8 = b;
    float c9 = b;
    float c10 = b;
    float c11 = b;
    for (int i = 0; i < steps; i++) {
      c0 = c0 * a + b;
      c1 = c1 * a + b;
      c2 = c2 * a + b;
      c3 = c3 * a + b;
      c4 = c4 * a + b;
      c5 = c5 * a + b;
      c6 = c6 * a + b;
      c7 = c7 * a + b;
      c8 = c8 * a + b;
      c9 = c9 * a + b;
      c10 = c10 * a + b;
      c11 = c11 * a + b;
    }
    return c0 + c1 + c2 + c3 + c4 + c5 - (c6 + c7 + c8 + c9 + c10 + c11);
  }
}
