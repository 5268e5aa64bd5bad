// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.GradientKeys;
import dev.crossover.attention.kernel.GradientTile;
import dev.crossover.attention.kernel.Kernels;
import org.jspecify.annotations.Nullable;

/// The backward pass of mechanisms whose queries see intervals of packed keys, which subclasses
/// describe as their forward pass does:
///
/// ```
/// in parallel, for each row:                       D = ∂out · out
/// in parallel, for each part of each key/value head:
///   give the keys positions; pack them
///   for each query head, for each of the part's blocks of rows: see, attend
///   add ∂k and ∂v, or put them aside
/// in parallel, for each head with several parts:   ∂k and ∂v += their sums, in order
/// ```
///
/// A query row must belong to one block of a run, so that its ∂q has one writer; what meets other
/// keys in other blocks takes another run, which adds. ∂k and ∂v of one head have one writer at a
/// time. A head has several parts where heads are too few to fill all threads: the number depends
/// on the shape only, so that the bits do not depend on the threads. What is allocated is a
/// multiple of the keys and values, whatever the number of pairs.
public abstract class IntervalGradient {
  /// The problem's sizes.
  protected final AttentionShape shape;

  /// Factor on the dot products.
  protected final float scale;

  private final Kernels kernels = Kernels.get();
  private final Workers workers;
  private final boolean keysPerHead;
  private final KeyShares shares;
  private final GradientTile[] tiles;
  private final GradientKeys[] keys;
  private final float[] delta;
  private final Workers.Task weigh = this::weigh;
  private final Workers.Task part = this::part;
  private float[] q = new float[0];
  private float[] k = q;
  private float[] v = q;
  private float[] out = q;
  private float[] lse = q;
  private float @Nullable [] factor;
  private float[] gradOut = q;
  private float @Nullable [] gradQuery;

  /// @param request shape and threads
  /// @param scratch allocator
  /// @param maxKeys most positions of the keys of a head, see [GradientKeys]
  /// @param maxRows most rows of a block
  /// @param keysPerHead whether the query heads of a key/value head give its keys other positions
  protected IntervalGradient(
      PlanRequest request, Scratch scratch, int maxKeys, int maxRows, boolean keysPerHead) {
    this(
        request.shape(),
        request.threads(),
        Attention.defaultScale(request.shape()),
        scratch,
        maxKeys,
        maxRows,
        keysPerHead);
  }

  /// @param shape sizes of q, and of the k and v that it attends to
  /// @param threads number of threads
  /// @param scale factor on the dot products
  /// @param scratch allocator
  /// @param maxKeys most positions of the keys of a head, see [GradientKeys]
  /// @param maxRows most rows of a block
  /// @param keysPerHead whether the query heads of a key/value head give its keys other positions
  protected IntervalGradient(
      AttentionShape shape,
      int threads,
      double scale,
      Scratch scratch,
      int maxKeys,
      int maxRows,
      boolean keysPerHead) {
    this.shape = shape;
    this.scale = (float) scale;
    workers = new Workers(threads);
    this.keysPerHead = keysPerHead;
    shares = new KeyShares(scratch, shape);
    int d = shape.headDim();
    int dv = shape.valueDim();
    tiles = new GradientTile[threads];
    keys = new GradientKeys[tiles.length];
    for (int t = 0; t < tiles.length; t++) {
      tiles[t] = new GradientTile(scratch, maxRows, d, dv);
      keys[t] = new GradientKeys(scratch, maxKeys, d, dv);
    }
    delta = scratch.floats((long) shape.problems() * shape.querySeqLen());
  }

  /// Bytes the constructor allocates.
  public static long bytes(AttentionShape s, int threads, int maxKeys, int maxRows) {
    return threads
            * (GradientTile.bytes(maxRows, s.headDim(), s.valueDim())
                + GradientKeys.bytes(maxKeys, s.headDim(), s.valueDim()))
        + (long) Float.BYTES * s.problems() * s.querySeqLen()
        + KeyShares.bytes(s);
  }

