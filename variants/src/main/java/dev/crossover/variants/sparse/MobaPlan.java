// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.select.BlockMeans;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The passes of [Moba]: block means, then gates, choice and attention of some queries at a time.
final class MobaPlan extends AttentionPlan {
  private static final int GATE_ROWS = 48;

  private final int blockSize;
  private final float @Nullable [] lse;
  private final int @Nullable [] keptBlocks;
  private final Kernels kernels = Kernels.get();
  private final int n = shape.keySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int pitch;
  private final int chosenBefore;
  private final int queries;
  private final int parts;
  private final float factor = (float) Attention.defaultScale(shape);
  private final int groups = shape.batchSize() * shape.numKeyValueHeads();
  private final StridedPanels[] panels = new StridedPanels[groups];
  private final float[] means;
  private final SelectedBlocks[] selected = new SelectedBlocks[threads()];
  private final int[][] limit = new int[threads()][];
  private final int[][] chosen = new int[threads()][];
  private final float[][] gates = new float[threads()][];
  private final float[][] transposed = new float[threads()][];
  private final Workers.Task pack = this::pack;
  private final Workers.Task part = this::part;

  /// @param lse receives the log-sum-exp of every row, `[B,H,n]`; null where it is not kept
  /// @param keptBlocks receives the chosen blocks, `[B,H,n,chosenBefore]`; null likewise
  MobaPlan(
      PlanRequest request, Moba attention, float @Nullable [] lse, int @Nullable [] keptBlocks) {
    super(request);
    this.lse = lse;
    this.keptBlocks = keptBlocks;
    blockSize = attention.blockSize();
    pitch = attention.pitch(n);
    chosenBefore = attention.chosenBefore(n);
    queries = SelectedBlocks.queriesAtOnce(blockSize, n, chosenBefore);
    parts = queries == 0 ? 0 : Math.ceilDiv(n, queries);
    means = scratch.floats((long) groups * pitch * d);
    for (int g = 0; g < groups; g++) {
      panels[g] = new StridedPanels(scratch, n, 1, d);
    }
    for (int t = 0; t < threads(); t++) {
      selected[t] = new SelectedBlocks(scratch, blockSize, n, chosenBefore, d, dv);
      limit[t] = scratch.ints(queries);
      chosen[t] = scratch.ints((long) queries * chosenBefore);
      gates[t] = scratch.floats((long) GATE_ROWS * pitch);
      transposed[t] = scratch.floats(transposeScratch(attention, shape));
    }
  }

  /// Bytes the constructor allocates.
  static long scratchBytes(Moba attention, AttentionShape s, int threads) {
    int n = s.keySeqLen();
    int b = attention.blockSize();
    long groups = (long) s.batchSize() * s.numKeyValueHeads();
    long panels = groups * StridedPanels.bytes(n, 1, s.headDim());
    long means = groups * attention.pitch(n) * s.headDim() * Float.BYTES;
    int chosen = attention.chosenBefore(n);
    int queries = SelectedBlocks.queriesAtOnce(b, n, chosen);
    long perThread =
        SelectedBlocks.bytes(b, n, chosen, s.headDim(), s.valueDim())
            + (long) queries * (1 + chosen) * Integer.BYTES
            + Float.BYTES
                * ((long) GATE_ROWS * attention.pitch(n) + transposeScratch(attention, s));
    return panels + means + threads * perThread;
  }

  private static int transposeScratch(Moba attention, AttentionShape s) {
    return Kernels.get().transposedBScratch(attention.pitch(s.keySeqLen()), s.headDim());
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(groups, pack);
    workers.run(shape.problems() * parts, part);
  }

  /// Packs the keys of a head and takes the means of their blocks, padding left out.
  private void pack(int worker, int group) {
    panels[group].pack(input("k"), group * n * d);
    int real = mask.realKeys(group / shape.numKeyValueHeads(), n);
    BlockMeans.of(blockSize, real, d, input("k"), group * n * d, means, group * pitch * d);
  }

  /// Some consecutive queries of one head: choose blocks, attend, zero the padded rows.
  private void part(int worker, int index) {
    int problem = index / parts;
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int group = batch * shape.numKeyValueHeads() + h / shape.groupSize();
    int first = index % parts * queries;
    int count = Math.min(queries, n - first);
    int real = mask.realKeys(batch, n);
    for (int r = 0; r < count; r++) {
      limit[worker][r] = Math.min(real, mask.causalLimit(first + r, n, n));
    }
    int q = shape.queryOffset(batch, h) + first * d;
    for (int from = 0; from < count && chosenBefore > 0; from += GATE_ROWS) {
      choose(worker, group, q + from * d, from, Math.min(GATE_ROWS, count - from));
    }
    int o = shape.outputOffset(batch, h) + first * dv;
    selected[worker].attend(
        input("q"),
        q,
        count,
        factor,
        panels[group].panels(),
        input("v"),
        shape.valueOffset(batch, h),
        limit[worker],
        0,
        chosen[worker],
        0,
        out,
        o);
    for (int r = 0; r < count; r++) {
      int row = o + r * dv;
      kernels.scale(dv, selected[worker].inverse(r), out, row, out, row);
    }
    keep(worker, problem, first, count);
    int padded = Math.clamp((long) first + count - real, 0, count);
    Arrays.fill(out, o + (count - padded) * dv, o + count * dv, 0);
  }

  /// Puts aside what the backward pass needs.
  private void keep(int worker, int problem, int first, int count) {
    float[] sums = lse;
    for (int r = 0; r < count && sums != null; r++) {
      sums[problem * n + first + r] = selected[worker].logSumExp(r);
    }
    int[] blocks = keptBlocks;
    if (blocks != null) {
      int at = (problem * n + first) * chosenBefore;
      System.arraycopy(chosen[worker], 0, blocks, at, count * chosenBefore);
    }
  }

  /// gate = q · cent over the blocks before each query's own; the largest are chosen.
  private void choose(int worker, int group, int q, int from, int count) {
    int last = Math.max(0, limit[worker][from + count - 1] - 1) / blockSize;
    kernels.multiplyTransposedB(
        count,
        BlockMeans.pitch(last),
        d,
        input("q"),
        q,
        d,
        means,
        group * pitch * d,
        d,
        gates[worker],
        0,
        pitch,
        false,
        transposed[worker],
        0);
    for (int r = 0; r < count; r++) {
      int own = Math.max(0, limit[worker][from + r] - 1) / blockSize;
      SelectedBlocks.choose(
          gates[worker], r * pitch, own, chosenBefore, chosen[worker], (from + r) * chosenBefore);
    }
  }
}
