// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.ShortQueries;
import dev.crossover.attention.kernel.SoftmaxMerge;
import dev.crossover.attention.tensor.Tensor;

/// The plan of [Tiled] for a few query rows against many keys: keys are read once, in place, and
/// one key head's rows are split into parts that all threads share, merged by their log-sum-exp.
final class ShortPlan extends AttentionPlan {
  private static final int LEAST_KEYS_PER_PART = 4096;
  private static final int MOST_KEYS_PER_PART = 16384;
  private static final int ENOUGH_PARTS = 32;

  private final float scale;
  private final int heads = shape.batchSize() * shape.numKeyValueHeads();
  private final int rows = shape.querySeqLen() * shape.groupSize();
  private final int keysPerPart = keysPerPart(shape);
  private final int parts = parts(shape);
  private final VisibleKeys visible = new VisibleKeys(scratch, shape, mask);
  private final ShortQueries[] queries = new ShortQueries[threads()];
  private final int[][] high = new int[threads()][];
  private final float[] partOut;
  private final float[] partLse;
  private final Workers.Task part = this::part;

  ShortPlan(PlanRequest request, double scale) {
    super(request);
    this.scale = (float) scale;
    for (int t = 0; t < queries.length; t++) {
      queries[t] = new ShortQueries(scratch, rows, shape.headDim(), shape.valueDim());
      high[t] = scratch.ints(rows);
    }
    partOut = scratch.floats(mergedRows(shape) * shape.valueDim());
    partLse = scratch.floats(mergedRows(shape));
  }

  /// Whether this plan suits a shape.
  static boolean suits(AttentionShape s) {
    long rows = (long) s.querySeqLen() * s.groupSize();
    return rows <= ShortQueries.MAX_ROWS && rows > 0 && s.keySeqLen() > 0;
  }

  static long scratchBytes(AttentionShape s, Mask mask, int threads) {
    int rows = s.querySeqLen() * s.groupSize();
    return VisibleKeys.bytes(s, mask)
        + threads
            * (ShortQueries.bytes(rows, s.headDim(), s.valueDim()) + (long) rows * Integer.BYTES)
        + mergedRows(s) * (s.valueDim() + 1L) * Float.BYTES;
  }

  /// Rows of all parts that are merged; none where one part is the whole.
  private static long mergedRows(AttentionShape s) {
    int parts = parts(s);
    return parts == 1 ? 0 : (long) s.problems() * s.querySeqLen() * parts;
  }

  private static int parts(AttentionShape s) {
    return Math.ceilDiv(s.keySeqLen(), keysPerPart(s));
  }

  /// Long parts read memory faster, many parts occupy more threads.
  private static int keysPerPart(AttentionShape s) {
    long keys = (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
    return Math.clamp(keys / ENOUGH_PARTS, LEAST_KEYS_PER_PART, MOST_KEYS_PER_PART);
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(heads * parts, part);
    for (int head = 0; parts > 1 && head < heads; head++) {
      merge(head);
    }
  }

  /// Real keys `from … to - 1` of one key head, for all query rows that read it.
  private void part(int worker, int index) {
    int head = index / parts;
    int batch = head / shape.numKeyValueHeads();
    int from = index % parts * keysPerPart;
    int to = Math.min(visible.count(batch), from + keysPerPart);
    ShortQueries query = queries[worker];
    int nq = shape.querySeqLen();
    query.begin(input("q"), head * rows * shape.headDim(), rows, scale);
    for (int run = from; run < to; ) {
      int end = Math.min(to, visible.runEnd(batch, run));
      attendRun(query, worker, head, batch, run, end, nq);
      run = end;
    }
    if (parts > 1) {
      query.finish(partOut, index * rows * shape.valueDim());
      query.logSumExp(partLse, index * rows);
    } else {
      query.finish(out, index * rows * shape.valueDim());
      if (wantsResult("lse")) {
        query.logSumExp(result("lse"), index * rows);
      }
    }
  }

  private void attendRun(
      ShortQueries query, int worker, int head, int batch, int run, int end, int nq) {
    int nk = shape.keySeqLen();
    int first = visible.position(batch, run);
    int last = first + end - run;
    int[] limits = high[worker];
    for (int r = 0; r < rows; r++) {
      limits[r] = mask.causalLimit(r % nq, nq, nk);
    }
    boolean biased = hasInput("bias");
    int bias = head % shape.numKeyValueHeads() * rows * nk;
    query.attend(
        input("k"),
        head * nk * shape.headDim(),
        input("v"),
        head * nk * shape.valueDim(),
        first,
        last,
        mask.isCausal() ? limits : null,
        biased ? input("bias") : null,
        biased ? bias : 0,
        nk);
  }

  /// Merges the parts of one key head, in their order.
  private void merge(int head) {
    int dv = shape.valueDim();
    for (int r = 0; r < rows; r++) {
      int target = (head * rows + r) * dv;
      int row = head * parts * rows + r;
      System.arraycopy(partOut, row * dv, out, target, dv);
      float lse = partLse[row];
      for (int p = 1; p < parts; p++) {
        row += rows;
        lse = SoftmaxMerge.merge(dv, out, target, lse, partOut, row * dv, partLse[row]);
      }
      if (wantsResult("lse")) {
        result("lse")[head * rows + r] = lse;
      }
    }
  }
}
