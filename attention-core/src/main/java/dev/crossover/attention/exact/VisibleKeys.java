// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;

/// The real keys of every batch entry, counted and, where padding leaves holes, listed: a plan that
/// packs only real keys pays nothing for the others, and a causal limit among all keys becomes one
/// among them.
public final class VisibleKeys {
  private final AttentionShape shape;
  private final Mask mask;
  private final boolean holes;
  private final int[] counts;
  /// `[batch, nk]`: the positions of the real keys.
  private final int[] index;
  /// `[batch, nk + 1]`: the number of real keys before a position.
  private final int[] before;

  /// @param scratch allocator
  public VisibleKeys(Scratch scratch, AttentionShape shape, Mask mask) {
    this.shape = shape;
    this.mask = mask;
    holes = haveHoles(mask);
    int nk = shape.keySeqLen();
    counts = scratch.ints(shape.batchSize());
    index = scratch.ints(holes ? (long) shape.batchSize() * nk : 0);
    before = scratch.ints(holes ? shape.batchSize() * (nk + 1L) : 0);
    for (int b = 0; b < shape.batchSize(); b++) {
      counts[b] = mask.realKeys(b, nk);
      for (int j = 0, found = 0; holes && j < nk; j++) {
        if (mask.isRealKey(b, j)) {
          index[b * nk + found++] = j;
        }
        before[b * (nk + 1) + j + 1] = found;
      }
    }
  }

  /// Bytes the constructor allocates.
  public static long bytes(AttentionShape s, Mask mask) {
    long lists = haveHoles(mask) ? s.batchSize() * (2L * s.keySeqLen() + 1) : 0;
    return Integer.BYTES * (s.batchSize() + lists);
  }

  static boolean haveHoles(Mask mask) {
    return mask.hasKeyPadding() && !mask.padding().isAtEnd();
  }

  /// Whether real keys are gathered, rather than a prefix of all.
  boolean gathered() {
    return holes;
  }

  /// Number of real keys.
  public int count(int batch) {
    return counts[batch];
  }

  /// Number of leading real keys that query `i` sees.
  public int limit(int batch, int i) {
    int limit = mask.causalLimit(i, shape.querySeqLen(), shape.keySeqLen());
    return holes ? before[batch * (shape.keySeqLen() + 1) + limit] : Math.min(limit, counts[batch]);
  }

  /// Positions of the real keys; those of a batch entry start at `offset(batch)`.
  int[] index() {
    return index;
  }

  int offset(int batch) {
    return batch * shape.keySeqLen();
  }

  /// First position at or after `from`, among real keys, whose successor in the sequence is not the
  /// next real key: real keys `from … runEnd(from) - 1` are neighbours.
  int runEnd(int batch, int from) {
    int end = from + 1;
    if (!holes) {
      return counts[batch];
    }
    int o = offset(batch);
    while (end < counts[batch] && index[o + end] == index[o + end - 1] + 1) {
      end++;
    }
    return end;
  }

  /// Position in the sequence of a real key.
  public int position(int batch, int key) {
    return holes ? index[offset(batch) + key] : key;
  }
}
