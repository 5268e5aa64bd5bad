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
///   s = q · kᵀ, restored in registers or in the first-level cache
///   m' = max(m, s);  o, z = (o, z) · e^(m − m');  p = e^(s − m');  z = z + Σ p
///   o = o + p · v, restored likewise
/// ```
public final class StoredAttention {
  private static final int CHUNK = 4096;

  private final Kernels kernels = Kernels.get();
  private final int dim;
  private final int valueDim;
  private final float[] query;
  private final float[] scores;
  private final RowTile tile;
  private final float[] numerator;
  private final float[] max;
  private final double[] denominator;
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
    tile = new RowTile(scratch, Math.max(dim, valueDim));
    numerator = scratch.floats((long) maxRows * valueDim);
    max = scratch.floats(maxRows);
    denominator = scratch.doubles(maxRows);
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
      store.dots(head, start, end, rows, query, 0, scores, 0, CHUNK, tile);
      for (int r = 0; r < rows; r++) {
        for (int j = start; hidden != null && j < end; j++) {
          if (hidden[ho + j]) {
            scores[r * CHUNK + j - start] = Float.NEGATIVE_INFINITY;
          }
        }
        weights(r, end - start);
      }
      if (hidden == null) {
        store.mix(head, start, end, rows, scores, 0, CHUNK, numerator, 0, tile);
      } else {
        mixSeen(store, head, start, end, hidden, ho);
      }
    }
  }

  /// A weight of zero times NaN is NaN: values of hidden positions are cleared.
  private void mixSeen(
      KeyValueStore store, int head, int start, int end, boolean[] hidden, int ho) {
    float[] values = tile.rows();
    for (int first = start; first < end; first += RowTile.ROWS) {
      int count = Math.min(RowTile.ROWS, end - first);
      store.readValues(head, first, first + count, values, 0);
      for (int j = 0; j < count; j++) {
        if (hidden[ho + first + j]) {
          Arrays.fill(values, j * valueDim, (j + 1) * valueDim, 0);
        }
      }
      int w = first - start;
      kernels.multiply(
          rows, valueDim, count, scores, w, CHUNK, values, 0, valueDim, numerator, 0, valueDim,
          true);
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
