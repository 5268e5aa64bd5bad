// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.TiledBackward;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.score.Tener.Variant;
import java.util.Arrays;

/// [Tener] with its backward pass: that of exact attention over the long rows, with the rotations
/// turned back.
final class TenerDifferentiable extends DifferentiablePlan {
  private static final int ROWS = 128;

  private final Tener tener;
  private final Kernels kernels = Kernels.get();
  private final AttentionPlan forward;
  private final TiledBackward backward;
  private final int d = shape.headDim();
  private final int p = d / 2;
  private final int width;
  private final int n = shape.keySeqLen();
  private final int blocks = Math.ceilDiv(n, ROWS);
  private final int sign;
  private final float[] lse;
  private final float[] table;
  private final float[] longQueries;
  private final float[] longKeys;
  private final float[] gradQueries;
  private final float[] gradKeys;
  private final float[] gradValues;

  /// `[batch, heads, blocks, 2 d]`: sums over rows of the gradients of q + u and of q + w.
  private final float[] sums;

  private final float[][] row = new float[threads()][];
  private final Workers.Task expandQueries = this::expandQueries;
  private final Workers.Task expandKeys = this::expandKeys;
  private final Workers.Task queryGradients = this::queryGradients;
  private final Workers.Task keyGradients = this::keyGradients;

  TenerDifferentiable(Tener tener, PlanRequest request) {
    super(request);
    this.tener = tener;
    width = tener.width(d);
    sign = tener.variant() == Variant.CODE ? 1 : -1;
    lse = kept.floats(queries(shape));
    forward = tener.planWithLse(request, lse);
    scratch.include(forward.scratchBytes());
    backward =
        new TiledBackward(
            wide(tener, shape), mask, request.threads(), tener.scale(d), false, scratch);
    table = scratch.floats((long) n * Tener.waves(d));
    Tener.fillTable(n, d, table);
    longQueries = scratch.floats(queries(shape) * width);
    gradQueries = scratch.floats(queries(shape) * width);
    longKeys = scratch.floats(keys(shape) * width);
    gradKeys = scratch.floats(keys(shape) * width);
    gradValues = scratch.floats(keys(shape) * shape.valueDim());
    sums = scratch.floats((long) shape.problems() * blocks * 2 * d);
    for (int t = 0; t < threads(); t++) {
      row[t] = scratch.floats(d);
    }
  }

  static GradientCost cost(Tener tener, AttentionShape s, Mask mask, int threads) {
    long width = tener.width(s.headDim());
    long d = s.headDim();
    long rows = queries(s) + keys(s);
    long floats =
        (long) s.keySeqLen() * Tener.waves(s.headDim())
            + 2 * rows * width
            + keys(s) * s.valueDim()
            + s.problems() * Math.ceilDiv(s.keySeqLen(), ROWS) * 2 * d
            + threads * d;
    AttentionShape wide = wide(tener, s);
    return new GradientCost(
        TiledBackward.flops(wide, mask) + 16.0 * rows * d,
        Float.BYTES * queries(s),
        tener.cost(s, mask, threads).scratchBytes()
            + TiledBackward.bytes(wide, mask, threads, false)
            + Float.BYTES * floats);
  }

  /// The sizes of the long rows.
  private static AttentionShape wide(Tener tener, AttentionShape s) {
    return s.withHeadDim(tener.width(s.headDim()));
  }

  private static long queries(AttentionShape s) {
    return (long) s.problems() * s.querySeqLen();
  }

  private static long keys(AttentionShape s) {
    return (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    int keyHeads = shape.batchSize() * shape.numKeyValueHeads();
    workers.run(shape.problems() * blocks, expandQueries);
    workers.run(keyHeads * blocks, expandKeys);
    backward.bind(longQueries, longKeys, input("v"), output(), lse);
    backward.run(gradOut, gradQueries, gradKeys, gradValues);
    workers.run(shape.problems() * blocks, queryGradients);
    if (wantsGradient("k")) {
      workers.run(keyHeads * blocks, keyGradients);
    }
    if (wantsGradient("v")) {
      float[] sum = gradient("v");
      kernels.add(sum.length, sum, 0, gradValues, 0, sum, 0);
    }
    sumBias("content_bias", 0);
    sumBias("position_bias", d);
  }

  private void expandQueries(int worker, int index) {
    int problem = index / blocks;
    int first = index % blocks * ROWS;
    for (int i = first; i < Math.min(first + ROWS, n); i++) {
      int at = problem * n + i;
      tener.expandQuery(
          input("q"),
          at * d,
          input("content_bias"),
          input("position_bias"),
          problem % shape.numHeads() * d,
          d,
          table,
          i,
          row[worker],
          longQueries,
          at * width);
    }
  }

  private void expandKeys(int worker, int index) {
    int first = index % blocks * ROWS;
    for (int j = first; j < Math.min(first + ROWS, n); j++) {
      int at = index / blocks * n + j;
      tener.expandKey(input("k"), at * d, d, table, j, longKeys, at * width);
    }
  }

  /// ∂(q + u) and ∂(q + w) of a block of queries: their sum is ∂q, their sums over rows are those
  /// of u and w.
  private void queryGradients(int worker, int index) {
    int problem = index / blocks;
    int first = index % blocks * ROWS;
    int sum = index * 2 * d;
    float[] turned = row[worker];
    Arrays.fill(sums, sum, sum + 2 * d, 0);
    for (int i = first; i < Math.min(first + ROWS, n); i++) {
      int at = problem * n + i;
      Arrays.fill(turned, 0);
      Tener.rotateBack(gradQueries, at * width + d, p, table, i * 2 * p, sign, turned, 0);
      kernels.add(d, sums, sum, gradQueries, at * width, sums, sum);
      kernels.add(d, sums, sum + d, turned, 0, sums, sum + d);
      if (wantsGradient("q")) {
        float[] target = gradient("q");
        kernels.add(d, turned, 0, gradQueries, at * width, turned, 0);
        kernels.add(d, turned, 0, target, at * d, target, at * d);
      }
    }
  }

  private void keyGradients(int worker, int index) {
    int first = index % blocks * ROWS;
    float[] target = gradient("k");
    for (int j = first; j < Math.min(first + ROWS, n); j++) {
      int at = index / blocks * n + j;
      kernels.add(d, target, at * d, gradKeys, at * width, target, at * d);
      if (tener.variant() == Variant.CODE) {
        int from = at * width + d + 2 * p;
        Tener.rotateBack(gradKeys, from, p, table, j * 2 * p, 1, target, at * d);
      }
    }
  }

  /// Sums a bias over one batch entry after another.
  private void sumBias(String name, int part) {
    if (!wantsGradient(name)) {
      return;
    }
    float[] target = gradient(name);
    for (int h = 0; h < shape.numHeads(); h++) {
      for (int b = 0; b < shape.batchSize(); b++) {
        for (int block = 0; block < blocks; block++) {
          int from = (((b * shape.numHeads() + h) * blocks) + block) * 2 * d + part;
          kernels.add(d, target, h * d, sums, from, target, h * d);
        }
      }
    }
  }
}
