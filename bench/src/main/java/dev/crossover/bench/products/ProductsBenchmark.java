// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.products;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.random.Draws;
import dev.crossover.bench.peak.PeakMeter;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/// Which product of the sizes that mechanisms use falls short of the machine?
///
/// Expected: products of 64 columns and more reach more than half of the peak, narrow and short
/// ones less; elementwise passes are bound by their arithmetic in the second-level cache. One
/// thread; the peak is run before every iteration.
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(
    value = 3,
    jvmArgsAppend = {"-Xms1g", "-Xmx1g"})
@Warmup(iterations = 3, time = 200, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 4, time = 150, timeUnit = TimeUnit.MILLISECONDS)
public class ProductsBenchmark {
  private static final int ELEMENTS = 1 << 15;

  /// What is computed: an operation and, for products, rows, columns and depth.
  @Param({
    "AB 2048 256 64",
    "ABpadded 2048 256 64",
    "AB 2048 64 256",
    "AB 256 64 2048",
    "AB 64 64 64",
    "AB 128 64 128",
    "AB 256 64 256",
    "ABt 2048 256 64",
    "ABt 64 64 64",
    "ABt 128 128 64",
    "ABt 256 256 64",
    "AtB 256 64 2048",
    "AtB 64 64 64",
    "AtB 64 64 128",
    "AtB 128 64 64",
    "AtB 256 64 64",
    "AtB 64 64 256",
    "lower 64 64 64",
    "lower 128 64 128",
    "exp",
    "elu+1",
    "relu",
    "softmax 64",
    "softmax 256"
  })
  public String operation = "AB 64 64 64";

  /// The peak, as a second result of every iteration.
  @State(Scope.Thread)
  @AuxCounters(AuxCounters.Type.EVENTS)
  public static class PeakBeside {
    /// Name of the result.
    static final String RESULT = "peakGflops";

    private final PeakMeter meter = new PeakMeter(1);
    private double gflops;

    /// Runs the loop before the products are timed.
    @Setup(Level.Iteration)
    public void sample() {
      gflops = meter.sample();
    }

    /// What it reached, in 10⁹ operations per second.
    public double peakGflops() {
      return gflops;
    }
  }

  private final Kernels kernels = Kernels.get();
  private String name = "";
  private int m;
  private int n;
  private int k;
  private int pitch;
  private float[] a = new float[0];
  private float[] b = a;
  private float[] c = a;
  private float[] work = a;

  /// Floating-point operations of one call, or elements for an elementwise pass.
  ///
  /// @param operation as the parameter
  public static double work(String operation) {
    String[] words = operation.split(" ");
    if (words.length < 4) {
      return ELEMENTS;
    }
    double m = Integer.parseInt(words[1]);
    double n = Integer.parseInt(words[2]);
    double k = Integer.parseInt(words[3]);
    return words[0].equals("lower") ? m * n * (k + 1) : 2 * m * n * k;
  }

  /// Whether an operation is measured by elements rather than floating-point operations.
  ///
  /// @param operation as the parameter
  public static boolean elementwise(String operation) {
    return operation.split(" ").length < 4;
  }

  /// Draws operands, and compares a product with double precision in one element.
  @Setup
  public void draw() {
    String[] words = operation.split(" ");
    name = words[0];
    if (words.length < 4) {
      n = words.length == 2 ? Integer.parseInt(words[1]) : ELEMENTS;
      work = new float[ELEMENTS];
      a = Draws.gaussian(1, ELEMENTS).data();
      c = new float[ELEMENTS];
      return;
    }
    m = Integer.parseInt(words[1]);
    n = Integer.parseInt(words[2]);
    k = Integer.parseInt(words[3]);
    pitch = name.equals("ABpadded") ? n + 16 : n;
    a = Draws.gaussian(1, m * k).data();
    b = Draws.gaussian(2, k * pitch).data();
    c = new float[m * n];
    work = new float[kernels.transposedBScratch(n, k)];
    run();
    double expected = 0;
    for (int l = 0; l < k; l++) {
      double left = name.equals("AtB") ? a[l * m + m - 1] : a[(m - 1) * k + l];
      expected += left * (name.equals("ABt") ? b[(n - 1) * k + l] : b[l * pitch + n - 1]);
    }
    double error = Math.abs(expected - c[m * n - 1]);
    if (!(error < 1e-3)) {
      throw new IllegalStateException(operation + " must be right, but errs by " + error);
    }
  }

  /// One call.
  ///
  /// @return where the result lies
  @Benchmark
  public float[] run(PeakBeside peak) {
    return run();
  }

  private float[] run() {
    switch (name) {
      case "AB", "ABpadded" -> kernels.multiply(m, n, k, a, 0, k, b, 0, pitch, c, 0, n, false);
      case "ABt" -> kernels.multiplyTransposedB(m, n, k, a, 0, k, b, 0, k, c, 0, n, false, work, 0);
      case "AtB" -> kernels.multiplyTransposedA(m, n, k, a, 0, m, b, 0, n, c, 0, n, false);
      case "lower" -> kernels.multiplyLower(m, n, k, 0, a, 0, k, b, 0, n, c, 0, n, false);
      case "exp" -> kernels.exp(ELEMENTS, 1, 0, a, 0, c, 0);
      case "elu+1" -> kernels.eluPlusOne(ELEMENTS, a, 0, c, 0);
      case "relu" -> kernels.relu(ELEMENTS, 0, a, 0, c, 0);
      case "softmax" -> kernels.softmaxRows(ELEMENTS / n, n, 1, a, 0, n, c, 0, n, work, 0);
      default -> throw new IllegalArgumentException("operation must be known, but was " + name);
    }
    return c;
  }
}
