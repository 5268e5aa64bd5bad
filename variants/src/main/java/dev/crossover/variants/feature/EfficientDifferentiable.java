// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.linear.Segments;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.feature.EfficientAttention.Normalisation;
import java.util.Arrays;

/// [EfficientAttention] with its backward pass: queries, then the context's gradient in the order
/// of heads and segments, then keys and values.
final class EfficientDifferentiable extends DifferentiablePlan {
  private final Kernels kernels = Kernels.get();
  private final EfficientForward forward;
  private final boolean softmax;
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int keyHeads = shape.batchSize() * shape.numKeyValueHeads();
  private final Segments keySegments = Segments.ofKeys(shape, mask);
  private final Segments querySegments = Segments.ofQueries(shape);
  private final float[][] ofContext;
  private final float[] columnTerms;
  private final float[][] weights = new float[threads()][];
  private final float[][] ofRows = new float[threads()][];
  private final float[][] ofValues = new float[threads()][];
  private final float[][] rowWork = new float[threads()][];
  private final float[][] columnSums = new float[threads()][];
  private final float[][] productWork = new float[threads()][];
  private final Workers.Task queries = this::queries;
  private final Workers.Task combine = this::combine;
  private final Workers.Task keys = this::keys;

  EfficientDifferentiable(PlanRequest request, Normalisation normalisation) {
    super(request);
    softmax = normalisation == Normalisation.SOFTMAX;
    forward = new EfficientForward(shape, mask, workers, softmax, scratch, kept);
    ofContext = new float[shape.problems() * querySegments.count()][];
    for (int p = 0; p < ofContext.length; p++) {
      ofContext[p] = scratch.floats((long) d * dv);
    }
    columnTerms = scratch.floats((long) keyHeads * d);
    for (int t = 0; t < weights.length; t++) {
      weights[t] = scratch.floats((long) Segments.CHUNK * d);
      ofRows[t] = scratch.floats((long) Segments.CHUNK * d);
      ofValues[t] = scratch.floats((long) Segments.CHUNK * dv);
      rowWork[t] = scratch.floats(Segments.CHUNK);
      columnSums[t] = scratch.floats(d);
      productWork[t] = scratch.floats(kernels.transposedBScratch(d, dv));
    }
  }

  /// Bytes that the backward pass allocates.
  static long scratchBytes(AttentionShape s, int threads) {
    long d = s.headDim();
    long parts = (long) s.problems() * Segments.ofQueries(s).count() * d * s.valueDim();
    long perThread = Segments.CHUNK * (2 * d + s.valueDim() + 1) + d;
    perThread += Kernels.get().transposedBScratch(s.headDim(), s.valueDim());
    long terms = (long) s.batchSize() * s.numKeyValueHeads() * d;
    return (parts + terms + threads * perThread) * Float.BYTES;
  }

  @Override
  protected void compute(Tensor output) {
    forward.run(inputs(), output.data());
  }

  @Override
  protected void differentiate(float[] gradOut) {
    workers.run(shape.problems() * querySegments.count(), queries);
    workers.run(keyHeads, combine);
    workers.run(keyHeads * keySegments.count(), keys);
  }

  /// dq of one segment of queries, and its part of dG. Without real keys neither.
  private void queries(int worker, int index) {
    int problem = index / querySegments.count();
    int segment = index % querySegments.count();
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    float[] context =
        forward.context(batch * shape.numKeyValueHeads() + h / shape.groupSize()).product;
    float[] part = ofContext[index];
    Arrays.fill(part, 0);
    int end = mask.realKeys(batch, shape.keySeqLen()) == 0 ? 0 : querySegments.end(segment);
    for (int i = querySegments.start(segment); i < end; i += Segments.CHUNK) {
      int count = Math.min(Segments.CHUNK, end - i);
      int at = shape.queryOffset(batch, h) + i * d;
      int from = shape.outputOffset(batch, h) + i * dv;
      float[] ofQuery = ofRows[worker];
      kernels.multiplyTransposedB(
          count,
          d,
          dv,
          gradOut,
          from,
          dv,
          context,
          0,
          dv,
          ofQuery,
          0,
          d,
          false,
          productWork[worker],
          0);
      float[] weight = input("q");
      int weightAt = at;
      if (softmax) {
        weight = weights[worker];
        weightAt = 0;
        kernels.softmaxRows(count, d, 1, input("q"), at, d, weight, 0, d, rowWork[worker], 0);
        for (int r = 0; r < count; r++) {
          throughSoftmax(weight, ofQuery, r * d);
        }
      }
      kernels.multiplyTransposedA(
          d, dv, count, weight, weightAt, d, gradOut, from, dv, part, 0, dv, true);
      if (wantsGradient("q")) {
        float[] sum = gradient("q");
        kernels.add(count * d, sum, at, ofQuery, 0, sum, at);
      }
    }
  }

