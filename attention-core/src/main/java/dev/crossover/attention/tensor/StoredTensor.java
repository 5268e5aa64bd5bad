package dev.crossover.attention.tensor;

import java.nio.ByteOrder;

/// What a file's header says about one tensor; already checked against the file's length.
final class StoredTensor {
  /// More dimensions than any program writes; a header cannot make us hold more.
  static final int HIGHEST_RANK = 64;

  final String name;
  final DType dtype;
  final ByteOrder byteOrder;
  final long[] shape;
  final long count;

  /// First byte of the elements, counted as the file's format counts.
  final long begin;

  StoredTensor(
      String name, DType dtype, ByteOrder byteOrder, long[] shape, long count, long begin) {
    this.name = name;
    this.dtype = dtype;
    this.byteOrder = byteOrder;
    this.shape = shape;
    this.count = count;
    this.begin = begin;
  }

  long end() {
    return begin + count * dtype.bytes();
  }

  /// Elements that a shape holds, or -1 if they or their bytes exceed 2⁶³ − 1.
  static long countOf(long[] shape, DType dtype) {
    try {
      long count = 1;
      for (long extent : shape) {
        count = Math.multiplyExact(count, extent);
      }
      Math.multiplyExact(count, (long) dtype.bytes());
      return count;
    } catch (ArithmeticException _) {
      return -1;
    }
  }
}
