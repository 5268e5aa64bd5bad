// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// [Power]'s quadratic form over whole sequences: blocks of rows meet blocks of keys, and weights
/// are summed as they are, as none of them is an exponential that might overflow.
///
/// ```
/// out_i = Σ_j w_ij v_j / (Σ_j w_ij + eps max_j w_ij)
/// ```
///
/// Parallel over heads and blocks of rows.
final class PowerForward {
  private static final int BLOCK = PowerTile.BLOCK;
  private static final float[] ABSENT = new float[0];

  private final AttentionShape shape;
  private final Workers workers;
  private final PowerDecays decays;
  private final PowerTile[] tiles;
  private final float[][] sums;
  private final float[][] maxima;
  private final int[][] largest;
  private final float eps;
  private final Kernels kernels = Kernels.get();
  private final Workers.Task block = this::block;

  /// 1 / (Σ w + eps max w) of every row, 0 for a row that is zero; what a backward pass needs.
  final float[] inverses;

  /// The key of every row's largest weight, where eps is not 0.
  final int[] peaks;

  private float[] q = ABSENT;
  private float[] k = q;
  private float[] v = q;
  private float[] out = q;

  /// @param kept allocator of what the backward pass needs; absent without one
  PowerForward(
      Power power,
      AttentionShape shape,
      Mask mask,
      Workers workers,
      Scratch scratch,
      @Nullable Scratch kept) {
    this.shape = shape;
    this.workers = workers;
    eps = (float) power.eps();
    decays = new PowerDecays(shape, mask, scratch);
    int threads = workers.threads();
    tiles = new PowerTile[threads];
    sums = new float[threads][];
    maxima = new float[threads][];
    largest = new int[threads][];
    for (int w = 0; w < threads; w++) {
      tiles[w] = new PowerTile(power, shape, mask, decays, kept != null, scratch);
      sums[w] = scratch.floats(BLOCK);
      maxima[w] = scratch.floats(BLOCK);
      largest[w] = scratch.ints(BLOCK);
    }
    long rows = (long) shape.problems() * shape.querySeqLen();
    inverses = kept == null ? new float[0] : kept.floats(rows);
    peaks = kept == null ? new int[0] : kept.ints(eps > 0 ? rows : 0);
  }

  PowerTile tile(int worker) {
    return tiles[worker];
  }

  /// Takes the tensors of a call.
  void bind(BoundTensors inputs) {
    q = inputs.get("q");
    k = inputs.get("k");
    v = inputs.get("v");
    decays.bind(inputs.has("log_decay") ? inputs.get("log_decay") : ABSENT, workers);
  }

  void run(BoundTensors inputs, float[] output) {
    bind(inputs);
    out = output;
    workers.run(shape.problems() * blocks(), block);
  }

  private int blocks() {
    return Math.ceilDiv(shape.querySeqLen(), BLOCK);
  }

  private void block(int worker, int index) {
    int problem = index / blocks();
    int first = index % blocks() * BLOCK;
    int dv = shape.valueDim();
    int at = (problem * shape.querySeqLen() + first) * dv;
    int rows = Math.min(BLOCK, shape.querySeqLen() - first);
    PowerTile tile = tiles[worker];
    Arrays.fill(out, at, at + rows * dv, 0);
    Arrays.fill(sums[worker], 0);
    Arrays.fill(maxima[worker], 0);
    Arrays.fill(largest[worker], 0);
    for (int key = 0; key <= first; key += BLOCK) {
      if (tile.take(tile.keyHeadOf(problem), key, k, v)) {
        tile.weigh(problem, first, q);
        addSums(tile, sums[worker], maxima[worker], largest[worker]);
        tile.addToRows(dv, tile.weights, tile.values, tile.valueOffset, out, at);
      }
    }
    divide(worker, problem * shape.querySeqLen() + first, rows, at);
  }

  private void addSums(PowerTile tile, float[] sum, float[] maximum, int[] peak) {
    for (int r = 0; r < tile.rows; r++) {
      int limit = tile.limit(r);
      sum[r] += kernels.sum(limit, tile.weights, r * BLOCK);
      if (eps > 0) {
        float most = kernels.max(limit, tile.weights, r * BLOCK);
        if (most > maximum[r]) {
          maximum[r] = most;
          peak[r] = tile.firstKey + position(tile.weights, r * BLOCK, limit, most);
        }
      }
    }
  }

  private static int position(float[] x, int at, int count, float value) {
    int j = 0;
    while (j < count - 1 && x[at + j] != value) {
      j++;
    }
    return j;
  }

  /// A sum so small that its inverse may be infinite gives zeros: all weights have vanished.
  private void divide(int worker, int row, int rows, int at) {
    float[] sum = sums[worker];
    for (int r = 0; r < rows; r++) {
      float by = sum[r] + eps * maxima[worker][r];
      boolean vanishes = by < Float.MIN_NORMAL;
      sum[r] = vanishes ? 0 : 1 / by;
      if (inverses.length > 0) {
        inverses[row + r] = sum[r];
      }
      if (peaks.length > 0) {
        peaks[row + r] = largest[worker][r];
      }
      int o = at + r * shape.valueDim();
      if (vanishes) {
        Arrays.fill(out, o, o + shape.valueDim(), 0);
      }
    }
    int dv = shape.valueDim();
    kernels.scaleRows(rows, dv, sum, 0, out, at, dv, out, at, dv);
  }
}
