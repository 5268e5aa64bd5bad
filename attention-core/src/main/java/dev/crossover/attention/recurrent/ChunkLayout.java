package dev.crossover.attention.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.UpdateRule.Decay;

/// Sizes of one worker's arrays and the division of work, from shape, mask and rule alone.
///
/// Value columns of S do not influence one another. They are always computed in blocks; a task
/// takes all blocks of a head, or some of them where there are few heads. An element of a product
/// is one sum in one order whatever the width, so the bits do not depend on the division.
///
/// @param shape sizes
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
    int longest = Math.max(1, shape.querySeqLen());
    return new ChunkLayout(shape, mask, rule, Math.min(chunkLength, longest));
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
    return rule.decay() != Decay.NONE;
  }

  boolean byChannel() {
    return rule.decay() == Decay.CHANNEL;
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
    return rule.transforms() || mask.hasKeyPadding() ? rows() : 0;
  }

  /// Elements of the decayed rows that meet S.
  long carried() {
    return decays() ? left() : 0;
  }

  /// Elements of the decayed keys that enter S.
  long moved() {
    return decays() ? rows() : 0;
  }

  /// Elements of the products between rows of a chunk.
  long scores() {
    return (long) sides() * chunk * chunk;
  }

  /// Elements of the decay between rows of a chunk.
  long decayTable() {
    return decays() && !byChannel() ? (long) chunk * chunk : 0;
  }

  /// Elements of the exponents of decays.
  long exponents() {
    return switch (rule.decay()) {
      case NONE -> 0;
      case CONSTANT -> chunk + 1;
      case TOKEN -> Math.max(2L, chunk) * chunk;
      case CHANNEL -> rows();
    };
  }

  /// Elements of the decay factors of rows, or of the rows of S.
  long factors() {
    return switch (rule.decay()) {
      case NONE -> 0;
      case CONSTANT, TOKEN -> 2L * chunk;
      case CHANNEL -> shape.headDim();
    };
  }

  /// Cumulative logarithms of decay, in double.
  long cumulative() {
    return switch (rule.decay()) {
      case NONE, CONSTANT -> 0;
      case TOKEN -> chunk;
      case CHANNEL -> rows();
    };
  }

  /// Elements of left rows relative to an anchor.
  long anchored() {
    return byChannel() ? left() : 0;
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

  /// Bytes of one worker.
  long bytes() {
    long floats = left() + keys() + carried() + moved() + scores() + decayTable() + exponents();
    floats +=
        factors() + anchored() + strengths() + written() + state() + finishing() + transposed();
    return floats * Float.BYTES + cumulative() * Double.BYTES;
  }
}
