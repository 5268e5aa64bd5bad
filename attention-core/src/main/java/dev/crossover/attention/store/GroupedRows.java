// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.PackedRows;
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
/// Codes are packed in the planes of [PackedRows], and never change once written.
final class GroupedRows extends RowStore {
  private final Kernels kernels = Kernels.get();
  private final Storage storage;
  private final boolean keys;
  private final int bits;
  private final int stride;
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
    bits = storage.bits();
    stride = PackedRows.stride(dim, bits);
    levels = (1 << bits) - 1;
    ring = storage.residualLength() + 1;
    recent = new float[ring * dim];
    codes = new byte[0];
    scales = new float[0];
    minima = scales;
    grow(capacity);
  }

  private void grow(int rows) {
    capacity = rows;
    codes = Arrays.copyOf(codes, rows * stride);
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
    int at = row * stride + channel % stride;
    int shift = channel / stride * bits;
    int others = codes[at] & ~(levels << shift);
    codes[at] = (byte) (others | code << shift);
  }

  @Override
  int code(int row, int channel) {
    int packed = codes[row * stride + channel % stride];
    return row < encoded ? packed >>> channel / stride * bits & levels : -1;
  }

  @Override
  void read(int from, int to, float[] into, int at) {
    int size = storage.groupSize();
    for (int row = from; row < to; row++) {
      int o = at + (row - from) * dim;
      int group = group(row, 0);
      if (row >= encoded) {
        System.arraycopy(recent, row % ring * dim, into, o, dim);
      } else if (keys) {
        PackedRows.restoreColumns(dim, bits, codes, row * stride, scales, minima, group, into, o);
      } else {
        PackedRows.restoreGroups(
            dim, bits, size, codes, row * stride, scales, minima, group, into, o);
      }
    }
  }

  /// Rows of a group meet the query times their scales: q · (code · s + m) = (q · s) · code + q ·
  /// m.
  @Override
  boolean dotsInRegisters(
      float[] q, int qo, int from, int to, float[] scores, int so, RowTile tile) {
    if (!keys || !PackedRows.dotsInRegisters(dim, bits)) {
      return false;
    }
    int size = storage.groupSize();
    float[] scaled = tile.rows();
    int end = Math.clamp(encoded, from, to);
    for (int row = from; row < end; ) {
      int next = Math.min(end, (row / size + 1) * size);
      int group = group(row, 0);
      kernels.multiplyElements(dim, q, qo, scales, group, scaled, 0);
      float shift = kernels.dot(dim, q, qo, minima, group);
      int at = so + row - from;
      PackedRows.dots(next - row, dim, bits, scaled, 0, shift, codes, row * stride, scores, at);
      row = next;
    }
    for (int row = end; row < to; row++) {
      scores[so + row - from] = kernels.dot(dim, q, qo, recent, row % ring * dim);
    }
    return true;
  }

  @Override
  boolean mixInRegisters(float[] w, int wo, int from, int to, int width, float[] out, int oo) {
    int size = storage.groupSize();
    if (keys || width != dim || !PackedRows.mixInRegisters(dim, bits, size)) {
      return false;
    }
    int end = Math.clamp(encoded, from, to);
    PackedRows.mix(
        end - from,
        dim,
        bits,
        size,
        w,
        wo,
        codes,
        from * stride,
        scales,
        minima,
        group(from, 0),
        out,
        oo);
    for (int row = end; row < to; row++) {
      kernels.axpy(dim, w[wo + row - from], recent, row % ring * dim, out, oo);
    }
    return true;
  }

  @Override
  long bytes() {
    long groups = (long) encoded * dim / storage.groupSize();
    return (long) encoded * stride
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
