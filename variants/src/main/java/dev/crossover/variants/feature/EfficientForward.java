// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.linear.Segments;
import java.util.Arrays;

/// The forward pass of [EfficientAttention]: the global context of every key/value head, then what
/// the queries read from it.
final class EfficientForward {
  /// Σ exp(k − max)ᵀ v and Σ exp(k − max) of some keys, each channel with its own maximum; or Σ kᵀ
  /// v.
  static final class Context {
    final float[] product;
    final float[] sums;
    final float[] max;

    Context(Scratch scratch, AttentionShape s) {
      product = scratch.floats((long) s.headDim() * s.valueDim());
      sums = scratch.floats(s.headDim());
      max = scratch.floats(s.headDim());
    }

    static long floats(AttentionShape s) {
      return s.headDim() * (s.valueDim() + 2L);
    }

    void clear() {
      Arrays.fill(product, 0);
      Arrays.fill(sums, 0);
      Arrays.fill(max, Float.NEGATIVE_INFINITY);
    }
  }

  private final Kernels kernels = Kernels.get();
  private final AttentionShape shape;
  private final Mask mask;
  private final Workers workers;
  private final boolean softmax;
  private final int d;
  private final int dv;
  private final int keyHeads;
  private final Segments keySegments;
  private final Segments querySegments;
  private final Context[][] contexts;
  private final float[][] rows;
  private final float[][] newMax;
  private final float[][] maxima;
  private final float[] readAhead;
  private final Workers.Task accumulate = this::accumulate;
  private final Workers.Task normalise = this::normalise;
  private final Workers.Task attend = this::attend;
  private float[] q = new float[0];
  private float[] k = new float[0];
  private float[] v = new float[0];
  private float[] out = new float[0];

  /// @param scratch allocator of what only this pass needs
  /// @param kept allocator of the global contexts, which a backward pass needs, too
  EfficientForward(
      AttentionShape shape,
      Mask mask,
      Workers workers,
      boolean softmax,
      Scratch scratch,
      Scratch kept) {
    this.shape = shape;
    this.mask = mask;
    this.workers = workers;
    this.softmax = softmax;
    d = shape.headDim();
    dv = shape.valueDim();
    keyHeads = shape.batchSize() * shape.numKeyValueHeads();
    keySegments = Segments.ofKeys(shape, mask);
    querySegments = Segments.ofQueries(shape);
    contexts = new Context[keyHeads][keySegments.count()];
    for (Context[] head : contexts) {
      for (int s = 0; s < head.length; s++) {
        head[s] = new Context(s == 0 ? kept : scratch, shape);
      }
    }
    int threads = workers.threads();
    rows = new float[threads][];
    newMax = new float[threads][];
    maxima = new float[threads][];
    readAhead = new float[threads];
    for (int t = 0; t < threads; t++) {
      rows[t] = scratch.floats((long) Segments.CHUNK * d);
      newMax[t] = scratch.floats(d);
      maxima[t] = scratch.floats(Segments.CHUNK);
    }
  }

  /// Bytes of the global contexts.
  static long keptBytes(AttentionShape s) {
    return (long) s.batchSize() * s.numKeyValueHeads() * Context.floats(s) * Float.BYTES;
  }

  /// Bytes of everything else.
  static long scratchBytes(AttentionShape s, Mask mask, int threads) {
    long perThread = Segments.CHUNK * (s.headDim() + 1L) + s.headDim();
    return keptBytes(s) * (Segments.ofKeys(s, mask).count() - 1)
        + threads * perThread * Float.BYTES;
  }

  /// Writes every element of the output.
  void run(BoundTensors inputs, float[] output) {
    q = inputs.get("q");
    k = inputs.get("k");
    v = inputs.get("v");
    out = output;
    workers.run(keyHeads * keySegments.count(), accumulate);
    workers.run(keyHeads, normalise);
    workers.run(shape.problems() * querySegments.count(), attend);
  }

  /// G of a key/value head with each channel's maximum and sum, once the pass has run.
  Context context(int keyHead) {
    return contexts[keyHead][0];
  }

