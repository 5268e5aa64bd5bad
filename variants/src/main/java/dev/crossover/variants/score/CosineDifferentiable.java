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
import dev.crossover.attention.exact.ScoreTerms;
import dev.crossover.attention.exact.TiledBackward;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.ScoreTerm;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.score.Cosine.ScaleMode;
import java.util.Arrays;

/// [Cosine] with its backward pass: that of exact attention over scaled unit vectors, then through
/// the norms.
///
/// The gradient of a scale is Σ_j ds_ij (c_ij − m_i) with any m_i, because Σ_j ds_ij is zero. In
/// float32 it is not quite, and scores of 100 make that felt: m_i is taken as lse_i / scale_i,
/// which is close to the cosines that have weight.
final class CosineDifferentiable extends DifferentiablePlan {
  private static final int ROWS = 128;

  private final Cosine cosine;
  private final Kernels kernels = Kernels.get();
  private final AttentionPlan forward;
  private final TiledBackward backward;
  private final int d = shape.headDim();
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final int keyBlocks = Math.ceilDiv(nk, ROWS);
  private final float[] lse;
  private final float[] unitQueries;
  private final float[] unitKeys;
  private final float[] gradUnitQueries;
  private final float[] gradUnitKeys;
  private final float[] gradValues;
  /// Σ_j ds_ij by share and row.
  private final float[] slopeSums;

  private final SlopeSums[] sums;

  /// `[batch, heads]`: gradient of the scale.
  private final double[] gradScale;
  private final String scaleInput;
  private final ScoreTerms slopeSource = this::slopeSums;
  private final Workers.Task normaliseKeys = this::normaliseKeys;
  private final Workers.Task normaliseQueries = this::normaliseQueries;
  private final Workers.Task queryGradients = this::queryGradients;
  private final Workers.Task keyGradients = this::keyGradients;

  CosineDifferentiable(Cosine cosine, PlanRequest request) {
    super(request);
    this.cosine = cosine;
    scaleInput = cosine.scaleMode() == ScaleMode.LOGIT_SCALE ? "logit_scale" : "key_strength";
    lse = kept.floats(queries(shape));
    forward = cosine.planWithLse(request, lse);
    scratch.include(forward.scratchBytes());
    backward = new TiledBackward(shape, mask, request.threads(), 1, true, scratch);
    unitQueries = scratch.floats(queries(shape) * d);
    gradUnitQueries = scratch.floats(queries(shape) * d);
    unitKeys = scratch.floats(keys(shape) * d);
    gradUnitKeys = scratch.floats(keys(shape) * d);
    gradValues = scratch.floats(keys(shape) * shape.valueDim());
    gradScale = scratch.doubles(shape.problems());
    slopeSums = scratch.floats(backward.shares() * queries(shape));
    sums = new SlopeSums[threads()];
    for (int t = 0; t < threads(); t++) {
      sums[t] = new SlopeSums();
    }
  }

  /// Adds nothing to the scores and sums their gradients.
  private final class SlopeSums implements ScoreTerm {
    private int row;

    @Override
    public void scores(
        int firstQuery, int queries, int[] keys, int count, float[] to, int at, int ld) {
      for (int r = 0; r < queries; r++) {
        Arrays.fill(to, at + r * ld, at + r * ld + count, 0);
      }
    }

    @Override
    public void gradients(
        int firstQuery, int queries, int[] keys, int count, float[] from, int at, int ld) {
      for (int r = 0; r < queries; r++) {
        slopeSums[row + firstQuery + r] += kernels.sum(count, from, at + r * ld);
      }
    }
  }

  private ScoreTerm slopeSums(int worker, int batch, int head, int share) {
    sums[worker].row = ((share * shape.batchSize() + batch) * shape.numHeads() + head) * nq;
    return sums[worker];
  }

  static GradientCost cost(AttentionShape s, Mask mask, int threads, long forwardScratch) {
    long rows = queries(s) + keys(s);
    long floats =
        2 * rows * s.headDim() + keys(s) * s.valueDim() + TiledBackward.shares(s) * queries(s);
    return new GradientCost(
        TiledBackward.flops(s, mask) + 12.0 * rows * s.headDim(),
        Float.BYTES * queries(s),
        forwardScratch
            + TiledBackward.bytes(s, mask, threads, true)
            + Float.BYTES * floats
            + Double.BYTES * (long) s.problems());
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
    workers.run(keyHeads * keyBlocks, normaliseKeys);
    workers.run(shape.problems(), normaliseQueries);
    backward.bind(unitQueries, unitKeys, input("v"), output(), lse);
    if (hasInput("bias")) {
      backward.bias(input("bias"), wanted("bias"));
    }
    if (wantsGradient(scaleInput)) {
      Arrays.fill(slopeSums, 0);
      backward.terms(slopeSource, false);
    }
    backward.run(gradOut, gradUnitQueries, gradUnitKeys, gradValues);
    workers.run(shape.problems(), queryGradients);
    if (wantsGradient("k")) {
      workers.run(keyHeads * keyBlocks, keyGradients);
    }
    if (wantsGradient("v")) {
      float[] sum = gradient("v");
      kernels.add(sum.length, sum, 0, gradValues, 0, sum, 0);
    }
    if (cosine.scaleMode() == ScaleMode.LOGIT_SCALE && wantsGradient(scaleInput)) {
      sumLogitScales();
    }
  }

