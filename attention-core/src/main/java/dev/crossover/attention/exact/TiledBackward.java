// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.SoftmaxGradient;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The backward pass of exact softmax attention from its log-sum-exp: gradients of q, k, v and of
/// what was added to the scores. [Tiled] uses it, and every mechanism that is exact attention over
/// other queries, keys or values.
///
/// ```
/// in parallel, for each part of the keys or of the queries of each key/value head:
///                                                   the part's share of ∂q, ∂k and ∂v
/// in parallel, for each head with more than one:    the sum of its shares, in order
/// ```
///
/// A head has several parts where heads are too few to fill all threads; the number depends on the
/// shape only, never on the number of threads. Keys are cut where they are many, queries where keys
/// are few, as landmarks are. A bias is shared by the batch: its gradient is summed over one batch
/// entry after another.
public final class TiledBackward {
  private static final int ENOUGH_TASKS = 16;
  private static final int LEAST_KEYS = 2 * SoftmaxGradient.keyStep();
  private static final int LEAST_QUERIES = 1024;

  private final AttentionShape shape;
  private final float scale;
  private final Workers workers;
  private final VisibleKeys visible;
  private final int[] limits;
  private final SoftmaxGradient[] gradients;
  private final Parts parts;
  /// `[parts, batch · query heads, nq, d]`, unless keys are one part.
  private final float[] queryShares;
  /// `[parts, batch · key/value heads, nk, d]`, unless queries are one part.
  private final float[] keyShares;
  private final float[] valueShares;
  private final Workers.Task part = this::part;
  private final Workers.Task sumQueries = this::sumQueries;
  private final Workers.Task sumKeys = this::sumKeys;
  private float[] q = new float[0];
  private float[] k = q;
  private float[] v = q;
  private float[] out = q;
  private float[] lse = q;
  private float[] gradOut = q;
  private float @Nullable [] bias;
  private float @Nullable [] gradBias;
  private @Nullable ScoreTerms terms;
  private boolean batchesInTurn;
  private int firstHead;
  private int headsAtOnce;
  private float @Nullable [] gradQuery;
  private float @Nullable [] gradKey;
  private float @Nullable [] gradValue;

  /// How a head's work is cut: keys or queries, never both.
  private record Parts(int keyParts, int partKeys, int queryParts, int partQueries) {
    static Parts of(AttentionShape s) {
      int heads = s.batchSize() * s.numKeyValueHeads();
      int most = Math.ceilDiv(ENOUGH_TASKS, heads);
      int step = SoftmaxGradient.keyStep();
      int wanted = Math.clamp(s.keySeqLen() / LEAST_KEYS, 1, most);
      int keys = Math.ceilDiv(Math.ceilDiv(s.keySeqLen(), wanted), step) * step;
      int keyParts = Math.max(1, Math.ceilDiv(s.keySeqLen(), Math.max(1, keys)));
      int queryParts = keyParts > 1 ? 1 : Math.clamp(s.querySeqLen() / LEAST_QUERIES, 1, most);
      int queries = Math.ceilDiv(s.querySeqLen(), queryParts);
      return new Parts(keyParts, Math.min(keys, s.keySeqLen()), queryParts, queries);
    }
  }

  /// @param shape sizes of q, k and v
  /// @param mask which keys each query sees
  /// @param threads number of threads
  /// @param scale factor on the dot products
  /// @param terms whether [#run] will be given terms
  /// @param scratch allocator
  public TiledBackward(
      AttentionShape shape, Mask mask, int threads, double scale, boolean terms, Scratch scratch) {
    this(shape, mask, new Workers(threads), scale, terms, scratch);
  }

