// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.select.KeyValueSession;
import dev.crossover.attention.store.Storage;
import dev.crossover.variants.sparse.SparseTransformer.Pattern;

/// Decoding of [SparseTransformer].
///
/// `local` heads need the last keys only. Fixed heads need the window they are in and the summary
/// cells of finished windows: the window is a ring of l slots, and cell u of window w has slot l +
/// w·V·c + u. Anything else, and sessions too short to gain by it, need every key.
final class SparseTransformerSession extends KeyValueSession {
  private final SparseTransformer attention;
  private final boolean fixed;
  private final int stride;
  private final int cellsPerWindow;

  SparseTransformerSession(
      SparseTransformer attention, AttentionShape shape, int threads, Storage storage) {
    super(attention, shape, threads, reach(attention, shape), storage);
    this.attention = attention;
    this.stride = attention.stride();
    this.fixed = isFixed(attention) && fixedSlots(attention, shape) < shape.keySeqLen();
    this.cellsPerWindow = cellsPerWindow(attention);
  }

  private static long reach(SparseTransformer attention, AttentionShape shape) {
    if (attention.pattern().stream().allMatch(kind -> kind == Pattern.LOCAL)) {
      return attention.reach() + 1L;
    }
    if (isFixed(attention)) {
      return fixedSlots(attention, shape);
    }
    return shape.keySeqLen();
  }

  private static long fixedSlots(SparseTransformer attention, AttentionShape shape) {
    long windows = Math.ceilDiv(shape.keySeqLen(), attention.stride());
    return attention.stride() + windows * cellsPerWindow(attention);
  }

  private static boolean isFixed(SparseTransformer attention) {
    return attention.pattern().stream()
        .allMatch(kind -> kind == Pattern.FIXED_BLOCK || kind.hasSummary());
  }

  private static int cellsPerWindow(SparseTransformer attention) {
    boolean summary = attention.pattern().stream().anyMatch(Pattern::hasSummary);
    return summary ? attention.summarySize() * attention.summarySlots() : 0;
  }

  @Override
  protected int slot(int position) {
    if (!fixed) {
      return super.slot(position);
    }
    boolean inOwnWindow = position >= attention.windowStart(position());
    return inOwnWindow ? position % stride : secondSlot(position);
  }

  @Override
  protected int secondSlot(int position) {
    int cell = position % stride - (stride - cellsPerWindow);
    return fixed && cell >= 0 ? stride + position / stride * cellsPerWindow + cell : -1;
  }

  @Override
  protected int kept(int taken) {
    if (!fixed || taken == 0) {
      return super.kept(taken);
    }
    return Math.min(taken, stride) + (taken - 1) / stride * cellsPerWindow;
  }

  @Override
  protected int see(int worker, int problem, int position, int[] into) {
    int head = problem % shape.numHeads();
    return switch (attention.patternOf(head)) {
      case LOCAL -> local(position, into, 0);
      case STRIDED -> column(position, 0, into);
      case STRIDED_UNION ->
          local(position, into, column(position, attention.reach() / stride + 1, into));
      case FIXED_BLOCK -> run(attention.windowStart(position), position, into, 0);
      case FIXED_SUMMARY -> summary(head, position + 1, into);
      case FIXED_UNION -> {
        int own = attention.windowStart(position);
        yield run(own, position, into, summary(head, own, into));
      }
      case ALL -> run(0, position, into, 0);
    };
  }

  private int local(int position, int[] into, int count) {
    return run(Math.max(0, position - attention.reach()), position, into, count);
  }

  private int column(int position, int firstStep, int[] into) {
    int count = 0;
    for (long j = position - (long) firstStep * stride; j >= 0; j -= stride) {
      into[count++] = (int) j;
    }
    return count;
  }

  private int summary(int head, int limit, int[] into) {
    SummaryCells cells = attention.summaryOf(head);
    int count = cells.within(limit);
    for (int t = 0; t < count; t++) {
      into[t] = cells.position(t);
    }
    return count;
  }

  private static int run(int from, int last, int[] into, int count) {
    int end = count;
    for (int j = from; j <= last; j++) {
      into[end++] = j;
    }
    return end;
  }
}