  /// Floating-point operations for a number of pairs: five products and an exponential each.
  public static double flops(AttentionShape s, double pairs) {
    return pairs * (6.0 * s.headDim() + 4.0 * s.valueDim() + 8);
  }

  /// Takes what a forward pass read and wrote.
  ///
  /// @param newLse log-sum-exp of every row `[batch, heads, nq]`
  public final void bind(float[] newQ, float[] newK, float[] newV, float[] newOut, float[] newLse) {
    q = newQ;
    k = newK;
    v = newV;
    out = newOut;
    lse = newLse;
    factor = null;
  }

  /// Takes what ∂out of every row is to be multiplied with, `[batch, heads, nq]`, until the next
  /// [#bind].
  public final void gate(float[] newFactor) {
    factor = newFactor;
  }

  /// D of every row of the last run, `[batch, heads, nq]`: ∂out · out, without the factors of
  /// [#gate], whose gradients they are.
  public final float[] delta() {
    return delta;
  }

  /// Adds the gradients; those that are null are not wanted.
  public final void run(
      float[] newGradOut,
      float @Nullable [] newGradQuery,
      float @Nullable [] newGradKey,
      float @Nullable [] newGradValue) {
    gradOut = newGradOut;
    gradQuery = newGradQuery;
    shares.bind(newGradKey, newGradValue);
    workers.run(shape.problems(), weigh);
    workers.run(shares.tasks(), part);
    shares.sum(workers);
  }

  /// Gives the keys of a head positions with [GradientKeys#add].
  ///
  /// @param worker no two calls run at once for the same worker
  /// @param head a query head
  protected abstract void addKeys(int worker, GradientKeys keys, int batch, int head);

  /// Number of blocks of rows of a query head.
  protected abstract int blocks(int head);

  /// Starts a block of rows with [GradientTile#rows], lets them see and attend; does nothing if the
  /// block is empty. [GradientTile#finish] follows, and comes between several sets of rows.
  ///
  /// @param worker no two calls run at once for the same worker
  protected abstract void block(
      int worker, GradientTile tile, GradientKeys keys, int batch, int head, int block);

  private void weigh(int worker, int problem) {
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int dv = shape.valueDim();
    int row = shape.outputOffset(batch, h);
    for (int i = 0; i < shape.querySeqLen(); i++) {
      delta[problem * shape.querySeqLen() + i] =
          kernels.dot(dv, gradOut, row + i * dv, out, row + i * dv);
    }
  }

  private void part(int worker, int task) {
    int group = task / shares.parts();
    int batch = group / shape.numKeyValueHeads();
    int first = group % shape.numKeyValueHeads() * shape.groupSize();
    int ko = shape.keyOffset(batch, first);
    int vo = shape.valueOffset(batch, first);
    shares.begin(task);
    GradientKeys own = keys[worker];
    for (int h = first; h < first + shape.groupSize(); h++) {
      if (h == first || keysPerHead) {
        own.begin();
        addKeys(worker, own, batch, h);
        own.load(k, ko, v, vo);
      }
      head(worker, batch, h, task % shares.parts());
      if (h == first + shape.groupSize() - 1 || keysPerHead) {
        own.store(
            scale,
            shares.keys(),
            shares.keyOffset(task),
            shares.values(),
            shares.valueOffset(task));
      }
    }
  }

  private void head(int worker, int batch, int h, int share) {
    GradientTile tile = tiles[worker];
    int problem = batch * shape.numHeads() + h;
    int qo = shape.queryOffset(batch, h);
    int row = problem * shape.querySeqLen();
    tile.head(
        q,
        qo,
        gradOut,
        shape.outputOffset(batch, h),
        lse,
        delta,
        factor,
        row,
        gradQuery,
        qo,
        scale);
    int blocks = blocks(h);
    int end = shares.first(share + 1, blocks);
    for (int b = shares.first(share, blocks); b < end; b++) {
      tile.rows(0, 1, 0);
      block(worker, tile, keys[worker], batch, h, b);
      tile.finish();
    }
  }
}
