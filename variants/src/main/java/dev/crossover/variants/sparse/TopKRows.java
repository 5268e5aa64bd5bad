// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.ScoreTile;
import dev.crossover.attention.select.LargestScores;

/// The kept keys of every row of [TopK] and their weights: what forward and backward pass start
/// from.
final class TopKRows {
  private final Kernels kernels = Kernels.get();
  private final AttentionShape shape;
  private final Mask mask;
  private final int nq;
  private final int nk;
  private final int d;
  private final int rows;
  private final int k;
  private final float factor;
  private final KeyPanels[] panels;
  private final ScoreTile[] tiles;
  private final LargestScores[] largest;
  private final int[][] kept;
  private final float[][] weights;

  /// Takes a row whose keys have been selected.
  @FunctionalInterface
  interface Row {
    /// @param i position of the query
    /// @param count number of kept keys, the first of [#kept] and [#weights]
    void take(int worker, int batch, int head, int i, int count);
  }

  TopKRows(Scratch scratch, TopK attention, AttentionShape shape, Mask mask, int threads) {
    this.shape = shape;
    this.mask = mask;
    nq = shape.querySeqLen();
    nk = shape.keySeqLen();
    d = shape.headDim();
    rows = ScoreTile.rows(nk);
    k = attention.keysKept(nk);
    factor = (float) Attention.defaultScale(shape);
    panels = new KeyPanels[shape.batchSize() * shape.numKeyValueHeads()];
    for (int p = 0; p < panels.length; p++) {
      panels[p] = new KeyPanels(scratch, nk, d);
    }
    tiles = new ScoreTile[threads];
    largest = new LargestScores[threads];
    kept = new int[threads][];
    weights = new float[threads][];
    for (int t = 0; t < threads; t++) {
      tiles[t] = new ScoreTile(scratch, nk, d);
      largest[t] = new LargestScores(scratch, nk);
      kept[t] = scratch.ints(nk);
      weights[t] = scratch.floats(nk);
    }
  }

  /// Bytes the constructor allocates.
  static long bytes(AttentionShape s, int threads) {
    int nk = s.keySeqLen();
    long perThread =
        LargestScores.bytes(nk)
            + ScoreTile.bytes(nk, s.headDim())
            + (long) nk * (Integer.BYTES + Float.BYTES);
    return (long) s.batchSize() * s.numKeyValueHeads() * KeyPanels.bytes(nk, s.headDim())
        + threads * perThread;
  }

  /// Number of key/value heads, counted over the batch.
  int groups() {
    return panels.length;
  }

  /// Blocks of rows of a query head.
  int blocks() {
    return Math.ceilDiv(nq, rows);
  }

  /// Positions of the kept keys of the row at hand.
  int[] kept(int worker) {
    return kept[worker];
  }

  /// Weights of the kept keys of the row at hand.
  float[] weights(int worker) {
    return weights[worker];
  }

  /// Packs the keys of a head.
  void pack(float[] keys, int group) {
    panels[group].pack(keys, group * nk * d, d, nk, 0);
  }

  /// P for some rows, with the keys that the last of them may see; then row by row.
  void block(int worker, float[] q, int batch, int h, int block, Row row) {
    int first = block * rows;
    int count = Math.min(rows, nq - first);
    int group = batch * shape.numKeyValueHeads() + h / shape.groupSize();
    int query = shape.queryOffset(batch, h) + first * d;
    int least = mask.causalLimit(first, nq, nk);
    int most = mask.causalLimit(first + count - 1, nq, nk);
    int groups = LargestScores.block(least, k);
    int whole = mask.hasKeyPadding() ? 0 : least / ScoreTile.SEGMENT * ScoreTile.SEGMENT;
    tiles[worker].compute(q, query, d, count, panels[group], most, groups, whole);
    for (int r = 0; r < count; r++) {
      row.take(worker, batch, h, first + r, select(worker, batch, first + r, r, groups, whole));
    }
  }

  /// Hides, selects and normalises the scores of one row; how many keys are kept.
  private int select(int worker, int batch, int i, int inBlock, int groups, int grouped) {
    ScoreTile tile = tiles[worker];
    float[] scores = tile.scores();
    int at = tile.start(inBlock);
    int limit = mask.causalLimit(i, nq, nk);
    for (int j = 0; mask.hasKeyPadding() && j < limit; j++) {
      if (!mask.isRealKey(batch, j)) {
        int segment = j / ScoreTile.SEGMENT * tile.stride();
        scores[at + segment + j % ScoreTile.SEGMENT] = Float.NEGATIVE_INFINITY;
      }
    }
    float[] weight = weights[worker];
    int count =
        largest[worker].keep(
            scores,
            at,
            tile.stride(),
            limit,
            k,
            groups,
            tile.maxima(),
            tile.maximaStart(inBlock),
            grouped,
            kept[worker],
            weight);
    kernels.scale(count, factor, weight, 0, weight, 0);
    kernels.softmax(count, weight, 0);
    return count;
  }
}
