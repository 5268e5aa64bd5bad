// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;

/// How one head's sequence is cut for parallel work: chunks of rows for matrix products, segments
/// of chunks whose partial sums are formed independently and then added in order.
///
/// The cut depends on the problem's shape and mask only, never on threads, so that sums have the
/// same order, hence the same bits, for any number of threads. Positions are those of the keys;
/// under causal order query i stands at position `i + offset`, where it sees keys up to its own
/// position.
///
/// @param from first position, at most 0
/// @param to position after the last
/// @param rows positions per segment, a multiple of [#CHUNK]
/// @param count number of segments, at least 1
public record Segments(int from, int to, int rows, int count) {
  /// Rows of a chunk.
  public static final int CHUNK = 64;

  private static final int MIN_ROWS = 1024;
  private static final int MAX_ROWS = 16_384;
  private static final int CAUSAL_TASKS = 8;
  private static final int TASKS = 64;

  /// Segments of the keys. Causal outputs need the sums before their segment, which costs one more
  /// pass over the keys, so that they are cut into fewer ones.
  public static Segments ofKeys(AttentionShape s, Mask mask) {
    int problems = s.batchSize() * s.numKeyValueHeads();
    if (!mask.isCausal()) {
      return cut(0, s.keySeqLen(), problems, TASKS);
    }
    int offset = offset(s, mask);
    int from = Math.min(0, offset);
    return cut(from, Math.max(s.keySeqLen(), offset + s.querySeqLen()), problems, CAUSAL_TASKS);
  }

  /// Segments of the queries, when they do not depend on each other.
  public static Segments ofQueries(AttentionShape s) {
    return cut(0, s.querySeqLen(), s.problems(), TASKS);
  }

  /// The causal offset, no further out than makes a difference.
  static int offset(AttentionShape s, Mask mask) {
    int offset = mask.causalOffset(s.querySeqLen(), s.keySeqLen());
    return Math.clamp(offset, -s.querySeqLen(), s.keySeqLen());
  }

  /// First position of a segment.
  public int start(int segment) {
    return from + segment * rows;
  }

  /// Position after the last of a segment.
  public int end(int segment) {
    return Math.min(to, from + (segment + 1) * rows);
  }

  private static Segments cut(int from, int to, int problems, int tasks) {
    int length = to - from;
    int wanted = Math.max(Math.ceilDiv(tasks, problems), Math.ceilDiv(length, MAX_ROWS));
    int rows = Math.max(MIN_ROWS, Math.ceilDiv(length, wanted));
    rows = Math.ceilDiv(rows, CHUNK) * CHUNK;
    return new Segments(from, to, rows, Math.max(1, Math.ceilDiv(length, rows)));
  }
}
