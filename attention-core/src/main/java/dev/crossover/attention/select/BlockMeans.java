// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

/// Means of consecutive rows, block by block, summed in double.
public final class BlockMeans {
  private static final int ROUND = 16;

  private BlockMeans() {}

  /// Rows to set aside for the means of `blocks` blocks: a multiple of a vector, so that products
  /// with all of them have no tail.
  public static int pitch(int blocks) {
    return Math.ceilDiv(blocks, ROUND) * ROUND;
  }

  /// The mean of each block of rows.
  ///
  /// @param count number of rows; the last block may be short, its mean is over the rows it has
  /// @param x row r starts at `xo + r * width`
  /// @param means row I, the mean of block I, is written at `mo + I * width`
  public static void of(
      int blockSize, int count, int width, float[] x, int xo, float[] means, int mo) {
    for (int block = 0; block * (long) blockSize < count; block++) {
      int first = block * blockSize;
      int rows = Math.min(blockSize, count - first);
      int target = mo + block * width;
      int c = 0;
      for (; c + 4 <= width; c += 4) {
        double sum0 = 0;
        double sum1 = 0;
        double sum2 = 0;
        double sum3 = 0;
        for (int at = xo + first * width + c, r = 0; r < rows; r++, at += width) {
          sum0 += x[at];
          sum1 += x[at + 1];
          sum2 += x[at + 2];
          sum3 += x[at + 3];
        }
        means[target + c] = (float) (sum0 / rows);
        means[target + c + 1] = (float) (sum1 / rows);
        means[target + c + 2] = (float) (sum2 / rows);
        means[target + c + 3] = (float) (sum3 / rows);
      }
      for (; c < width; c++) {
        double sum = 0;
        for (int r = 0; r < rows; r++) {
          sum += x[xo + (first + r) * width + c];
        }
        means[target + c] = (float) (sum / rows);
      }
    }
  }
}
