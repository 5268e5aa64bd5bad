package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.SoftmaxGradient;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The backward pass of [Tiled]: gradients of q, k, v and, if there is one, the bias.
///
/// ```
/// in parallel, for each part of the keys of each key/value head:   ∂k, ∂v and the part's share of ∂q
/// in parallel, for each query head with more than one part:        ∂q = Σ shares, in order
/// ```
///
/// A head has several parts where heads are too few to fill all threads; the number depends on the
/// shape only, never on the number of threads. A bias is shared by the batch: its gradient is
/// summed over one batch entry after another.
final class TiledBackward {
  private static final int ENOUGH_TASKS = 16;
  private static final int LEAST_KEYS = 2 * SoftmaxGradient.keyStep();

  private final AttentionShape shape;
  private final float scale;
  private final Workers workers;
  private final VisibleKeys visible;
  private final int[] limits;
  private final SoftmaxGradient[] gradients;
  private final int heads;
  private final int partKeys;
  private final int parts;
  /// `[parts, batch · query heads, nq, d]`, unless there is only one part.
  private final float[] shares;
  private final Workers.Task part = this::part;
  private final Workers.Task sum = this::sum;
  private float[] q = new float[0];
  private float[] k = q;
  private float[] v = q;
  private float[] out = q;
  private float[] lse = q;
  private float[] gradOut = q;
  private float[] bias = q;
  private float @Nullable [] gradBias;
  private boolean biased;
  private int firstHead;
  private int headsAtOnce;
  private float[] gradQuery = q;
  private float[] gradKey = q;
  private float[] gradValue = q;

  TiledBackward(PlanRequest request, double scale, Scratch scratch) {
    shape = request.shape();
    this.scale = (float) scale;
    Mask mask = request.mask();
    workers = new Workers(request.threads());
    visible = new VisibleKeys(scratch, shape, mask);
    limits = scratch.ints((long) shape.batchSize() * shape.querySeqLen());
    for (int b = 0; b < shape.batchSize(); b++) {
      for (int i = 0; i < shape.querySeqLen(); i++) {
        limits[b * shape.querySeqLen() + i] = visible.limit(b, i);
      }
    }
    heads = shape.batchSize() * shape.numKeyValueHeads();
    int wanted = Math.clamp(shape.keySeqLen() / LEAST_KEYS, 1, Math.ceilDiv(ENOUGH_TASKS, heads));
    int step = SoftmaxGradient.keyStep();
    partKeys = Math.ceilDiv(Math.ceilDiv(shape.keySeqLen(), wanted), step) * step;
    parts = Math.max(1, Math.ceilDiv(shape.keySeqLen(), Math.max(1, partKeys)));
    shares = scratch.floats(parts == 1 ? 0 : (long) parts * queryFloats());
    gradients = new SoftmaxGradient[request.threads()];
    for (int t = 0; t < gradients.length; t++) {
      gradients[t] =
          new SoftmaxGradient(
              scratch,
              shape.querySeqLen(),
              Math.min(partKeys, shape.keySeqLen()),
              shape.headDim(),
              shape.valueDim());
    }
  }

  /// Writes the gradients of one forward pass.
  ///
  /// @param newLse the log-sum-exp that the forward pass wrote
  /// @param newBias added to the scores, or null
  /// @param newGradBias the gradient of the bias is added here, unless it is null
  void run(
      float[] newQ,
      float[] newK,
      float[] newV,
      float[] newOut,
      float[] newLse,
      float @Nullable [] newBias,
      float[] newGradOut,
      float[] newGradQuery,
      float[] newGradKey,
      float[] newGradValue,
      float @Nullable [] newGradBias) {
    q = newQ;
    k = newK;
    v = newV;
    out = newOut;
    lse = newLse;
    gradOut = newGradOut;
    gradQuery = newGradQuery;
    gradKey = newGradKey;
    gradValue = newGradValue;
    if (visible.gathered()) {
      Arrays.fill(gradKey, 0);
      Arrays.fill(gradValue, 0);
    }
    if (newBias != null) {
      bias = newBias;
      gradBias = newGradBias;
      runBiased();
    } else {
      firstHead = 0;
      headsAtOnce = heads;
      workers.run(heads * parts, part);
    }
    if (parts > 1) {
      workers.run(shape.batchSize() * shape.numHeads(), sum);
    }
  }

  private void runBiased() {
    biased = true;
    headsAtOnce = shape.numKeyValueHeads();
    for (int batch = 0; batch < shape.batchSize(); batch++) {
      firstHead = batch * headsAtOnce;
      workers.run(headsAtOnce * parts, part);
    }
    biased = false;
  }

  private int queryFloats() {
    return shape.problems() * shape.querySeqLen() * shape.headDim();
  }

  private void part(int worker, int index) {
    int head = firstHead + index % headsAtOnce;
    int part = index / headsAtOnce;
    int batch = head / shape.numKeyValueHeads();
    int first = head % shape.numKeyValueHeads() * shape.groupSize();
    int start = part * partKeys;
    int count = Math.clamp(visible.count(batch) - start, 0, partKeys);
    int here = Math.min(partKeys, shape.keySeqLen() - start);
    int d = shape.headDim();
    int dv = shape.valueDim();
    boolean gathered = visible.gathered();
    int ko = shape.keyOffset(batch, first) + (gathered ? 0 : start * d);
    int vo = shape.valueOffset(batch, first) + (gathered ? 0 : start * dv);
    int @Nullable [] list = gathered ? visible.index() : null;
    int from = visible.offset(batch) + start;
    SoftmaxGradient gradient = gradients[worker];
    gradient.begin(k, ko, v, vo, list, from, count);
    for (int h = first; h < first + shape.groupSize(); h++) {
      addQueries(gradient, batch, h, part, start);
    }
    if (!gathered) {
      Arrays.fill(gradKey, ko + count * d, ko + here * d, 0);
      Arrays.fill(gradValue, vo + count * dv, vo + here * dv, 0);
    }
    gradient.finish(scale, gradKey, ko, gradValue, vo, list, from);
  }

  private void addQueries(SoftmaxGradient gradient, int batch, int h, int part, int start) {
    int nq = shape.querySeqLen();
    int qo = shape.queryOffset(batch, h);
    int oo = shape.outputOffset(batch, h);
    gradient.bias(
        biased ? bias : null,
        biased ? gradBias : null,
        h * nq * shape.keySeqLen(),
        shape.keySeqLen());
    gradient.addQueries(
        q,
        qo,
        out,
        oo,
        gradOut,
        oo,
        lse,
        (batch * shape.numHeads() + h) * nq,
        limits,
        batch * nq,
        start,
        nq,
        scale,
        parts == 1 ? gradQuery : shares,
        parts == 1 ? qo : part * queryFloats() + qo);
  }

  private void sum(int worker, int problem) {
    int count = shape.querySeqLen() * shape.headDim();
    int o = problem * count;
    System.arraycopy(shares, o, gradQuery, o, count);
    for (int part = 1; part < parts; part++) {
      int share = part * queryFloats() + o;
      Kernels.get().add(count, gradQuery, o, shares, share, gradQuery, o);
    }
  }
}
