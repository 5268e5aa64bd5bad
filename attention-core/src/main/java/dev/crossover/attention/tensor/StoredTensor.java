// SPDX-License-Identifier: Apache-2.0
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

  /// Whether the first index runs fastest in the file, instead of the last.
  final boolean fortranOrder;

  /// First byte of the elements, counted as the file's format counts.
  final long begin;

  /// @param count what [#countOf] says of the shape, not negative
  StoredTensor(
      String name,
      DType dtype,
      ByteOrder byteOrder,
      boolean fortranOrder,
      long[] shape,
      long count,
      long begin) {
    this.name = name;
    this.dtype = dtype;
    this.byteOrder = byteOrder;
    this.fortranOrder = fortranOrder;
    this.shape = shape;
    this.count = count;
    this.begin = begin;
  }

  /// Bytes of all elements.
  long bytes() {
    return count * dtype.bytes();
  }

  /// First byte after the elements.
  long end() {
    return begin + bytes();
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
