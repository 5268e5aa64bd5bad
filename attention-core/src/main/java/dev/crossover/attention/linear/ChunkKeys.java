// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// The keys and values of one chunk as linear attention needs them: features, with zeros for
/// padding, and the references of their scale.
///
/// Values are copied, because a copy streams from memory faster than a product does, and because
/// those of padding must be zero. Nothing of a padded row is read.
final class ChunkKeys {
  private static final int CHUNK = Segments.CHUNK;

  private final Kernels kernels = Kernels.get();
  private final FeatureRows run = new FeatureRows();
  private final FeatureMap map;
  private final Mask mask;
  private final int worker;
  private final int dim;
  private final int valueDim;
  private final int width;

  /// Distance between two rows of [#values]: the value's width, or wider where a column of ones
  /// (zero for padding) follows every value.
  final int valueStride;

  /// K = φ(k), `[CHUNK, M]`.
  final float[] features;

  /// The keys themselves, `[CHUNK, d]`, where the map weighs their products.
  final float[] rows;

  /// v, `[CHUNK, valueStride]`.
  final float[] values;

  /// Logarithm of the scale before each key, and after the last: see [FeatureMap#scaling].
  final double[] references;

  /// Number of keys before each key that are not padding, and of all.
  final int[] realKeys;

  /// Number of keys.
  int count;

  private int batch;
  private int head;
  private int first;
  private int position;
  private float[] k = new float[0];
  private int ko;

  /// Of no use but that its reads happen; see [Kernels#readAhead].
  private float readAhead;

  /// @param padding columns that follow each value, the first of them ones; 0 for none
  ChunkKeys(FeatureSite site, FeatureMap map, int worker, int padding) {
    Scratch scratch = site.scratch();
    this.map = map;
    this.mask = site.mask();
    this.worker = worker;
    this.dim = site.shape().headDim();
    this.valueDim = site.shape().valueDim();
    this.valueStride = valueDim + padding;
    this.width = map.width();
    features = scratch.floats((long) CHUNK * width);
    rows = scratch.floats(map.weighsProducts() ? (long) CHUNK * dim : 0);
    values = scratch.floats((long) CHUNK * valueStride);
    references = scratch.doubles(CHUNK + 1);
    realKeys = scratch.ints(CHUNK + 1);
  }

  /// Bytes the constructor allocates.
  ///
  /// @param keyWidth width of the keys that are kept beside their features, 0 if they are not
  static long bytes(int width, int valueStride, int keyWidth) {
    long floats = (long) CHUNK * (width + keyWidth + valueStride);
    return floats * Float.BYTES + (CHUNK + 1) * (long) (Double.BYTES + Integer.BYTES);
  }

  /// Starts a chunk without keys.
  ///
  /// @param reference logarithm of the scale before the chunk
  void none(double reference) {
    count = 0;
    references[0] = reference;
    realKeys[0] = 0;
  }

  /// Takes the key and value rows of a chunk.
  ///
  /// @param reference logarithm of the scale before the chunk
  /// @param firstKey index of the first key in the mask and the tensors
  /// @param firstPosition position of the first key in its sequence
  void take(
      double reference,
      int batchEntry,
      int keyHead,
      int firstKey,
      int firstPosition,
      int number,
      float[] keys,
      int keysAt,
      float[] v,
      int vo) {
    none(reference);
    count = number;
    batch = batchEntry;
    head = keyHead;
    first = firstKey;
    position = firstPosition;
    k = keys;
    ko = keysAt;
    readAhead = kernels.readAhead(count * dim, k, ko) + kernels.readAhead(count * valueDim, v, vo);
    for (int r = 0; r < count; ) {
      int end = r;
      while (end < count && isReal(end)) {
        end++;
        references[end] = references[r];
        realKeys[end] = realKeys[end - 1] + 1;
      }
      if (end > r) {
        map.keys(run(r, end), features, r * width);
        if (rows.length > 0) {
          System.arraycopy(k, ko + r * dim, rows, r * dim, (end - r) * dim);
        }
      }
      for (r = end; r < count && !isReal(r); r++) {
        Arrays.fill(features, r * width, (r + 1) * width, 0);
        if (rows.length > 0) {
          Arrays.fill(rows, r * dim, (r + 1) * dim, 0);
        }
        references[r + 1] = references[r];
        realKeys[r + 1] = realKeys[r];
        map.padding(run(r, r + 1));
      }
    }
    if (valueStride == valueDim && realKeys[count] == count) {
      System.arraycopy(v, vo, values, 0, count * valueDim);
    } else {
      copyValues(v, vo);
    }
  }

  private void copyValues(float[] v, int vo) {
    for (int r = 0; r < count; r++) {
      int to = r * valueStride;
      if (isReal(r)) {
        System.arraycopy(v, vo + r * valueDim, values, to, valueDim);
        if (valueStride > valueDim) {
          values[to + valueDim] = 1;
        }
      } else {
        Arrays.fill(values, to, to + valueStride, 0);
      }
    }
  }

  /// Whether key r of the chunk is not padding.
  boolean isReal(int r) {
    return mask.isRealKey(batch, first + r);
  }

  /// Whether the chunk holds a key that is not padding.
  boolean hasReal() {
    return realKeys[count] > 0;
  }

  /// Number of keys that order lets query i of the chunk see.
  ///
  /// @param offset key that query 0 stands at
  int limit(int i, int offset) {
    return Math.clamp(i + offset + 1, 0, count);
  }

  /// Logarithm of the scale after the last key.
  double lastReference() {
    return references[count];
  }

  /// Keys r to `end - 1` of the chunk, as their feature map sees them.
  FeatureRows run(int r, int end) {
    return run.of(worker, batch, head, position + r, first + r, end - r)
        .from(k, ko + r * dim, dim)
        .scaledBy(references, r);
  }
}
