// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/// Numbers in someone else's array or native memory under strides of its own, to be copied into a
/// [Tensor] once.
///
/// ```java
/// // rows of tokens [n, heads · d] as [1, heads, n, d], straight from a model's buffer
/// Tensor q = StridedView.of(rows, 0, new int[] {1, heads, n, d}, new long[] {0, d, heads * d, 1})
///     .toTensor();
/// ```
///
/// Strides count elements, not bytes, and may be 0 or negative. Elements are float32, or f16 or
/// bf16 that are widened on the way, in the machine's byte order. A view reads when it is copied,
/// not when it is made.
public final class StridedView {
  private final MemorySegment memory;
  private final DType type;
  private final long offset;
  private final int[] shape;
  private final long[] strides;

  private StridedView(MemorySegment memory, DType type, long offset, int[] shape, long[] strides) {
    this.memory = memory;
    this.type = type;
    this.offset = offset;
    this.shape = shape.clone();
    this.strides = strides.clone();
    if (type != DType.F32 && type != DType.F16 && type != DType.BF16) {
      throw new IllegalArgumentException("type must be F32, F16 or BF16, but was " + type);
    }
    if (shape.length != strides.length) {
      throw new IllegalArgumentException(
          "strides must be as many as the sizes of the shape ("
              + shape.length
              + "), but were "
              + strides.length);
    }
    int size = Tensor.sizeOf(shape);
    long low = offset;
    long high = offset;
    for (int i = 0; i < shape.length && size > 0; i++) {
      long reach = Math.multiplyExact(shape[i] - 1L, strides[i]);
      low = Math.addExact(low, Math.min(0, reach));
      high = Math.addExact(high, Math.max(0, reach));
    }
    long elements = memory.byteSize() / bytes();
    if (size > 0 && (low < 0 || high >= elements)) {
      throw new IllegalArgumentException(
          "elements must lie from 0 to "
              + (elements - 1)
              + ", but lie from "
              + low
              + " to "
              + high);
    }
  }

  /// A view of an array.
  ///
  /// @param data not copied
  /// @param offset first element
  /// @param shape sizes of the dimensions
  /// @param strides elements from one index of a dimension to the next
  /// @throws IllegalArgumentException if an element lies outside
  public static StridedView of(float[] data, long offset, int[] shape, long[] strides) {
    return new StridedView(MemorySegment.ofArray(data), DType.F32, offset, shape, strides);
  }

  /// A view of a memory segment; it must stay open until the view has been copied.
  ///
  /// @param memory not copied
  /// @param type F32, F16 or BF16
  /// @param offset first element, counted in elements from the segment's begin
  /// @param shape sizes of the dimensions
  /// @param strides elements from one index of a dimension to the next
  /// @throws IllegalArgumentException if an element lies outside
  public static StridedView of(
      MemorySegment memory, DType type, long offset, int[] shape, long[] strides) {
    return new StridedView(memory, type, offset, shape, strides);
  }

  /// A view of a memory segment whose elements lie one after the other, the last index fastest.
  public static StridedView of(MemorySegment memory, DType type, int... shape) {
    long[] strides = new long[shape.length];
    long step = 1;
    for (int i = shape.length - 1; i >= 0; i--) {
      strides[i] = step;
      step *= shape[i];
    }
    return of(memory, type, 0, shape, strides);
  }

  /// A fresh tensor of the view's shape.
  public Tensor toTensor() {
    Tensor tensor = Tensor.zeros(shape);
    copyTo(tensor);
    return tensor;
  }

  /// Copies the elements.
  ///
  /// @param tensor of the view's shape; every element is written
  public void copyTo(Tensor tensor) {
    if (!tensor.hasShape(shape)) {
      throw new IllegalArgumentException(
          "tensor must have shape " + Arrays.toString(shape) + ", but was " + tensor);
    }
    if (tensor.size() > 0) {
      copy(0, offset, tensor.data(), 0);
    }
  }

  /// Copies what lies below one index of the dimensions before `dimension`; returns the next place.
  private int copy(int dimension, long from, float[] to, int at) {
    if (dimension == shape.length) {
      to[at] = element(from);
      return at + 1;
    }
    boolean row = dimension == shape.length - 1 && strides[dimension] == 1;
    if (row && type == DType.F32) {
      ValueLayout.OfFloat layout = ValueLayout.JAVA_FLOAT_UNALIGNED;
      MemorySegment.copy(memory, layout, from * Float.BYTES, to, at, shape[dimension]);
      return at + shape[dimension];
    }
    int next = at;
    for (int i = 0; i < shape[dimension]; i++) {
      next = copy(dimension + 1, from + i * strides[dimension], to, next);
    }
    return next;
  }

  private float element(long index) {
    if (type == DType.F32) {
      return memory.get(ValueLayout.JAVA_FLOAT_UNALIGNED, index * Float.BYTES);
    }
    short bits = memory.get(ValueLayout.JAVA_SHORT_UNALIGNED, index * Short.BYTES);
    return type == DType.F16 ? Float.float16ToFloat(bits) : Float.intBitsToFloat(bits << 16);
  }

  private int bytes() {
    return type == DType.F32 ? Float.BYTES : Short.BYTES;
  }
}
