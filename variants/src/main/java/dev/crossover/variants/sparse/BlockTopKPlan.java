// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.select.ChosenBlocks;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/// The passes of [BlockTopK]: packed keys and summaries of blocks, then choice and attention of
/// some groups of queries at a time.
final class BlockTopKPlan extends AttentionPlan {
  static final int SCORED = 48;

  private final BlockTopK attention;
  private final float @Nullable [] lse;
  private final int @Nullable [] keptBlocks;
  private final int blockSize;
  private final int queryBlock;
  private final boolean bounds;
  private final int summaries;
  private final Kernels kernels = Kernels.get();
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int blocks;
  private final int perQuery;
  private final int queries;
  private final int parts;
  private final float factor = (float) Attention.defaultScale(shape);
  private final int heads = shape.batchSize() * shape.numKeyValueHeads();
  private final StridedPanels[] panels = new StridedPanels[heads];

  /// `[heads, N, d]` means, or largest and then smallest keys.
  private final float[] summary;

  /// `[heads, N]`: real keys of a block.
  private final int[] realKeys;

  private final int[] real = scratch.ints(mask.hasKeyPadding() ? (long) shape.batchSize() * nk : 0);
  private final ChosenBlocks[] engines = new ChosenBlocks[threads()];
  private final ChosenBlocks.Visible[] visible = new ChosenBlocks.Visible[threads()];
  private final float[][] scores = new float[threads()][];
  private final float[][] probes = new float[threads()][];
  private final float[][] transposed = new float[threads()][];
  private final int[][] choice = new int[threads()][];
  private final Workers.Task pack = this::pack;
  private final Workers.Task part = this::part;

  /// @param lse receives the log-sum-exp of every row, `[B,H,nq]`; null where it is not kept
  /// @param keptBlocks receives the chosen blocks, `[B,H,groups,perQuery]`; null likewise
  BlockTopKPlan(
      PlanRequest request,
      BlockTopK attention,
      float @Nullable [] lse,
      int @Nullable [] keptBlocks) {
    super(request);
    this.attention = attention;
    this.lse = lse;
    this.keptBlocks = keptBlocks;
    blockSize = attention.blockSize();
    queryBlock = attention.queryBlock();
    bounds = attention.selection() == BlockTopK.Selection.BOUNDS;
    summaries = attention.summaries();
    blocks = attention.blocks(nk);
    perQuery = attention.chosen(nk);
    queries = attention.queries(nq);
    parts = queries == 0 ? 0 : Math.ceilDiv(nq, queries);
    summary = scratch.floats((long) heads * blocks * d * summaries);
    realKeys = scratch.ints((long) heads * blocks);
    for (int h = 0; h < heads; h++) {
      panels[h] = new StridedPanels(scratch, nk, 1, d);
    }
    for (int t = 0; t < threads(); t++) {
      engines[t] = new ChosenBlocks(scratch, blockSize, nk, perQuery, queries, d, dv);
      visible[t] = ChosenBlocks.Visible.of(scratch, queries, perQuery);
      scores[t] = scratch.floats((long) SCORED * blocks);
      probes[t] = scratch.floats((long) SCORED * d * summaries);
      transposed[t] = scratch.floats(kernels.transposedBScratch(blocks, d));
      choice[t] = scratch.ints(perQuery);
    }
    for (int j = 0; j < real.length; j++) {
      real[j] = mask.isRealKey(j / nk, j % nk) ? 1 : 0;
    }
  }

  /// Bytes the constructor allocates.
  static long scratchBytes(BlockTopK attention, AttentionShape s, Mask mask, int threads) {
    int nk = s.keySeqLen();
    int d = s.headDim();
    int blocks = attention.blocks(nk);
    int perQuery = attention.chosen(nk);
    int queries = attention.queries(s.querySeqLen());
    int summaries = attention.summaries();
    long heads = (long) s.batchSize() * s.numKeyValueHeads();
    long panels = heads * StridedPanels.bytes(nk, 1, d);
    long shared =
        heads * blocks * d * summaries * Float.BYTES
            + heads * blocks * Integer.BYTES
            + (mask.hasKeyPadding() ? (long) s.batchSize() * nk * Integer.BYTES : 0);
    long perThread =
        ChosenBlocks.bytes(attention.blockSize(), nk, perQuery, queries, d, s.valueDim())
            + ChosenBlocks.Visible.bytes(queries, perQuery)
            + Float.BYTES
                * (SCORED * ((long) blocks + (long) summaries * d)
                    + Kernels.get().transposedBScratch(blocks, d))
            + (long) perQuery * Integer.BYTES;
    return panels + shared + threads * perThread;
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(heads, pack);
    workers.run(shape.problems() * parts, part);
  }

  /// 1 for a real key, 0 for a padded one, `[B,nk]`; empty without padding.
  int[] real() {
    return real;
  }

  /// Packs the keys of a head and summarises its blocks.
  private void pack(int worker, int head) {
    int batch = head / shape.numKeyValueHeads();
    float[] k = input("k");
    panels[head].pack(k, head * nk * d);
    for (int block = 0; block < blocks; block++) {
      summarise(k, head, batch, block);
    }
  }

