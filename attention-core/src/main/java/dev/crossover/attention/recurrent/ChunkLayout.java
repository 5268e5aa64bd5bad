// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.kernel.Kernels;

/// Sizes of one worker's arrays and the division of work, from shape, mask and rule alone.
///
/// Value columns of S do not influence one another. They are always computed in blocks; a task
/// takes all blocks of a head, or some of them where there are few heads. An element of a product
/// is one sum in one order whatever the width, so the bits do not depend on the division.
///
/// @param shape sizes, with the rows of the recurrence as sequence lengths
/// @param mask which keys are real
/// @param rule how S decays and is written
/// @param chunk rows of a chunk C
record ChunkLayout(AttentionShape shape, Mask mask, UpdateRule rule, int chunk) {
  /// Columns of a block, as products like them best.
  private static final int WIDE = 64;

  /// Columns of a block where a single head must occupy several threads.
  private static final int NARROW = 32;

  /// Heads from which on a task takes whole heads.
  private static final int MANY_PROBLEMS = 8;

  /// The layout of a chunk length, shortened to the sequence.
  static ChunkLayout of(AttentionShape shape, Mask mask, UpdateRule rule, int chunkLength) {
    int steps = rule.steps();
    if (rule.completesLater() && (rule.erases() || steps > 1 || !rule.weighsWrites())) {
      throw new IllegalArgumentException(
          "a rule that completes writes later must weigh them, one row per token, and not erase");
    }
    int rows = Math.multiplyExact(shape.querySeqLen(), steps);
    int chunk = Math.min(chunkLength, Math.max(1, rows));
    return new ChunkLayout(
        shape.withSeqLens(rows, rows),
        repeated(mask, shape.keySeqLen(), steps),
        rule,
        Math.max(1, chunk / steps) * steps);
  }

  /// The mask of rows of the recurrence, so many per token.
  private static Mask repeated(Mask mask, int tokens, int steps) {
    if (steps == 1 || !mask.hasKeyPadding()) {
      return mask;
    }
    int batches = mask.padding().batchSize();
    boolean[] real = new boolean[batches * tokens * steps];
    for (int row = 0; row < real.length; row++) {
      int token = row / steps;
      real[row] = mask.isRealKey(token / tokens, token % tokens);
    }
    return Mask.both(Mask.causal(), Mask.keys(tokens * steps, real));
  }

  /// Tokens of a head.
  int tokens() {
    return shape.querySeqLen() / rule.steps();
  }

  /// Elements of outputs of all rows, where not every row has one.
  long stepped() {
    return rule.steps() == 1 ? 0 : written();
  }

  /// Strengths of the writes as their own rows see them, and elements of the diagonal.
  long diagonals() {
    return rule.completesLater() ? chunk : 0;
  }

  /// Columns of a block.
  int columns() {
    return shape.problems() == 1 ? NARROW : WIDE;
  }

  /// Blocks of value columns.
  int blocks() {
    return Math.ceilDiv(shape.valueDim(), columns());
  }

  /// Blocks that one task takes.
  int blocksPerTask() {
    int tasks = Math.clamp(Math.ceilDiv(MANY_PROBLEMS, shape.problems()), 1, blocks());
    return Math.ceilDiv(blocks(), tasks);
  }

  /// Tasks of one head.
  int tasksPerHead() {
    return Math.ceilDiv(blocks(), blocksPerTask());
  }

  /// Left factors per row: q, and k where the rule erases.
  int sides() {
    return rule.erases() ? 2 : 1;
  }

  boolean decays() {
    return rule.decay() != UpdateRule.Decay.NONE;
  }

  /// Elements of a `[C, d]` array.
  long rows() {
    return (long) chunk * shape.headDim();
  }

  /// Elements of the q and βk rows.
  long left() {
    return sides() * rows();
  }

  /// Elements of the copied keys.
  long keys() {
    return rule.transforms() || rule.formsRows() || mask.hasKeyPadding() ? rows() : 0;
  }

  /// Elements of the products between rows of a chunk.
  long scores() {
    return (long) sides() * chunk * chunk;
  }

  /// Strengths of the writes.
  long strengths() {
    return rule.weighsWrites() ? chunk : 0;
  }

  /// Elements of the values as written.
  long written() {
    return (long) chunk * columns();
  }

  /// Elements of S for the blocks of one task.
  long state() {
    return (long) blocksPerTask() * shape.headDim() * columns();
  }

  /// Scratch of completing an output row.
  long finishing() {
    return columns();
  }

  /// Scratch of the products with transposed keys.
  long transposed() {
    return Kernels.get().transposedBScratch(chunk, shape.headDim());
  }

  /// Chunks of a head.
  int chunks() {
    return Math.ceilDiv(shape.querySeqLen(), chunk);
  }

  /// Heads that share no queries or keys with others.
  int units() {
    return shape.batchSize() * rule.queryKeyHeads(shape);
  }

  /// Whether a backward pass takes whole heads, one after the other, because there are enough of
  /// them to occupy all threads; otherwise it takes columns first and chunks then.
  boolean wholeHeads() {
    return units() >= MANY_PROBLEMS;
  }
}
