// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.lowrank.Linformer.Projection;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The steps of [Linformer]: project keys and values to slots, then attend to the slots.
final class LinformerPlan extends AttentionPlan {
  static final int ROWS = 64;
  static final int POSITIONS = 256;

  private final Linformer linformer;
  private final Kernels kernels = Kernels.get();
  private final int rows = SoftmaxTile.preferredRows();
  private final float factor = (float) Attention.defaultScale(shape);
  private final int slots;
  private final int owners;
  private final int slotBlocks;
  private final int queryBlocks = Math.ceilDiv(shape.querySeqLen(), rows);
  private final float[] lse;

  /// K̄, `[batch, owners, slots, d]`.
  final float[] projectedKeys;

  /// V̄, `[batch, owners, slots, dv]`.
  final float[] projectedValues;

  /// Convolution weights, `[tap, in, out]`.
  final float[] keyFilter;

  final float[] valueFilter;
  private final KeyPanels[] panels;
  private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
  private final float[][] part = new float[threads()][];
  private final Workers.Task project = this::project;
  private final Workers.Task pack = this::pack;
  private final Workers.Task attend = this::attend;

  LinformerPlan(Linformer linformer, PlanRequest request) {
    this(linformer, request, null, new float[0]);
  }

  /// @param keep allocates what a backward pass reads; null: like all scratch
  /// @param lse written if it is not empty: log-sum-exp of every row's scores
  LinformerPlan(Linformer linformer, PlanRequest request, @Nullable Scratch keep, float[] lse) {
    super(request);
    this.linformer = linformer;
    this.lse = lse;
    Scratch slotRows = keep == null ? scratch : keep;
    slots = linformer.slots(shape);
    owners = linformer.owners(shape);
    slotBlocks = Math.ceilDiv(slots, ROWS);
    keyFilter = scratch.floats(linformer.filterSize(shape, shape.headDim()));
    valueFilter = scratch.floats(linformer.filterSize(shape, shape.valueDim()));
    panels = new KeyPanels[shape.batchSize() * owners];
    long heads = panels.length;
    projectedKeys = slotRows.floats(heads * slots * shape.headDim());
    projectedValues = slotRows.floats(heads * slots * shape.valueDim());
    for (int p = 0; p < panels.length; p++) {
      panels[p] = new KeyPanels(scratch, slots, shape.headDim());
    }
    for (int t = 0; t < tiles.length; t++) {
      tiles[t] = new SoftmaxTile(scratch, rows, shape.headDim(), shape.valueDim());
      part[t] = scratch.floats((long) ROWS * Math.max(shape.headDim(), shape.valueDim()));
    }
  }

  @Override
  protected void compute(Tensor output) {
    if (linformer.projection() == Projection.CONVOLUTION) {
      tapMajor(input("key_conv_weight"), shape.headDim(), keyFilter);
      tapMajor(input("value_conv_weight"), shape.valueDim(), valueFilter);
    }
    workers.run(2 * panels.length * slotBlocks, project);
    workers.run(panels.length, pack);
    workers.run(shape.problems() * queryBlocks, attend);
  }

  /// K̄ = E K or V̄ = F V, one block of slots of one head.
  private void project(int worker, int index) {
    int first = index % slotBlocks * ROWS;
    int count = Math.min(ROWS, slots - first);
    int head = index / slotBlocks / 2;
    boolean keys = index / slotBlocks % 2 == 0;
    int width = keys ? shape.headDim() : shape.valueDim();
    float[] source = input(keys ? "k" : "v");
    int block =
        (head / owners * shape.numKeyValueHeads()
                + head % owners / (owners / shape.numKeyValueHeads()))
            * shape.keySeqLen()
            * width;
    float[] target = keys ? projectedKeys : projectedValues;
    int to = (head * slots + first) * width;
    int batch = head / owners;
    switch (linformer.projection()) {
      case LEARNED ->
          learned(worker, keys, head % owners, first, count, batch, source, block, target, to);
      case MEAN_POOL -> meanPool(first, count, batch, source, block, width, target, to);
      case MAX_POOL -> maxPool(first, count, batch, source, block, width, target, to);
      case CONVOLUTION -> convolution(worker, keys, first, count, batch, source, block, target, to);
    }
  }

