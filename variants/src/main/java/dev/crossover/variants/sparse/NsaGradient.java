// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.GradientKeys;
import dev.crossover.attention.kernel.GradientTile;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.select.BlockMeans;
import dev.crossover.attention.select.IntervalGradient;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.select.SelectedBlocksGradient;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// The backward pass of [Nsa]: compression over the means, whose gradients then go to their blocks;
/// selection; window.
final class NsaGradient extends DifferentiablePlan {
  private final Kernels kernels = Kernels.get();
  private final Nsa attention;
  private final NsaPlan.Branches branches;
  private final NsaPlan forward;
  private final int pitch;
  private final float[] gradKeyMeans;
  private final float[] gradValueMeans;
  private final Compression compression;
  private final Positions positions;
  private final Workers.Task spread = this::spread;

  NsaGradient(PlanRequest request, Nsa attention) {
    super(request);
    this.attention = attention;
    int groups = shape.batchSize() * shape.numKeyValueHeads();
    branches = new NsaPlan.Branches(kept, shape);
    forward = new NsaPlan(request, attention, branches);
    scratch.include(forward.scratchBytes());
    pitch = BlockMeans.pitch(attention.blocks(shape.keySeqLen()));
    gradKeyMeans = scratch.floats((long) groups * pitch * shape.headDim());
    gradValueMeans = scratch.floats((long) groups * pitch * shape.valueDim());
    compression = new Compression(request, scratch);
    positions = new Positions(request, scratch);
  }

  static GradientCost cost(Nsa attention, AttentionShape s, double pairs, int threads) {
    int n = s.keySeqLen();
    int b = attention.blockSize();
    int before = attention.chosenBefore(n);
    int rows = GradientTile.preferredRows();
    int pitch = BlockMeans.pitch(attention.blocks(n));
    long groups = (long) s.batchSize() * s.numKeyValueHeads();
    int queries = SelectedBlocks.queriesAtOnce(b, n, before);
    long means = groups * pitch * (s.headDim() + s.valueDim()) * Float.BYTES;
    return new GradientCost(
        IntervalGradient.flops(s, pairs),
        NsaPlan.Branches.bytes(s),
        NsaPlan.scratchBytes(attention, s, threads)
            + means
            + IntervalGradient.bytes(s.withSeqLens(n, pitch), threads, pitch, rows)
            + IntervalGradient.bytes(s, threads, n, rows)
            + threads * SelectedBlocksGradient.bytes(b, n, before, queries));
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    Arrays.fill(gradKeyMeans, 0);
    Arrays.fill(gradValueMeans, 0);
    compression.bind(
        input("q"),
        forward.keyMeans(),
        forward.valueMeans(),
        branches.compression,
        branches.compressionLse);
    compression.gate(input("gate_compression"));
    compression.run(gradOut, wanted("q"), gradKeyMeans, gradValueMeans);
    addGate("gate_compression", compression.delta());
    workers.run(shape.batchSize() * shape.numKeyValueHeads(), spread);
    positions.windows = false;
    run("gate_selection", branches.selection, branches.selectionLse, gradOut);
    positions.windows = true;
    run("gate_window", branches.window, branches.windowLse, gradOut);
  }

  private void run(String gate, float[] out, float[] lse, float[] gradOut) {
    positions.bind(input("q"), input("k"), input("v"), out, lse);
    positions.gate(input(gate));
    positions.run(gradOut, wanted("q"), wanted("k"), wanted("v"));
    addGate(gate, positions.delta());
  }

  private void addGate(String gate, float[] delta) {
    if (wantsGradient(gate)) {
      float[] sum = gradient(gate);
      kernels.add(sum.length, delta, 0, sum, 0, sum, 0);
    }
  }

  /// Gives every key and value of a whole block its share of the gradients of their means.
  private void spread(int worker, int group) {
    float[] gradKey = wanted("k");
    float[] gradValue = wanted("v");
    int n = shape.keySeqLen();
    int b = attention.blockSize();
    int d = shape.headDim();
    int dv = shape.valueDim();
    float share = 1f / b;
    for (int j = 0; j < n / b * b; j++) {
      int mean = group * pitch + j / b;
      int row = group * n + j;
      if (gradKey != null) {
        kernels.axpy(d, share, gradKeyMeans, mean * d, gradKey, row * d);
      }
      if (gradValue != null) {
        kernels.axpy(dv, share, gradValueMeans, mean * dv, gradValue, row * dv);
      }
    }
  }

  /// Queries over the means of the blocks that they see as a whole.
  private final class Compression extends IntervalGradient {
    private final int n = shape.querySeqLen();
    private final int most = GradientTile.preferredRows();

    Compression(PlanRequest request, Scratch scratch) {
      super(
          request.shape().withSeqLens(request.shape().querySeqLen(), pitch),
          request.threads(),
          Attention.defaultScale(request.shape()),
          scratch,
          pitch,
          GradientTile.preferredRows(),
          false);
    }

    @Override
    protected void addKeys(int worker, GradientKeys keys, int batch, int head) {
      keys.add(0, 1, n / attention.blockSize());
    }

    @Override
    protected int blocks(int head) {
      return Math.ceilDiv(n, most);
    }

    @Override
    protected void block(
        int worker, GradientTile tile, GradientKeys keys, int batch, int head, int block) {
      int first = block * most;
      tile.rows(first, 1, Math.min(most, n - first));
      for (int r = 0; r < tile.rows(); r++) {
        tile.see(r, 0, forward.limit()[first + r] / attention.blockSize());
      }
      tile.attend(keys);
    }
  }

  /// Queries over keys: their own and chosen blocks, or their windows.
  private final class Positions extends IntervalGradient {
    private final int n = shape.querySeqLen();
    private final int most = GradientTile.preferredRows();
    private final int chosenBefore = attention.chosenBefore(n);
    private final int queries =
        SelectedBlocks.queriesAtOnce(attention.blockSize(), n, chosenBefore);
    private final SelectedBlocksGradient[] selected;
    private boolean windows;

    Positions(PlanRequest request, Scratch scratch) {
      super(request, scratch, request.shape().keySeqLen(), GradientTile.preferredRows(), false);
      selected = new SelectedBlocksGradient[request.threads()];
      for (int t = 0; t < selected.length; t++) {
        selected[t] =
            new SelectedBlocksGradient(
                scratch, attention.blockSize(), n, chosenBefore, queries, most);
      }
    }

    @Override
    protected void addKeys(int worker, GradientKeys keys, int batch, int head) {
      keys.add(0, 1, n);
    }

    @Override
    protected int blocks(int head) {
      return n == 0 ? 0 : Math.ceilDiv(n, windows ? most : queries);
    }

    @Override
    protected void block(
        int worker, GradientTile tile, GradientKeys keys, int batch, int head, int block) {
      if (windows) {
        window(tile, keys, block * most);
        return;
      }
      int first = block * queries;
      int count = Math.min(queries, n - first);
      int group = batch * shape.numKeyValueHeads() + head / shape.groupSize();
      int at = (group * n + first) * chosenBefore;
      selected[worker].attend(
          tile, keys, first, count, forward.limit(), first, forward.chosen(), at);
    }

    private void window(GradientTile tile, GradientKeys keys, int first) {
      tile.rows(first, 1, Math.min(most, n - first));
      for (int r = 0; r < tile.rows(); r++) {
        int seen = forward.limit()[first + r];
        tile.see(r, Math.max(0, seen - attention.windowSize()), seen);
      }
      tile.attend(keys);
    }
  }
}
