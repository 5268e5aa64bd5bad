// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

/// Row-major positions of a tensor's elements in the order in which a file holds them.
final class ElementOrder {
  /// Extents and row-major strides, the axis that runs fastest in the file first.
  private final int[] extents;

  private final int[] strides;
  private final int[] counters;
  private int position;

  /// @param shape of at most 2³¹ − 1 elements
  ElementOrder(long[] shape, boolean fortranOrder) {
    int rank = fortranOrder ? shape.length : 1;
    extents = new int[rank];
    strides = new int[rank];
    counters = new int[rank];
    if (!fortranOrder) {
      extents[0] = Integer.MAX_VALUE;
      strides[0] = 1;
      return;
    }
    int stride = 1;
    for (int axis = rank - 1; axis >= 0; axis--) {
      extents[axis] = (int) shape[axis];
      strides[axis] = stride;
      stride *= extents[axis];
    }
  }

  /// Position of the next element; to be called once per element.
  int next() {
    int current = position;
    for (int axis = 0; axis < extents.length; axis++) {
      position += strides[axis];
      if (++counters[axis] < extents[axis]) {
        return current;
      }
      position -= strides[axis] * extents[axis];
      counters[axis] = 0;
    }
    return current;
  }
}
