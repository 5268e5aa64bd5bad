package dev.crossover.attention.kernel;

import dev.crossover.attention.Workers;

/// What this machine can do in this JVM: the denominators that every benchmark puts beside its
/// kernel, to be run in the same minute, interleaved.
public final class PeakKernel {
  private static final int DEPTH = 64;
  private static final int PANELS = 2;
  private static final int CALLS_PER_TASK = 2000;
  private static final int TASKS_PER_THREAD = 8;
  /// Far more than any last-level cache holds.
  private static final int MEGABYTES = 1024;

  private static final int MEGABYTES_PER_TASK = 4;
  private static final int STREAMS = 4;

  private final Workers workers;
  private final float[][] left;
  private final float[][] right;
  private final float[][] product;
  private final Workers.Task multiply = this::multiply;
  private final Workers.Task read = this::read;
  private float[] memory = new float[0];
  private volatile float sink;

  /// @param threads number of threads, at least 1
  public PeakKernel(int threads) {
    workers = new Workers(threads);
    left = new float[threads][];
    right = new float[threads][];
    product = new float[threads][];
    for (int t = 0; t < threads; t++) {
      left[t] = filled(DEPTH * rows());
      right[t] = filled(PANELS * DEPTH * columns());
      product[t] = new float[rows() * Math.max(Lanes.TILE, PANELS * columns())];
    }
  }

  /// Floating-point operations of one [#run].
  public double flops() {
    return 2.0
        * rows()
        * columns()
        * PANELS
        * DEPTH
        * CALLS_PER_TASK
        * TASKS_PER_THREAD
        * workers.threads();
  }

  /// Multiplies packed blocks that stay in the first-level cache, with the block shape of the fused
  /// kernels, on every thread.
  public void run() {
    workers.run(TASKS_PER_THREAD * workers.threads(), multiply);
  }

  /// Reads a gigabyte once on all threads, for benchmarks that time it among their contenders.
  public void readAll() {
    if (memory.length == 0) {
      memory = filled(MEGABYTES << 18);
    }
    workers.run(MEGABYTES / MEGABYTES_PER_TASK, read);
  }

  /// Bytes that [#readAll] reads.
  public double bytesRead() {
    return 4.0 * (MEGABYTES << 18);
  }

  private void multiply(int worker, int index) {
    float[] zero = new float[rows()];
    for (int call = 0; call < CALLS_PER_TASK; call++) {
      if (KernelSelection.VECTOR) {
        FusedProducts.scores(
            DEPTH, left[worker], 0, right[worker], 0, PANELS, product[worker], 0, zero, 0);
      } else {
        Kernels.get()
            .multiply(
                rows(),
                PANELS * columns(),
                DEPTH,
                left[worker],
                0,
                DEPTH,
                right[worker],
                0,
                PANELS * columns(),
                product[worker],
                0,
                PANELS * columns(),
                false);
      }
    }
  }

  private void read(int worker, int index) {
    int floats = MEGABYTES_PER_TASK << 18;
    sink =
        KernelSelection.VECTOR
            ? PeakLoop.read(memory, index * floats, floats, STREAMS)
            : Kernels.get().sum(floats, memory, index * floats);
  }

  private static int rows() {
    return KernelSelection.VECTOR ? Lanes.ROWS : 4;
  }

  private static int columns() {
    return KernelSelection.VECTOR ? Lanes.PANEL : 16;
  }

  private static float[] filled(int n) {
    float[] x = new float[n];
    for (int i = 0; i < n; i++) {
      x[i] = (i % 7) * 0.125f;
    }
    return x;
  }
}
