// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Where the tasks of a backward pass add ∂k and ∂v: one task per part of each key/value head.
///
/// A head has one part, which adds to the caller's arrays, unless heads are too few to fill all
/// threads; then every part has sums of its own, which are added in order at the end. The number
/// depends on the shape only, so that the bits do not depend on the threads.
public final class KeyShares {
  private static final int ENOUGH_TASKS = 8;
  private static final int SLICES = 8;

  private final AttentionShape shape;
  private final Kernels kernels = Kernels.get();
  private final int parts;
  private final float[] keys;
  private final float[] values;
  private final Workers.Task slice = this::slice;
  private float @Nullable [] gradKey;
  private float @Nullable [] gradValue;

  /// @param scratch allocator
  /// @param shape sizes
  public KeyShares(Scratch scratch, AttentionShape shape) {
    this.shape = shape;
    parts = parts(shape);
    keys = scratch.floats(parts == 1 ? 0 : parts * rows(shape) * shape.headDim());
    values = scratch.floats(parts == 1 ? 0 : parts * rows(shape) * shape.valueDim());
  }

  /// Bytes the constructor allocates.
  public static long bytes(AttentionShape s) {
    int parts = parts(s);
    return parts == 1 ? 0 : Float.BYTES * parts * rows(s) * (s.headDim() + s.valueDim());
  }

  private static int parts(AttentionShape s) {
    return Math.ceilDiv(ENOUGH_TASKS, Math.max(1, s.batchSize() * s.numKeyValueHeads()));
  }

  private static long rows(AttentionShape s) {
    return (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
  }

  /// Parts of each head.
  public int parts() {
    return parts;
  }

  /// Number of tasks: part p of key/value head g, counted over the batch, is task `g parts() + p`.
  public int tasks() {
    return shape.batchSize() * shape.numKeyValueHeads() * parts;
  }

  /// First of the `count` items of a head that belong to a part.
  public int first(int part, int count) {
    return (int) ((long) part * count / parts);
  }

  /// Takes the caller's arrays, which are added to; null where one is not wanted.
  public void bind(float @Nullable [] newGradKey, float @Nullable [] newGradValue) {
    gradKey = newGradKey;
    gradValue = newGradValue;
  }

  /// Zeroes the sums of a task that has its own.
  public void begin(int task) {
    if (parts > 1) {
      int nk = shape.keySeqLen();
      Arrays.fill(keys, keyOffset(task), keyOffset(task) + nk * shape.headDim(), 0);
      Arrays.fill(values, valueOffset(task), valueOffset(task) + nk * shape.valueDim(), 0);
    }
  }

  /// Where a task adds ∂k, key row j at `keyOffset(task) + j * headDim`; null if it is not wanted.
  public float @Nullable [] keys() {
    return gradKey == null || parts == 1 ? gradKey : keys;
  }

  /// Where a task adds ∂v, row j at `valueOffset(task) + j * valueDim`; null if it is not wanted.
  public float @Nullable [] values() {
    return gradValue == null || parts == 1 ? gradValue : values;
  }

  /// See [#keys].
  public int keyOffset(int task) {
    return task * shape.keySeqLen() * shape.headDim();
  }

  /// See [#values].
  public int valueOffset(int task) {
    return task * shape.keySeqLen() * shape.valueDim();
  }

  /// Adds the sums of all parts to the caller's arrays.
  public void sum(Workers workers) {
    if (parts > 1) {
      workers.run(shape.batchSize() * shape.numKeyValueHeads() * SLICES, slice);
    }
  }

  /// Adds a slice of the rows of a head.
  private void slice(int worker, int index) {
    int head = index / SLICES;
    int nk = shape.keySeqLen();
    int from = (int) ((long) index % SLICES * nk / SLICES);
    int to = (int) ((index % SLICES + 1L) * nk / SLICES);
    for (int task = head * parts; task < (head + 1) * parts; task++) {
      add(keys, shape.headDim(), task * nk + from, gradKey, head * nk + from, to - from);
      add(values, shape.valueDim(), task * nk + from, gradValue, head * nk + from, to - from);
    }
  }

  private void add(
      float[] share, int width, int row, float @Nullable [] sums, int sumRow, int rows) {
    if (sums != null) {
      int o = sumRow * width;
      kernels.add(rows * width, sums, o, share, row * width, sums, o);
    }
  }
}
