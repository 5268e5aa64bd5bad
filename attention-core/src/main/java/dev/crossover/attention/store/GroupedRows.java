// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.Widening;
import java.util.Arrays;

/// KIVI's rows: old ones in groups of few bits, the newest in full precision.
///
/// ```
/// of a group: m = min, s = (max − m) / (2^bits − 1)
/// code = rint(clamp((x − m) / s, 0, 2^bits − 1));   restored = code · s + m, rounded twice
/// ```
///
/// Keys: a group is some consecutive tokens of one channel; once R = residualLength rows are in
/// full precision, all R are encoded when the next row arrives. Values: a group is some consecutive
/// channels of one token; a row is encoded when R newer ones have been stored before the next.
/// Codes are packed, and never change once written.
final class GroupedRows extends RowStore {
  private final Kernels kernels = Kernels.get();
  private final Storage storage;
  private final boolean keys;
  private final int perByte;
  private final int levels;
  private byte[] codes;
  private float[] scales;
  private float[] minima;
  /// A ring of rows in full precision: row r is at r mod the ring's length.
  private float[] recent;

  private final int ring;
  private int encoded;
  private int capacity;

  GroupedRows(Storage storage, int dim, int capacity, boolean keys) {
    super(dim);
    this.storage = storage;
    this.keys = keys;
    perByte = 8 / storage.bits();
    levels = (1 << storage.bits()) - 1;
    ring = storage.residualLength() + 1;
    recent = new float[ring * dim];
    codes = new byte[0];
    scales = new float[0];
    minima = scales;
    grow(capacity);
  }

  private void grow(int rows) {
    capacity = rows;
    codes = Arrays.copyOf(codes, Math.ceilDiv(rows * dim, perByte));
    int groups = Math.ceilDiv(rows * dim, storage.groupSize()) + dim;
    scales = Arrays.copyOf(scales, groups);
    minima = Arrays.copyOf(minima, groups);
  }

  @Override
  void reserve(int rows) {
    if (capacity < rows) {
      grow(grown(capacity, rows));
    }
  }

  @Override
  void write(int row, float[] values, int at) {
    System.arraycopy(values, at, recent, row % ring * dim, dim);
  }

  @Override
  void beforeAppend(int rows) {
    int residual = storage.residualLength();
    if (keys && rows % residual == 0 && rows > encoded) {
      for (int first = encoded; first < rows; first += storage.groupSize()) {
        encodeKeys(first);
      }
      encoded = rows;
    }
    for (; !keys && encoded < rows - residual; encoded++) {
      encodeValues(encoded);
    }
  }

  private void encodeKeys(int first) {
    int size = storage.groupSize();
    for (int c = 0; c < dim; c++) {
      float low = Float.POSITIVE_INFINITY;
      float high = Float.NEGATIVE_INFINITY;
      for (int t = first; t < first + size; t++) {
        float value = recent[t % ring * dim + c];
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      int group = group(first, c);
      scales[group] = (high - low) / levels;
      minima[group] = low;
      for (int t = first; t < first + size; t++) {
        encode(t, c, group);
      }
    }
  }

  private void encodeValues(int row) {
    int size = storage.groupSize();
    for (int first = 0; first < dim; first += size) {
      float low = Float.POSITIVE_INFINITY;
      float high = Float.NEGATIVE_INFINITY;
      for (int c = first; c < first + size; c++) {
        float value = recent[row % ring * dim + c];
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      int group = group(row, first);
      scales[group] = (high - low) / levels;
      minima[group] = low;
      for (int c = first; c < first + size; c++) {
        encode(row, c, group);
      }
    }
  }

  private int group(int row, int channel) {
    return keys
        ? row / storage.groupSize() * dim + channel
        : (row * dim + channel) / storage.groupSize();
  }

  private void encode(int row, int channel, int group) {
    float scale = scales[group];
    float value = recent[row % ring * dim + channel];
    float steps = scale == 0 ? 0 : (value - minima[group]) / scale;
    int code = (int) Math.rint(Math.clamp(steps, 0, (float) levels));
    int at = row * dim + channel;
    int shift = at % perByte * storage.bits();
    int others = codes[at / perByte] & ~(levels << shift);
    codes[at / perByte] = (byte) (others | code << shift);
  }

  @Override
  int code(int row, int channel) {
    return row < encoded ? stored(row * dim + channel) : -1;
  }

  private int stored(int at) {
    return codes[at / perByte] >>> at % perByte * storage.bits() & levels;
  }

  @Override
  void read(int from, int to, float[] into, int at) {
    for (int row = from; row < to; row++) {
      int o = at + (row - from) * dim;
      if (row >= encoded) {
        System.arraycopy(recent, row % ring * dim, into, o, dim);
        continue;
      }
      Widening.packed(dim, storage.bits(), codes, row * dim, into, o);
      int group = group(row, 0);
      if (keys) {
        kernels.multiplyElements(dim, into, o, scales, group, into, o);
        kernels.add(dim, into, o, minima, group, into, o);
      } else {
        int size = storage.groupSize();
        for (int c = 0; c < dim; c += size, group++) {
          Widening.affine(size, scales[group], minima[group], into, o + c);
        }
      }
    }
  }

  @Override
  long bytes() {
    long groups = (long) encoded * dim / storage.groupSize();
    return (long) encoded * dim * storage.bits() / 8
        + 2 * groups * Float.BYTES
        + (long) (count() - encoded) * dim * Float.BYTES;
  }

  @Override
  RowStore copy() {
    GroupedRows copy = new GroupedRows(storage, dim, 0, keys);
    copy.capacity = capacity;
    copy.codes = codes.clone();
    copy.scales = scales.clone();
    copy.minima = minima.clone();
    copy.recent = recent.clone();
    copy.encoded = encoded;
    return counted(copy);
  }

  /// Rows that were encoded cannot be had back in full precision.
  @Override
  void afterTruncate(int rows) {
    if (rows > 0 && rows < encoded) {
      throw new IllegalStateException(
          "position must be at least the number of encoded rows ("
              + encoded
              + "), but was "
              + rows);
    }
    encoded = Math.min(encoded, rows);
  }

  @Override
  int earliest() {
    return encoded;
  }

  @Override
  void drop(int from, int to) {
    if (from < to) {
      throw new UnsupportedOperationException(
          "grouped storage must not drop positions: rows share their scales");
    }
  }

  @Override
  void keep(int[] rows, int at, int kept) {
    throw new UnsupportedOperationException(
        "grouped storage must not drop positions: rows share their scales");
  }

  @Override
  void move(int from, int to) {
    throw new UnsupportedOperationException("grouped rows must not move");
  }
}