  /// One segment's part of the global context, chunk by chunk of real keys.
  private void accumulate(int worker, int index) {
    int keyHead = index / keySegments.count();
    int segment = index % keySegments.count();
    int batch = keyHead / shape.numKeyValueHeads();
    int end = keySegments.end(segment);
    Context context = contexts[keyHead][segment];
    context.clear();
    for (int j = keySegments.start(segment); j < end; j++) {
      int first = j;
      while (j < end && j - first < Segments.CHUNK && mask.isRealKey(batch, j)) {
        j++;
      }
      if (j > first) {
        add(worker, context, (keyHead * shape.keySeqLen() + first), j - first);
        j--;
      }
    }
  }

  /// Adds ρ_k(k)ᵀ v of some rows, up to each channel's sum.
  private void add(int worker, Context context, int row, int count) {
    float[] weights = k;
    int ko = row * d;
    int vo = row * dv;
    readAhead[worker] = kernels.readAhead(count * d, k, ko) + kernels.readAhead(count * dv, v, vo);
    if (softmax) {
      raiseMaxima(worker, context, ko, count);
      weights = rows[worker];
      kernels.expOfColumns(count, d, context.max, 0, k, ko, weights, 0, context.sums, 0);
      ko = 0;
    }
    kernels.multiplyTransposedA(
        d, dv, count, weights, ko, d, v, vo, dv, context.product, 0, dv, true);
  }

  /// Takes the maximum of every channel over some more rows and rescales what is there already.
  private void raiseMaxima(int worker, Context context, int ko, int count) {
    float[] raised = newMax[worker];
    System.arraycopy(context.max, 0, raised, 0, d);
    kernels.maximaOfColumns(count, d, k, ko, d, raised, 0);
    rescale(context, raised);
  }

  private void rescale(Context context, float[] max) {
    for (int c = 0; c < d; c++) {
      if (max[c] != context.max[c]) {
        float factor = (float) Math.exp((double) context.max[c] - max[c]);
        context.max[c] = max[c];
        context.sums[c] *= factor;
        kernels.scale(dv, factor, context.product, c * dv, context.product, c * dv);
      }
    }
  }

  /// G: the segments' contexts added in order, divided by each channel's sum or by n.
  private void normalise(int worker, int keyHead) {
    Context total = contexts[keyHead][0];
    float[] common = newMax[worker];
    for (int s = 1; s < contexts[keyHead].length; s++) {
      Context part = contexts[keyHead][s];
      for (int c = 0; c < d; c++) {
        common[c] = Math.max(total.max[c], part.max[c]);
      }
      rescale(total, common);
      rescale(part, common);
      kernels.add(d, total.sums, 0, part.sums, 0, total.sums, 0);
      kernels.add(d * dv, total.product, 0, part.product, 0, total.product, 0);
    }
    int real = mask.realKeys(keyHead / shape.numKeyValueHeads(), shape.keySeqLen());
    for (int c = 0; c < d && real > 0; c++) {
      float by = softmax ? total.sums[c] : real;
      kernels.scale(dv, 1 / by, total.product, c * dv, total.product, c * dv);
    }
  }

  /// out = ρ_q(q) G for one segment of queries.
  private void attend(int worker, int index) {
    int problem = index / querySegments.count();
    int segment = index % querySegments.count();
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int keyHead = batch * shape.numKeyValueHeads() + h / shape.groupSize();
    int end = querySegments.end(segment);
    for (int i = querySegments.start(segment); i < end; i += Segments.CHUNK) {
      int count = Math.min(Segments.CHUNK, end - i);
      float[] weights = q;
      int qo = shape.queryOffset(batch, h) + i * d;
      readAhead[worker] = kernels.readAhead(count * d, q, qo);
      if (softmax) {
        kernels.softmaxRows(count, d, 1, q, qo, d, rows[worker], 0, d, maxima[worker], 0);
        weights = rows[worker];
        qo = 0;
      }
      kernels.multiply(
          count,
          dv,
          d,
          weights,
          qo,
          d,
          contexts[keyHead][0].product,
          0,
          dv,
          out,
          shape.outputOffset(batch, h) + i * dv,
          dv,
          false);
    }
  }
}
