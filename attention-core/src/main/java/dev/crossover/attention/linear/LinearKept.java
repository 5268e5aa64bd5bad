// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;

/// What a forward pass keeps for its backward pass: two numbers per row of the output, and the
/// state S, z (transposed, `[dv + 1, M]`, the last row z) at some boundaries between chunks;
/// without causal order the total alone.
///
/// A state is kept so seldom that all of them hold at most 4·dv floats per position, whatever M;
/// the states of the chunks between two kept ones are computed again.
final class LinearKept {
  private static final int MAX_FLOATS_PER_VALUE = 4;

  private final Kernels kernels = Kernels.get();
  private final int width;
  private final int valueDim;
  private final int slotsPerSegment;

  /// Chunks from one kept state to the next.
  final int stride;

  /// 1/r(D) and r'(D)/r(D) of every row of the output.
  final float[] weights;

  /// States of a key/value head, one after the other.
  final float[][] sums;

  /// Σ v of a key/value head, where the features have a shift.
  final float[][] values;

  /// Logarithm of the scale that each state is relative to, and that of the last state of all.
  final double[][] references;

  /// Number of keys in each state.
  final int[][] keys;

  LinearKept(Scratch kept, AttentionShape shape, Mask mask, FeatureMap map) {
    width = map.width();
    valueDim = shape.valueDim();
    stride = stride(width);
    Segments segments = Segments.ofKeys(shape, mask);
    slotsPerSegment = slotsPerSegment(segments, mask, width);
    int slots = slots(segments, mask, width);
    int keyHeads = shape.batchSize() * shape.numKeyValueHeads();
    weights = kept.floats(2L * shape.problems() * shape.querySeqLen());
    sums = new float[keyHeads][];
    values = new float[keyHeads][];
    references = new double[keyHeads][];
    keys = new int[keyHeads][];
    for (int h = 0; h < keyHeads; h++) {
      sums[h] = kept.floats((long) slots * size());
      values[h] = kept.floats(map.keyShift() == 0 ? 0 : (long) slots * valueDim);
      references[h] = kept.doubles(slots + 1);
      keys[h] = kept.ints(slots);
    }
  }

  /// Bytes the constructor allocates.
  static long bytes(AttentionShape shape, Mask mask, int width, boolean shifted) {
    long slots = slots(Segments.ofKeys(shape, mask), mask, width);
    int dv = shape.valueDim();
    long floats = slots * ((dv + 1L) * width + (shifted ? dv : 0));
    long perHead = floats * Float.BYTES + (slots + 1) * Double.BYTES + slots * Integer.BYTES;
    return 2L * Float.BYTES * shape.problems() * shape.querySeqLen()
        + shape.batchSize() * shape.numKeyValueHeads() * perHead;
  }

  /// Chunks from one kept state to the next.
  static int stride(int width) {
    return Math.max(1, Math.ceilDiv(width, MAX_FLOATS_PER_VALUE * Segments.CHUNK));
  }

  private static int slotsPerSegment(Segments segments, Mask mask, int width) {
    int rows = mask.isCausal() ? segments.end(0) - segments.start(0) : 0;
    return Math.max(1, Math.ceilDiv(rows, stride(width) * Segments.CHUNK));
  }

  private static int slots(Segments segments, Mask mask, int width) {
    return mask.isCausal() ? segments.count() * slotsPerSegment(segments, mask, width) : 1;
  }

  /// Floats of a state.
  int size() {
    return (valueDim + 1) * width;
  }

  /// Number of the state kept before a chunk of a segment, or last before it.
  ///
  /// @param chunk number of the chunk within its segment
  int slot(int segment, int chunk) {
    return segment * slotsPerSegment + chunk / stride;
  }

  /// Keeps a state if it is one of those that are kept.
  ///
  /// @param chunk number of the chunk that comes next, within its segment
  void store(int keyHead, int segment, int chunk, LinearState state) {
    if (chunk % stride != 0) {
      return;
    }
    int slot = slot(segment, chunk);
    int at = slot * size();
    float[] to = sums[keyHead];
    kernels.transpose(width, valueDim, state.sum, 0, valueDim, to, at, width);
    System.arraycopy(state.normaliser, 0, to, at + valueDim * width, width);
    if (values[keyHead].length > 0) {
      System.arraycopy(state.values, 0, values[keyHead], slot * valueDim, valueDim);
    }
    references[keyHead][slot] = state.reference;
    keys[keyHead][slot] = (int) state.keys;
  }

  /// Keeps the scale of the state after all keys.
  void storeLast(int keyHead, double reference) {
    references[keyHead][references[keyHead].length - 1] = reference;
  }

  /// Logarithm of the scale that the state after all keys is relative to.
  double lastReference(int keyHead) {
    return references[keyHead][references[keyHead].length - 1];
  }

  /// Logarithm of the scale of a segment's first state.
  double firstReference(int keyHead, int segment) {
    return references[keyHead][segment * slotsPerSegment];
  }
}
