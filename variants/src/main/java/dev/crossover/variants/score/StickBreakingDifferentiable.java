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
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.StickPasses;
import dev.crossover.attention.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/// [StickBreaking] with its backward pass. Keeps nothing: weights are computed again, in the same
/// walk from the newest key that sums `Σ_{l > j} a_il`.
///
/// Parallel over key/value heads.
final class StickBreakingDifferentiable extends DifferentiablePlan {
  private static final String REMAINDER = "remainder";
  private static final int ROWS = StickBlock.ROWS;
  private static final int KEYS = StickBlock.KEYS;

  private final StickBreaking mechanism;
  private final Kernels kernels = Kernels.get();
  private final AttentionPlan forward;
  private final Tensor remainder;
  private final Tensors results;
  private final Part[] parts = new Part[threads()];
  private final Workers.Task head = this::head;

  StickBreakingDifferentiable(StickBreaking mechanism, PlanRequest request) {
    super(request);
    this.mechanism = mechanism;
    forward = mechanism.newPlan(request);
    scratch.include(forward.scratchBytes());
    AttentionShape s = shape;
    remainder =
        Tensor.of(
            scratch.floats((long) s.problems() * s.querySeqLen()),
            s.batchSize(),
            s.numHeads(),
            s.querySeqLen());
    results = Tensors.NONE.with(REMAINDER, remainder);
    for (int t = 0; t < threads(); t++) {
      parts[t] = new Part();
    }
  }

  static GradientCost cost(StickBreaking mechanism, AttentionShape s, Mask mask, int threads) {
    double pairs = s.problems() * mechanism.pairs(s, mask);
    long floats = ROWS * (2L * KEYS + s.headDim() + 2L * s.valueDim() + 1);
    long part =
        StickBlock.bytes(ROWS, s.headDim(), s.valueDim())
            + Float.BYTES * floats
            + Double.BYTES * (long) ROWS
            + Integer.BYTES * (long) ROWS;
    return new GradientCost(
        pairs * (6.0 * s.headDim() + 4.0 * s.valueDim() + 15)
            + 2.0 * s.problems() * s.querySeqLen() * s.valueDim(),
        0,
        mechanism.cost(s, mask, threads).scratchBytes()
            + Float.BYTES * (long) s.problems() * s.querySeqLen()
            + threads * part);
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, results);
    if (wantsResult(REMAINDER)) {
      System.arraycopy(remainder.data(), 0, result(REMAINDER), 0, remainder.size());
    }
  }

  @Override
  protected void differentiate(float[] gradOut) {
    workers.run(shape.batchSize() * shape.numKeyValueHeads(), head);
  }

  private void head(int worker, int index) {
    int batch = index / shape.numKeyValueHeads();
    int first = index % shape.numKeyValueHeads() * shape.groupSize();
    for (int h = first; h < first + shape.groupSize(); h++) {
      for (int row = 0; row < shape.querySeqLen(); row += ROWS) {
        parts[worker].block(batch, h, row, Math.min(ROWS, shape.querySeqLen() - row));
      }
    }
  }

  /// A worker's block of rows.
  private final class Part {
    private final int d = shape.headDim();
    private final int dv = shape.valueDim();
    private final StickBlock stick = new StickBlock(scratch, ROWS, d, dv);
    private final float[] share = scratch.floats((long) KEYS * ROWS);
    private final float[] slopes = scratch.floats((long) KEYS * ROWS);
    private final float[] queries = scratch.floats((long) ROWS * d);
    private final float[] upstream = scratch.floats((long) ROWS * dv);
    private final float[] upstreamColumns = scratch.floats((long) ROWS * dv);
    private final float[] rest = scratch.floats(ROWS);
    private final double[] rests = scratch.doubles(ROWS);
    private final int[] limits = scratch.ints(ROWS);

    /// The walk of one block: adds its gradients of q, k and v.
    private void block(int batch, int h, int first, int rows) {
      int row = (batch * shape.numHeads() + h) * shape.querySeqLen() + first;
      int ko = shape.keyOffset(batch, h);
      int vo = shape.valueOffset(batch, h);
      for (int r = 0; r < rows; r++) {
        limits[r] = mechanism.limit(shape, mask, first + r);
        rests[r] = kernels.dot(dv, gradOut, (row + r) * dv, output(), (row + r) * dv);
      }
      System.arraycopy(input("q"), row * d, queries, 0, rows * d);
      System.arraycopy(gradOut, row * dv, upstream, 0, rows * dv);
      kernels.transpose(rows, dv, gradOut, row * dv, dv, upstreamColumns, 0, rows);
      StickBlock.clear(queries, rows, d);
      StickBlock.clear(upstream, rows, dv);
      stick.begin(input("q"), row * d, rows, mechanism.scaleFor(shape));
      int to = mask.lastReal(batch, 0, limits[rows - 1]);
      while (to > 0 && !stick.spent()) {
        int from = mask.runStart(batch, (to - 1) / KEYS * KEYS, to);
        tile(row, rows, ko, vo, from, to);
        to = mask.lastReal(batch, 0, from);
      }
      float[] gradV = wanted("v");
      for (int r = 0; gradV != null && r < rows; r++) {
        int own = mechanism.own(shape, mask, batch, first + r);
        if (own >= 0) {
          kernels.axpy(dv, stick.remainder(r), gradOut, (row + r) * dv, gradV, vo + own * dv);
        }
      }
    }

    private void tile(int row, int rows, int ko, int vo, int from, int to) {
      int keys = to - from;
      float[] weights = stick.tile;
      stick.logarithms(input("k"), ko, from, to, limits);
      StickPasses.powers(keys * rows, stick.tile, share);
      stick.weights(keys);
      kernels.multiply(
          keys,
          rows,
          dv,
          input("v"),
          vo + from * dv,
          dv,
          upstreamColumns,
          0,
          rows,
          slopes,
          0,
          rows,
          false);
      stick.hide(slopes, from, to, limits, 0);
      for (int r = 0; r < rows; r++) {
        rest[r] = (float) rests[r];
      }
      StickPasses.gradients(keys, rows, weights, share, slopes, rest, stick.here);
      for (int r = 0; r < rows; r++) {
        rests[r] += stick.here[r];
      }
      stick.hide(slopes, from, to, limits, 0);
      hideFaults(row, rows, from, to);
      float scale = (float) mechanism.scaleFor(shape);
      addProduct(keys, rows, weights, upstream, dv, wanted("v"), vo + from * dv);
      kernels.scale(keys * rows, scale, slopes, 0, slopes, 0);
      addProduct(keys, rows, slopes, queries, d, wanted("k"), ko + from * d);
      float[] gradQ = wanted("q");
      if (gradQ != null) {
        stick.addTransposed(slopes, input("k"), ko, from, to, d, limits, gradQ, row * d);
      }
    }

    /// Weights of rows whose upstream gradient is not finite, and whose copy is zero, become NaN.
    private void hideFaults(int row, int rows, int from, int to) {
      for (int r = 0; r < rows; r++) {
        if (!StickBlock.isFinite(gradOut, (row + r) * dv, dv)) {
          for (int j = from; j < Math.min(to, limits[r]); j++) {
            stick.tile[(j - from) * rows + r] = Float.NaN;
          }
        }
      }
    }

    private void addProduct(
        int keys, int rows, float[] x, float[] b, int width, float @Nullable [] to, int at) {
      if (to != null) {
        kernels.multiply(keys, width, rows, x, 0, rows, b, 0, width, to, at, width, true);
      }
    }
  }
}