  private void summarise(float[] k, int head, int batch, int block) {
    int at = (head * blocks + block) * d;
    int lowest = heads * blocks * d + at;
    int count = 0;
    for (int j = block * blockSize; j < Math.min(nk, (block + 1) * blockSize); j++) {
      if (!mask.isRealKey(batch, j)) {
        continue;
      }
      int row = (head * nk + j) * d;
      for (int c = 0; c < d; c++) {
        float x = k[row + c];
        if (count == 0) {
          summary[at + c] = x;
        } else if (!bounds) {
          summary[at + c] += x;
        } else {
          summary[at + c] = Math.max(summary[at + c], x);
        }
        if (bounds) {
          summary[lowest + c] = count == 0 ? x : Math.min(summary[lowest + c], x);
        }
      }
      count++;
    }
    realKeys[head * blocks + block] = count;
    if (!bounds && count > 0) {
      kernels.scale(d, 1f / count, summary, at, summary, at);
    }
  }

  /// Some groups of queries of one head: choose blocks, attend.
  private void part(int worker, int index) {
    int problem = index / parts;
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int head = batch * shape.numKeyValueHeads() + h / shape.groupSize();
    int first = index % parts * queries;
    int count = Math.min(queries, nq - first);
    ChosenBlocks.Visible sees = visible[worker];
    for (int r = 0; r < count; r++) {
      attention.see(mask, shape, first + r, sees, r);
    }
    int groups = Math.ceilDiv(count, queryBlock);
    int q = shape.queryOffset(batch, h) + first * d;
    for (int g = 0; g < groups && perQuery > 0; g += SCORED) {
      choose(worker, head, q, first, g, Math.min(SCORED, groups - g), count);
    }
    int o = shape.outputOffset(batch, h) + first * dv;
    engines[worker].attend(
        sees,
        count,
        input("q"),
        q,
        factor,
        panels[head].panels(),
        input("v"),
        shape.valueOffset(batch, h),
        mask.hasKeyPadding() ? real : null,
        batch * nk,
        out,
        o);
    for (int r = 0; r < count; r++) {
      int row = o + r * dv;
      kernels.scale(dv, engines[worker].inverse(r), out, row, out, row);
    }
    keep(worker, problem, first, count);
  }

  /// Puts aside what the backward pass needs.
  private void keep(int worker, int problem, int first, int count) {
    float[] sums = lse;
    for (int r = 0; r < count && sums != null; r++) {
      sums[problem * nq + first + r] = engines[worker].logSumExp(r);
    }
    int[] kept = keptBlocks;
    int at = (problem * Math.ceilDiv(nq, queryBlock) + first / queryBlock) * perQuery;
    for (int r = 0; r < count && kept != null; r += queryBlock) {
      System.arraycopy(visible[worker].chosen(), r * perQuery, kept, at, perQuery);
      at += perQuery;
    }
  }

  /// Scores of the blocks for some groups, as two products at most; the largest are chosen.
  private void choose(
      int worker, int head, int q, int first, int firstGroup, int groups, int count) {
    float[] probe = probes[worker];
    for (int g = 0; g < groups; g++) {
      probe(worker, q, firstGroup + g, g, count);
    }
    for (int half = 0; half < summaries; half++) {
      kernels.multiplyTransposedB(
          groups,
          blocks,
          d,
          probe,
          half * SCORED * d,
          d,
          summary,
          (half * heads + head) * blocks * d,
          d,
          scores[worker],
          0,
          blocks,
          half > 0,
          transposed[worker],
          0);
    }
    int[] chosen = visible[worker].chosen();
    for (int g = 0; g < groups; g++) {
      int from = (firstGroup + g) * queryBlock;
      int to = Math.min(count, from + queryBlock);
      int limit = mask.causalLimit(first + to - 1, nq, nk);
      int candidates = Math.ceilDiv(limit, blockSize);
      for (int x = 0; x < candidates; x++) {
        if (realKeys[head * blocks + x] == 0) {
          scores[worker][g * blocks + x] = Float.NEGATIVE_INFINITY;
        }
      }
      SelectedBlocks.choose(scores[worker], g * blocks, candidates, perQuery, choice[worker], 0);
      for (int r = from; r < to; r++) {
        System.arraycopy(choice[worker], 0, chosen, r * perQuery, perQuery);
      }
    }
  }

  /// The mean query of a group, or of its positive and negative parts: scores are linear in them.
  private void probe(int worker, int q, int group, int g, int count) {
    float[] rows = input("q");
    float[] probe = probes[worker];
    int from = group * queryBlock;
    int to = Math.min(count, from + queryBlock);
    for (int c = 0; c < d; c++) {
      double positive = 0;
      double negative = 0;
      for (int r = from; r < to; r++) {
        float x = rows[q + r * d + c];
        if (!bounds || !(x < 0)) {
          positive += x;
        } else {
          negative += x;
        }
      }
      probe[g * d + c] = (float) (positive / (to - from));
      if (bounds) {
        probe[(SCORED + g) * d + c] = (float) (negative / (to - from));
      }
    }
  }
}