  private void normaliseKeys(int worker, int index) {
    int first = index / keyBlocks * nk + index % keyBlocks * ROWS;
    int end = Math.min(first + ROWS, (index / keyBlocks + 1) * nk);
    for (int row = first; row < end; row++) {
      cosine.normalise(input("k"), row * d, d, 1, unitKeys, row * d);
    }
  }

  private void normaliseQueries(int worker, int problem) {
    for (int row = problem * nq; row < (problem + 1) * nq; row++) {
      cosine.normalise(input("q"), row * d, d, scale(row), unitQueries, row * d);
    }
  }

  /// What a query's cosines are multiplied by.
  private double scale(int row) {
    return cosine.bounded(givenScale(row));
  }

  private double givenScale(int row) {
    return cosine.scaleMode() == ScaleMode.LOGIT_SCALE
        ? Math.exp(input("logit_scale")[row / nq % shape.numHeads()])
        : input("key_strength")[row];
  }

  private void queryGradients(int worker, int problem) {
    float[] target = wantsGradient("q") ? gradient("q") : gradUnitQueries;
    boolean scales = wantsGradient(scaleInput);
    boolean strengths = scales && cosine.scaleMode() == ScaleMode.KEY_STRENGTH;
    double sum = 0;
    for (int row = problem * nq; row < (problem + 1) * nq; row++) {
      double given = givenScale(row);
      double scale = cosine.bounded(given);
      double slope = through(input("q"), row * d, scale, gradUnitQueries, target);
      boolean free = scale == given && scale != cosine.largestScale();
      if (scales && free && slope != 0) {
        slope -= scale == 0 ? 0 : lse[row] / scale * slopeSum(row);
        sum += slope;
      }
      if (strengths && free) {
        gradient("key_strength")[row] += (float) slope;
      }
    }
    gradScale[problem] = sum;
  }

  private double slopeSum(int row) {
    double sum = 0;
    for (int share = 0; share < backward.shares(); share++) {
      sum += slopeSums[share * shape.problems() * nq + row];
    }
    return sum;
  }

  private void keyGradients(int worker, int index) {
    int first = index / keyBlocks * nk + index % keyBlocks * ROWS;
    int end = Math.min(first + ROWS, (index / keyBlocks + 1) * nk);
    for (int row = first; row < end; row++) {
      through(input("k"), row * d, 1, gradUnitKeys, gradient("k"));
    }
  }

  /// Adds the gradient of x to `to`, given that of y = factor · x / max(|x|, eps), at the same
  /// offset. A zero gradient is passed on as such, whatever x holds.
  ///
  /// @return the gradient of `factor`
  private double through(float[] x, int o, double factor, float[] gradY, float[] to) {
    if (kernels.largestMagnitude(d, gradY, o) == 0) {
      return 0;
    }
    double square = 0;
    double dot = 0;
    for (int c = o; c < o + d; c++) {
      square += (double) x[c] * x[c];
      dot += (double) gradY[c] * x[c];
    }
    double norm = Math.sqrt(square);
    boolean bounded = norm < cosine.eps();
    double length = Math.max(norm, cosine.eps());
    if (length == 0) {
      return 0;
    }
    double along = bounded ? 0 : dot / square;
    if (to != gradY) {
      for (int c = o; c < o + d; c++) {
        to[c] += (float) (factor / length * (gradY[c] - along * x[c]));
      }
    }
    return dot / length;
  }

  /// Over one batch entry after another.
  private void sumLogitScales() {
    for (int h = 0; h < shape.numHeads(); h++) {
      double sum = 0;
      for (int b = 0; b < shape.batchSize(); b++) {
        sum += gradScale[b * shape.numHeads() + h];
      }
      double scale = cosine.bounded(Math.exp(input("logit_scale")[h]));
      gradient("logit_scale")[h] += (float) (scale * sum);
    }
  }
}
