// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// One worker's softmax attention of a few query rows over the positions of a store.
///
/// ```
/// for each 4096 positions
///   for each 64 of them:  restore keys into the first-level cache;  s = q · kᵀ
///   m' = max(m, s);  o, z = (o, z) · e^(m − m');  p = e^(s − m');  z = z + Σ p
///   for each 64 of them:  restore values;  o = o + p · v
/// ```
public final class StoredAttention {
  private static final int CHUNK = 4096;
  private static final int TILE = 64;

  private final Kernels kernels = Kernels.get();
  private final int dim;
  private final int valueDim;
  private final float[] query;
  private final float[] scores;
  private final float[] tile;
  private final float[] numerator;
  private final float[] max;
  private final double[] denominator;
  private final float[] work;
  private int rows;

  /// @param scratch allocator
  /// @param maxRows largest number of query rows
  /// @param dim width of query and key rows
  /// @param valueDim width of value and output rows
  public StoredAttention(Scratch scratch, int maxRows, int dim, int valueDim) {
    this.dim = dim;
    this.valueDim = valueDim;
    query = scratch.floats((long) maxRows * dim);
    scores = scratch.floats((long) maxRows * CHUNK);
    tile = scratch.floats((long) TILE * Math.max(dim, valueDim));
    numerator = scratch.floats((long) maxRows * valueDim);
    max = scratch.floats(maxRows);
    denominator = scratch.doubles(maxRows);
    work = scratch.floats(kernels.transposedBScratch(TILE, dim));
  }

  /// Takes query rows and forgets everything before.
  ///
  /// @param q source, row r starts at `qo + r * dim`
  /// @param scale factor on the dot products
  public void begin(float[] q, int qo, int newRows, float scale) {
    rows = newRows;
    kernels.scale(rows * dim, scale, q, qo, query, 0);
    Arrays.fill(numerator, 0, rows * valueDim, 0);
    Arrays.fill(max, 0, rows, Float.NEGATIVE_INFINITY);
    Arrays.fill(denominator, 0, rows, 0);
  }

  /// Lets every row see the stored positions `from … to - 1` of a head.
  ///
  /// @param hidden where given, positions j with `hidden[ho + j]` are not seen
  public void attend(
      KeyValueStore store, int head, int from, int to, boolean @Nullable [] hidden, int ho) {
    for (int start = from; start < to; start += CHUNK) {
      int end = Math.min(to, start + CHUNK);
      for (int j = start; j < end; j += TILE) {
        int count = Math.min(TILE, end - j);
        store.readKeys(head, j, j + count, tile, 0);
        kernels.multiplyTransposedB(
            rows, count, dim, query, 0, dim, tile, 0, dim, scores, j - start, CHUNK, false, work,
            0);
      }
      for (int r = 0; r < rows; r++) {
        for (int j = start; hidden != null && j < end; j++) {
          if (hidden[ho + j]) {
            scores[r * CHUNK + j - start] = Float.NEGATIVE_INFINITY;
          }
        }
        weights(r, end - start);
      }
      for (int j = start; j < end; j += TILE) {
        int count = Math.min(TILE, end - j);
        store.readValues(head, j, j + count, tile, 0);
        clear(hidden, ho + j, count);
        kernels.multiply(
            rows, valueDim, count, scores, j - start, CHUNK, tile, 0, valueDim, numerator, 0,
            valueDim, true);
      }
    }
  }

  /// A weight of zero times NaN is NaN: values of hidden positions are cleared.
  private void clear(boolean @Nullable [] hidden, int ho, int count) {
    for (int j = 0; hidden != null && j < count; j++) {
      if (hidden[ho + j]) {
        Arrays.fill(tile, j * valueDim, (j + 1) * valueDim, 0);
      }
    }
  }

  private void weights(int r, int count) {
    int so = r * CHUNK;
    float largest = kernels.max(count, scores, so);
    if (largest == Float.NEGATIVE_INFINITY) {
      Arrays.fill(scores, so, so + count, 0);
      return;
    }
    if (largest > max[r]) {
      float keep = (float) Math.exp((double) max[r] - largest);
      max[r] = largest;
      denominator[r] *= keep;
      kernels.scale(valueDim, keep, numerator, r * valueDim, numerator, r * valueDim);
    }
    denominator[r] += kernels.exp(count, 1, -max[r], scores, so, scores, so);
  }

  /// Divides and writes the output rows, row r at `oo + r * valueDim`; a row that saw no key is
  /// zero.
  public void finish(float[] out, int oo) {
    for (int r = 0; r < rows; r++) {
      float inverse = denominator[r] == 0 ? 0 : (float) (1 / denominator[r]);
      kernels.scale(valueDim, inverse, numerator, r * valueDim, out, oo + r * valueDim);
    }
  }
}
