package dev.crossover.variants.sparse;

/// Means of consecutive rows, block by block, summed in double.
final class BlockMeans {
  private static final int ROUND = 16;

  private BlockMeans() {}

  /// Rows to set aside for the means of `blocks` blocks: a multiple of a vector, so that products
  /// with all of them have no tail.
  static int pitch(int blocks) {
    return Math.ceilDiv(blocks, ROUND) * ROUND;
  }

  /// The mean of each block of rows.
  ///
  /// @param count number of rows; the last block may be short, its mean is over the rows it has
  /// @param x row r starts at `xo + r * width`
  /// @param means row I, the mean of block I, is written at `mo + I * width`
  static void of(int blockSize, int count, int width, float[] x, int xo, float[] means, int mo) {
    for (int block = 0; block * (long) blockSize < count; block++) {
      int first = block * blockSize;
      int rows = Math.min(blockSize, count - first);
      for (int c = 0; c < width; c++) {
        double sum = 0;
        for (int r = 0; r < rows; r++) {
          sum += x[xo + (first + r) * width + c];
        }
        means[mo + block * width + c] = (float) (sum / rows);
      }
    }
  }
}