  /// `x ← p ∘ (x − p·x)` for one row.
  private void throughSoftmax(float[] p, float[] x, int at) {
    float product = kernels.dot(d, p, at, x, at);
    for (int c = at; c < at + d; c++) {
      x[c] = p[c] * (x[c] - product);
    }
  }

  /// dG of a key/value head divided as G was, and `t_c = G_c · dG_c` divided in the same way.
  private void combine(int worker, int keyHead) {
    int batch = keyHead / shape.numKeyValueHeads();
    int h = keyHead % shape.numKeyValueHeads() * shape.groupSize();
    int first = (batch * shape.numHeads() + h) * querySegments.count();
    float[] total = ofContext[first];
    for (int p = 1; p < shape.groupSize() * querySegments.count(); p++) {
      kernels.add(d * dv, total, 0, ofContext[first + p], 0, total, 0);
    }
    EfficientForward.Context context = forward.context(keyHead);
    int real = mask.realKeys(batch, shape.keySeqLen());
    for (int c = 0; c < d && real > 0; c++) {
      float by = 1 / (softmax ? context.sums[c] : real);
      columnTerms[keyHead * d + c] = by * kernels.dot(dv, context.product, c * dv, total, c * dv);
      kernels.scale(dv, by, total, c * dv, total, c * dv);
    }
  }

  /// dk and dv of one segment of keys, in runs of real ones.
  private void keys(int worker, int index) {
    int keyHead = index / keySegments.count();
    int segment = index % keySegments.count();
    int batch = keyHead / shape.numKeyValueHeads();
    int end = keySegments.end(segment);
    Arrays.fill(columnSums[worker], 0);
    for (int j = mask.nextReal(batch, keySegments.start(segment), end); j < end; ) {
      int to = Math.min(mask.nextPadding(batch, j, end), j + Segments.CHUNK);
      run(worker, keyHead, keyHead * shape.keySeqLen() + j, to - j);
      j = mask.nextReal(batch, to, end);
    }
  }

  private void run(int worker, int keyHead, int row, int count) {
    int batch = keyHead / shape.numKeyValueHeads();
    int h = keyHead % shape.numKeyValueHeads() * shape.groupSize();
    float[] context = ofContext[(batch * shape.numHeads() + h) * querySegments.count()];
    float[] ofKey = ofRows[worker];
    float[] ofValue = ofValues[worker];
    float[] weight = input("k");
    int at = row * d;
    kernels.multiplyTransposedB(
        count,
        d,
        dv,
        input("v"),
        row * dv,
        dv,
        context,
        0,
        dv,
        ofKey,
        0,
        d,
        false,
        productWork[worker],
        0);
    if (softmax) {
      weight = weights[worker];
      at = 0;
      float[] max = forward.context(keyHead).max;
      kernels.expOfColumns(count, d, max, 0, input("k"), row * d, weight, 0, columnSums[worker], 0);
      for (int r = 0; r < count; r++) {
        for (int c = 0; c < d; c++) {
          ofKey[r * d + c] = weight[r * d + c] * (ofKey[r * d + c] - columnTerms[keyHead * d + c]);
        }
      }
    }
    kernels.multiply(count, dv, d, weight, at, d, context, 0, dv, ofValue, 0, dv, false);
    if (wantsGradient("k")) {
      float[] sum = gradient("k");
      kernels.add(count * d, sum, row * d, ofKey, 0, sum, row * d);
    }
    if (wantsGradient("v")) {
      float[] sum = gradient("v");
      kernels.add(count * dv, sum, row * dv, ofValue, 0, sum, row * dv);
    }
  }
}