  /// E[rows, :nk] K over the real positions, in blocks that keep partial sums short.
  private void learned(
      int worker,
      boolean keys,
      int owner,
      int first,
      int count,
      int batch,
      float[] source,
      int block,
      float[] target,
      int to) {
    int nk = shape.keySeqLen();
    int columns = linformer.maxSeqLen().orElse(nk);
    int width = keys ? shape.headDim() : shape.valueDim();
    float[] matrix =
        input(keys || !linformer.ownValueProjection() ? "key_projection" : "value_projection");
    int rowStart =
        ((linformer.perHead() ? owner : 0) * linformer.projectedLength() + first) * columns;
    Arrays.fill(target, to, to + count * width, 0);
    for (int from = mask.nextReal(batch, 0, nk); from < nk; ) {
      int end = mask.nextPadding(batch, from, Math.min(nk, from + POSITIONS));
      kernels.multiply(
          count,
          width,
          end - from,
          matrix,
          rowStart + from,
          columns,
          source,
          block + from * width,
          width,
          part[worker],
          0,
          width,
          false);
      kernels.add(count * width, part[worker], 0, target, to, target, to);
      from = mask.nextReal(batch, end, nk);
    }
  }

  private void meanPool(
      int first,
      int count,
      int batch,
      float[] source,
      int block,
      int width,
      float[] target,
      int to) {
    int window = linformer.window(shape);
    Arrays.fill(target, to, to + count * width, 0);
    for (int a = 0; a < count; a++) {
      int row = to + a * width;
      for (int s = 0; s < window; s++) {
        int j = (first + a) * window + s;
        if (mask.isRealKey(batch, j)) {
          kernels.add(width, source, block + j * width, target, row, target, row);
        }
      }
      kernels.scale(width, 1f / window, target, row, target, row);
    }
  }

  private void maxPool(
      int first,
      int count,
      int batch,
      float[] source,
      int block,
      int width,
      float[] target,
      int to) {
    int window = linformer.window(shape);
    Arrays.fill(target, to, to + count * width, Float.NEGATIVE_INFINITY);
    for (int a = 0; a < count; a++) {
      for (int s = 0; s < window; s++) {
        int j = (first + a) * window + s;
        boolean real = mask.isRealKey(batch, j);
        for (int c = 0; c < width; c++) {
          float element = real ? source[block + j * width + c] : 0;
          target[to + a * width + c] = Math.max(target[to + a * width + c], element);
        }
      }
    }
  }

  /// b + Σ_s W_s · rows at s, s + stride, …; padded rows enter as zeros.
  private void convolution(
      int worker,
      boolean keys,
      int first,
      int count,
      int batch,
      float[] source,
      int block,
      float[] target,
      int to) {
    int width = keys ? shape.headDim() : shape.valueDim();
    float[] bias = input(keys ? "key_conv_bias" : "value_conv_bias");
    for (int a = 0; a < count; a++) {
      System.arraycopy(bias, 0, target, to + a * width, width);
    }
    for (int s = 0; s < linformer.taps(shape); s++) {
      for (int a = 0; a < count; a++) {
        int j = (first + a) * linformer.step(shape) + s;
        if (mask.isRealKey(batch, j)) {
          System.arraycopy(source, block + j * width, part[worker], a * width, width);
        } else {
          Arrays.fill(part[worker], a * width, (a + 1) * width, 0);
        }
      }
      kernels.multiply(
          count,
          width,
          width,
          part[worker],
          0,
          width,
          keys ? keyFilter : valueFilter,
          s * width * width,
          width,
          target,
          to,
          width,
          true);
    }
  }

  /// `[out, in, tap]` to `[tap, in, out]`.
  private void tapMajor(float[] weight, int width, float[] filter) {
    int taps = linformer.taps(shape);
    for (int o = 0; o < width; o++) {
      for (int e = 0; e < width; e++) {
        for (int s = 0; s < taps; s++) {
          filter[(s * width + e) * width + o] = weight[(o * width + e) * taps + s];
        }
      }
    }
  }

  private void pack(int worker, int index) {
    int d = shape.headDim();
    panels[index].pack(projectedKeys, index * slots * d, d, slots, 0);
  }

  /// softmax(Q K̄ᵀ / √d) V̄ of one block of queries.
  private void attend(int worker, int index) {
    int d = shape.headDim();
    int dv = shape.valueDim();
    int problem = index / queryBlocks;
    int first = index % queryBlocks * rows;
    int count = Math.min(rows, shape.querySeqLen() - first);
    int head =
        problem / shape.numHeads() * owners
            + problem % shape.numHeads() / (shape.numHeads() / owners);
    SoftmaxTile tile = tiles[worker];
    int row = problem * shape.querySeqLen() + first;
    tile.begin(input("q"), row * d, d, count, factor);
    tile.attend(panels[head], projectedValues, head * slots * dv, dv, 0, slots);
    if (lse.length == 0) {
      tile.finish(out, row * dv, dv);
    } else {
      tile.finish(out, row * dv, dv, lse, row);
    }
  }
}
