package dev.crossover.attention.kernel;

/// Products of small square matrices in double precision, for chains that float32 does not carry.
///
/// The loops run along rows, so that the compiler turns them into vector instructions by itself.
public final class DoubleProducts {
  private static final int UNROLL = 4;

  private DoubleProducts() {}

  /// `C = A · B`, all `[n,n]` row-major from their offsets; C overlaps neither.
  public static void multiply(int n, double[] a, int ao, double[] b, int bo, double[] c, int co) {
    for (int i = 0; i < n; i++) {
      int row = co + i * n;
      java.util.Arrays.fill(c, row, row + n, 0);
      int k = 0;
      for (; k + UNROLL <= n; k += UNROLL) {
        addFourRows(n, a, ao + i * n + k, b, bo + k * n, c, row);
      }
      for (; k < n; k++) {
        double factor = a[ao + i * n + k];
        for (int j = 0; j < n; j++) {
          c[row + j] += factor * b[bo + k * n + j];
        }
      }
    }
  }

  private static void addFourRows(
      int n, double[] a, int ao, double[] b, int bo, double[] c, int row) {
    double a0 = a[ao];
    double a1 = a[ao + 1];
    double a2 = a[ao + 2];
    double a3 = a[ao + 3];
    for (int j = 0; j < n; j++) {
      c[row + j] +=
          a0 * b[bo + j] + a1 * b[bo + n + j] + a2 * b[bo + 2 * n + j] + a3 * b[bo + 3 * n + j];
    }
  }
}