  /// @param workers the threads of the plan that this is a part of
  TiledBackward(
      AttentionShape shape,
      Mask mask,
      Workers workers,
      double scale,
      boolean terms,
      Scratch scratch) {
    this.shape = shape;
    this.scale = (float) scale;
    this.workers = workers;
    visible = new VisibleKeys(scratch, shape, mask);
    limits = scratch.ints((long) shape.batchSize() * shape.querySeqLen());
    for (int b = 0; b < shape.batchSize(); b++) {
      for (int i = 0; i < shape.querySeqLen(); i++) {
        limits[b * shape.querySeqLen() + i] = visible.limit(b, i);
      }
    }
    parts = Parts.of(shape);
    queryShares = scratch.floats(parts.keyParts == 1 ? 0 : parts.keyParts * queryFloats(shape));
    boolean whole = parts.queryParts == 1;
    long rows = parts.queryParts * keyRows(shape);
    keyShares = scratch.floats(whole ? 0 : rows * shape.headDim());
    valueShares = scratch.floats(whole ? 0 : rows * shape.valueDim());
    gradients = new SoftmaxGradient[workers.threads()];
    for (int t = 0; t < gradients.length; t++) {
      gradients[t] =
          new SoftmaxGradient(
              scratch, parts.partQueries, parts.partKeys, shape.headDim(), shape.valueDim(), terms);
    }
  }

  /// Bytes the constructor allocates.
  public static long bytes(AttentionShape s, Mask mask, int threads, boolean terms) {
    Parts parts = Parts.of(s);
    long shares = parts.keyParts == 1 ? 0 : parts.keyParts * queryFloats(s);
    if (parts.queryParts > 1) {
      shares += parts.queryParts * keyRows(s) * (s.headDim() + s.valueDim());
    }
    return VisibleKeys.bytes(s, mask)
        + Integer.BYTES * (long) s.batchSize() * s.querySeqLen()
        + Float.BYTES * shares
        + threads
            * SoftmaxGradient.bytes(
                parts.partQueries, parts.partKeys, s.headDim(), s.valueDim(), terms);
  }

  /// Floating-point operations of one run: five products of every pair.
  public static double flops(AttentionShape s, Mask mask) {
    return s.problems() * Cost.pairs(s, mask) * (6.0 * s.headDim() + 4.0 * s.valueDim() + 8);
  }

  /// Number of tasks of a head that run at once; see [ScoreTerms].
  public int shares() {
    return shares(shape);
  }

  /// Number of tasks of a head of this shape that run at once.
  public static int shares(AttentionShape s) {
    Parts parts = Parts.of(s);
    return parts.keyParts * parts.queryParts;
  }

  /// Lets a query see no key, so that it sends no gradient; to be called before the first run.
  public void hideQuery(int batch, int i) {
    limits[batch * shape.querySeqLen() + i] = 0;
  }

  /// Takes the tensors of a forward pass, shaped as the attention shape says.
  ///
  /// @param newLse log-sum-exp of every row's scores, `[batch, heads, nq]`, −∞ without any
  public void bind(float[] newQ, float[] newK, float[] newV, float[] newOut, float[] newLse) {
    q = newQ;
    k = newK;
    v = newV;
    out = newOut;
    lse = newLse;
  }

  /// Takes a bias that was added to the scores, for the next run.
  ///
  /// @param newBias `[1, heads, nq, nk]`
  /// @param newGradBias shaped like the bias, which is added to; null where it is not wanted
  public void bias(float[] newBias, float @Nullable [] newGradBias) {
    bias = newBias;
    gradBias = newGradBias;
  }

  /// Takes terms that were added to the scores, for the next run; they take their own gradients.
  ///
  /// @param inTurn whether one batch entry follows another, so that a term's gradients may be sums
  ///     over the batch
  public void terms(ScoreTerms newTerms, boolean inTurn) {
    terms = newTerms;
    batchesInTurn = inTurn;
  }

  /// Writes the gradients of the bound tensors; bias and terms are forgotten afterwards.
  public void run(float[] newGradOut, float[] newGradQ, float[] newGradK, float[] newGradV) {
    Arrays.fill(newGradQ, 0, (int) queryFloats(shape), 0);
    Arrays.fill(newGradK, 0, (int) keyRows(shape) * shape.headDim(), 0);
    Arrays.fill(newGradV, 0, (int) keyRows(shape) * shape.valueDim(), 0);
    add(newGradOut, newGradQ, newGradK, newGradV);
  }

