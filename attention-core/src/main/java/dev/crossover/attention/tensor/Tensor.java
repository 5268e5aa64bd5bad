// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.util.Arrays;

/// A dense float32 array with a shape, row-major: the last index runs fastest.
///
/// A tensor is a view of a plain `float[]` from element 0; it holds no strides and no offset, so
/// that kernels can take `data()` and an index computed by the caller. Attention tensors are
/// `[batch, heads, seqLen, dim]`, each head one contiguous `[seqLen, dim]` block.
///
/// The shape is immutable, the elements are not. Not safe for concurrent writes.
public final class Tensor {
  private final float[] data;
  private final int[] shape;

  private Tensor(float[] data, int[] shape) {
    this.data = data;
    this.shape = shape;
  }

  /// Wraps an array without copying it.
  ///
  /// @param data the elements, row-major; exactly as many as the shape holds
  /// @param shape sizes of the dimensions, each at least 0; an empty shape is a scalar
  /// @return a tensor that shares `data`
  /// @throws IllegalArgumentException if a size is negative or the array's length does not match
  public static Tensor of(float[] data, int... shape) {
    int size = sizeOf(shape);
    if (data.length != size) {
      throw new IllegalArgumentException(
          "data length must equal the size of shape "
              + Arrays.toString(shape)
              + " ("
              + size
              + "), but was "
              + data.length);
    }
    return new Tensor(data, shape.clone());
  }

  /// A tensor of zeros with fresh storage.
  ///
  /// @param shape sizes of the dimensions, each at least 0
  /// @return a zero-filled tensor
  /// @throws IllegalArgumentException if a size is negative or the tensor exceeds 2³¹ − 1 elements
  public static Tensor zeros(int... shape) {
    return new Tensor(new float[sizeOf(shape)], shape.clone());
  }

  /// Number of elements a shape holds.
  ///
  /// @param shape sizes of the dimensions, each at least 0
  /// @return their product
  /// @throws IllegalArgumentException if a size is negative or the product exceeds 2³¹ − 1
  public static int sizeOf(int... shape) {
    long size = 1;
    for (int extent : shape) {
      if (extent < 0) {
        throw new IllegalArgumentException(
            "shape must have sizes >= 0, but was " + Arrays.toString(shape));
      }
      size *= extent;
      if (size > Integer.MAX_VALUE) {
        throw new IllegalArgumentException(
            "shape must hold at most 2^31 - 1 elements, but was " + Arrays.toString(shape));
      }
    }
    return (int) size;
  }

  /// The elements, row-major; writing to this array writes to the tensor.
  public float[] data() {
    return data;
  }

  /// Number of elements.
  public int size() {
    return data.length;
  }

  /// Number of dimensions.
  public int rank() {
    return shape.length;
  }

  /// Size of one dimension.
  ///
  /// @param dimension from 0 to `rank() - 1`
  public int extent(int dimension) {
    return shape[dimension];
  }

  /// A copy of the shape.
  public int[] shape() {
    return shape.clone();
  }

  /// Whether the shape equals the given sizes; allocates nothing when called with an array.
  public boolean hasShape(int... sizes) {
    return Arrays.equals(shape, sizes);
  }

  /// The same elements under another shape of equal size; storage is shared.
  public Tensor reshape(int... newShape) {
    return of(data, newShape);
  }

  /// A deep copy.
  public Tensor copy() {
    return new Tensor(data.clone(), shape);
  }

  /// The shape and nothing else; never the elements.
  @Override
  public String toString() {
    return "Tensor" + Arrays.toString(shape);
  }
}