  /// Adds the gradients of the bound tensors to the arrays that are wanted, not null; bias and
  /// terms are forgotten afterwards.
  public void add(
      float[] newGradOut,
      float @Nullable [] newGradQ,
      float @Nullable [] newGradK,
      float @Nullable [] newGradV) {
    gradOut = newGradOut;
    gradQuery = newGradQ;
    gradKey = newGradK;
    gradValue = newGradV;
    Arrays.fill(queryShares, 0);
    Arrays.fill(keyShares, 0);
    Arrays.fill(valueShares, 0);
    int rounds = batchesInTurn || bias != null ? shape.batchSize() : 1;
    headsAtOnce = shape.batchSize() * shape.numKeyValueHeads() / rounds;
    for (int round = 0; round < rounds; round++) {
      firstHead = round * headsAtOnce;
      workers.run(headsAtOnce * parts.keyParts * parts.queryParts, part);
    }
    if (parts.keyParts > 1) {
      workers.run(shape.problems(), sumQueries);
    }
    if (parts.queryParts > 1) {
      workers.run(shape.batchSize() * shape.numKeyValueHeads(), sumKeys);
    }
    bias = null;
    gradBias = null;
    terms = null;
    batchesInTurn = false;
  }

  private static long queryFloats(AttentionShape s) {
    return (long) s.problems() * s.querySeqLen() * s.headDim();
  }

  private static long keyRows(AttentionShape s) {
    return (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
  }

  private void part(int worker, int index) {
    int head = firstHead + index % headsAtOnce;
    int share = index / headsAtOnce;
    int batch = head / shape.numKeyValueHeads();
    int first = head % shape.numKeyValueHeads() * shape.groupSize();
    int start = share / parts.queryParts * parts.partKeys;
    int firstQuery = share % parts.queryParts * parts.partQueries;
    int count = Math.clamp(visible.count(batch) - start, 0, parts.partKeys);
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
      ScoreTerms source = terms;
      if (source != null) {
        gradient.term(source.of(worker, batch, h, share), firstQuery);
      }
      addQueries(gradient, batch, h, share, start, firstQuery);
    }
    boolean whole = parts.queryParts == 1;
    float[] keys = whole ? gradKey : keyShares;
    float[] values = whole ? gradValue : valueShares;
    int rows = whole ? 0 : share * (int) keyRows(shape);
    ko += rows * d;
    vo += rows * dv;
    gradient.finish(scale, keys, ko, values, vo, list, from);
  }

  private void addQueries(
      SoftmaxGradient gradient, int batch, int h, int share, int start, int firstQuery) {
    int nq = shape.querySeqLen();
    int rows = Math.min(parts.partQueries, nq - firstQuery);
    int qo = shape.queryOffset(batch, h) + firstQuery * shape.headDim();
    int oo = shape.outputOffset(batch, h) + firstQuery * shape.valueDim();
    int nk = shape.keySeqLen();
    gradient.bias(bias, bias == null ? null : gradBias, (h * nq + firstQuery) * nk, nk);
    gradient.addQueries(
        q,
        qo,
        out,
        oo,
        gradOut,
        oo,
        lse,
        (batch * shape.numHeads() + h) * nq + firstQuery,
        limits,
        batch * nq + firstQuery,
        start,
        rows,
        scale,
        parts.keyParts == 1 ? gradQuery : queryShares,
        parts.keyParts == 1 ? qo : share * (int) queryFloats(shape) + qo);
  }

  private void sumQueries(int worker, int problem) {
    int count = shape.querySeqLen() * shape.headDim();
    sum(queryShares, parts.keyParts, (int) queryFloats(shape), gradQuery, problem * count, count);
  }

  private void sumKeys(int worker, int head) {
    int rows = shape.keySeqLen();
    int all = (int) keyRows(shape);
    int d = shape.headDim();
    int dv = shape.valueDim();
    sum(keyShares, parts.queryParts, all * d, gradKey, head * rows * d, rows * d);
    sum(valueShares, parts.queryParts, all * dv, gradValue, head * rows * dv, rows * dv);
  }

  private static void sum(
      float[] shares, int parts, int apart, float @Nullable [] to, int o, int count) {
    for (int part = 0; part < parts && to != null; part++) {
      Kernels.get().add(count, to, o, shares, part * apart + o, to, o);
    }
  }
}
