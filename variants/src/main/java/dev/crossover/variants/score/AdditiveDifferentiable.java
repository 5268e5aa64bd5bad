// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.VisibleKeys;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// [Additive] with its backward pass.
///
/// ```
/// in parallel, for each head:                    real keys projected, values transposed
/// in parallel, for each part of a head's queries: rows one by one; shares of ∂k', ∂v, ∂e
/// in parallel, for each head:                    shares summed in order, ∂k' W_kᵀ, kᵀ ∂k', ∂W_q
/// ```
///
/// The number of parts follows from the shape. Only real keys are looked at, in their order.
final class AdditiveDifferentiable extends DifferentiablePlan {
  private static final int ROWS = 32;
  private static final int KEYS = 64;
  private static final int ENOUGH_TASKS = 16;
  private static final int LEAST_ROWS = 64;

  private final Kernels kernels = Kernels.get();
  private final boolean normalised;
  private final AttentionPlan forward;
  private final int a;
  private final int dq = shape.headDim();
  private final int dk = shape.keyDim();
  private final int dv = shape.valueDim();
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final int heads = shape.numHeads();
  private final int keyHeads = shape.numKeyValueHeads();
  private final int parts = parts(shape);
  private final VisibleKeys visible = new VisibleKeys(scratch, shape, mask);
  private final float[] scoreVectors;
  private final float[] keysTransposed;
  private final float[] valuesTransposed;
  private final float[] gradProjectedKeys;
  private final float[] projectedKeyRows;
  private final float[] valueShares;
  private final float[] queryMatrixShares;

  /// `[batch · heads, parts, 2, a]`: ∂e and ∂b.
  private final double[] vectorShares;

  private final Worker[] own = new Worker[threads()];
  private final float[] noGain = new float[0];
  private final Workers.Task projectKeys = this::projectKeys;
  private final Workers.Task transposeValues = this::transposeValues;
  private final Workers.Task part = this::part;
  private final Workers.Task sumKeys = this::sumKeys;
  private final Workers.Task keyHead = this::keyHead;
  private final Workers.Task parameters = this::parameters;

  /// What one worker alone uses.
  private final class Worker {
    private final float[] projected = scratch.floats((long) ROWS * a);
    private final float[] gradProjected = scratch.floats((long) ROWS * a);
    private final float[] weights = scratch.floats((long) ROWS * nk);
    private final float[] slopes = scratch.floats((long) ROWS * nk);
    private final float[] gradRows = scratch.floats((long) ROWS * dv);
    private final float[] tanh = scratch.floats(nk);
    private final float[] product = scratch.floats(nk);
    private final float[] keyRows = scratch.floats((long) KEYS * Math.max(dk, a));
    private final float[] work = scratch.floats(work(shape, a));
  }

  AdditiveDifferentiable(Additive additive, PlanRequest request) {
    super(request);
    normalised = additive.weightNormalisation();
    a = additive.width(shape);
    forward = additive.newPlan(request);
    scratch.include(forward.scratchBytes());
    long tasks = (long) shape.problems() * parts;
    scoreVectors = scratch.floats((long) heads * a);
    keysTransposed = scratch.floats((long) shape.problems() * a * nk);
    projectedKeyRows = scratch.floats((long) shape.problems() * nk * a);
    valuesTransposed = scratch.floats((long) shape.batchSize() * keyHeads * dv * nk);
    gradProjectedKeys = scratch.floats(tasks * a * nk);
    valueShares = scratch.floats(tasks * nk * dv);
    queryMatrixShares = scratch.floats(tasks * dq * a);
    vectorShares = scratch.doubles(tasks * 2 * a);
    for (int t = 0; t < threads(); t++) {
      own[t] = new Worker();
    }
  }

  static GradientCost cost(Additive additive, AttentionShape s, Mask mask, int threads) {
    long a = additive.width(s);
    long nk = s.keySeqLen();
    long tasks = (long) s.problems() * parts(s);
    long floats =
        s.numHeads() * a
            + 2 * s.problems() * nk * a
            + (long) s.batchSize() * s.numKeyValueHeads() * nk * s.valueDim()
            + tasks * (a * nk + nk * s.valueDim() + s.headDim() * a);
    long perThread =
        2 * ROWS * a
            + 2 * ROWS * nk
            + (long) ROWS * s.valueDim()
            + 2 * nk
            + KEYS * Math.max(s.keyDim(), a)
            + work(s, (int) a);
    double projections =
        6.0 * a * ((double) s.querySeqLen() * s.headDim() + (double) nk * s.keyDim());
    return new GradientCost(
        s.problems() * (projections + Cost.pairs(s, mask) * (14.0 * a + 4.0 * s.valueDim() + 8)),
        0,
        additive.cost(s, mask, threads).scratchBytes()
            + VisibleKeys.bytes(s, mask)
            + Float.BYTES * (floats + threads * perThread)
            + Double.BYTES * tasks * 2 * a);
  }

  private static int parts(AttentionShape s) {
    int most = Math.ceilDiv(ENOUGH_TASKS, s.problems());
    return Math.clamp(s.querySeqLen() / LEAST_ROWS, 1, most);
  }

  private static int work(AttentionShape s, int a) {
    return Kernels.get().transposedBScratch(Math.max(s.headDim(), s.keyDim()), a);
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    float[] gain = normalised ? input("gain") : noGain;
    Additive.scoreVectors(input("score_vector"), gain, a, scoreVectors);
    workers.run(shape.problems(), projectKeys);
    workers.run(shape.batchSize() * keyHeads, transposeValues);
    workers.run(shape.problems() * parts, part);
    workers.run(shape.problems(), sumKeys);
    workers.run(shape.batchSize() * keyHeads, keyHead);
    workers.run(heads, parameters);
  }

  /// (k W_k)ᵀ of a head's real keys.
  private void projectKeys(int worker, int problem) {
    int batch = problem / heads;
    int h = problem % heads;
    float[] rows = own[worker].keyRows;
    float[] result = projectedKeyRows;
    for (int first = 0; first < visible.count(batch); first += KEYS) {
      int count = Math.min(KEYS, visible.count(batch) - first);
      gatherKeys(batch, h, first, count, rows);
      int to = (problem * nk + first) * a;
      kernels.multiply(
          count, a, dk, rows, 0, dk, input("w_k"), h * dk * a, a, result, to, a, false);
      for (int c = 0; c < a; c++) {
        int column = (problem * a + c) * nk + first;
        for (int r = 0; r < count; r++) {
          keysTransposed[column + r] = result[to + r * a + c];
        }
      }
    }
  }

  private void gatherKeys(int batch, int h, int first, int count, float[] rows) {
    int k = shape.keyOffset(batch, h);
    for (int r = 0; r < count; r++) {
      int position = visible.position(batch, first + r);
      System.arraycopy(input("k"), k + position * dk, rows, r * dk, dk);
    }
  }

  private void transposeValues(int worker, int head) {
    int batch = head / keyHeads;
    float[] v = input("v");
    for (int j = 0; j < visible.count(batch); j++) {
      int row = (head * nk + visible.position(batch, j)) * dv;
      for (int c = 0; c < dv; c++) {
        valuesTransposed[(head * dv + c) * nk + j] = v[row + c];
      }
    }
  }

  /// A part of a head's queries, a block of rows at a time.
  private void part(int worker, int index) {
    int problem = index / parts;
    int rows = Math.ceilDiv(nq, parts);
    int begin = index % parts * rows;
    int end = Math.min(nq, begin + rows);
    Arrays.fill(gradProjectedKeys, index * a * nk, (index + 1) * a * nk, 0);
    Arrays.fill(valueShares, index * nk * dv, (index + 1) * nk * dv, 0);
    Arrays.fill(queryMatrixShares, index * dq * a, (index + 1) * dq * a, 0);
    Arrays.fill(vectorShares, index * 2 * a, (index + 1) * 2 * a, 0);
    int batch = problem / heads;
    int first = begin;
    while (first < end && visible.limit(batch, first) == 0) {
      first++;
    }
    for (int i = first; i < end; i += ROWS) {
      block(own[worker], index, problem, i, Math.min(ROWS, end - i));
    }
  }

  /// A block of queries that see some key each.
  private void block(Worker w, int share, int problem, int first, int count) {
    int batch = problem / heads;
    int h = problem % heads;
    int q = (problem * nq + first) * dq;
    int most = visible.limit(batch, first + count - 1);
    kernels.multiply(
        count, a, dq, input("q"), q, dq, input("w_q"), h * dq * a, a, w.projected, 0, a, false);
    int head = batch * keyHeads + h / shape.groupSize();
    int go = (problem * nq + first) * dv;
    kernels.multiply(
        count,
        most,
        dv,
        gradOut,
        go,
        dv,
        valuesTransposed,
        head * dv * nk,
        nk,
        w.slopes,
        0,
        nk,
        false);
    System.arraycopy(gradOut, go, w.gradRows, 0, count * dv);
    for (int r = 0; r < count; r++) {
      if (normalised) {
        kernels.add(a, w.projected, r * a, input("tanh_bias"), h * a, w.projected, r * a);
      }
      int seen = visible.limit(batch, first + r);
      slopes(w, problem, r, seen);
      throughTanh(w, share, problem, r, seen);
      Arrays.fill(w.weights, r * nk + seen, r * nk + most, 0);
      keepFinite(w, share, r, seen);
    }
    kernels.multiplyTransposedA(
        most,
        dv,
        count,
        w.weights,
        0,
        nk,
        w.gradRows,
        0,
        dv,
        valueShares,
        share * nk * dv,
        dv,
        true);
    if (wantsGradient("q")) {
      kernels.multiplyTransposedB(
          count,
          dq,
          a,
          w.gradProjected,
          0,
          a,
          input("w_q"),
          h * dq * a,
          a,
          gradient("q"),
          q,
          dq,
          true,
          w.work,
          0);
    }
    kernels.multiplyTransposedA(
        dq,
        a,
        count,
        input("q"),
        q,
        dq,
        w.gradProjected,
        0,
        a,
        queryMatrixShares,
        share * dq * a,
        a,
        true);
  }

  /// p and ds of one row, from ∂out·v.
  private void slopes(Worker w, int problem, int r, int seen) {
    int h = problem % heads;
    int row = r * nk;
    kernels.additiveScores(
        seen,
        a,
        w.projected,
        r * a,
        keysTransposed,
        problem * a * nk,
        nk,
        scoreVectors,
        h * a,
        w.weights,
        row);
    kernels.softmax(seen, w.weights, row);
    float mean = kernels.dot(seen, w.weights, row, w.slopes, row);
    for (int j = row; j < row + seen; j++) {
      w.slopes[j] = w.weights[j] * (w.slopes[j] - mean);
    }
  }

  /// ∂q' of one row, and its shares of ∂k', ∂e and ∂b.
  private void throughTanh(Worker w, int share, int problem, int r, int seen) {
    int row = r * nk;
    float sum = kernels.sum(seen, w.slopes, row);
    float[] t = w.tanh;
    for (int c = 0; c < a; c++) {
      int key = (problem * a + c) * nk;
      float query = w.projected[r * a + c];
      for (int j = 0; j < seen; j++) {
        t[j] = keysTransposed[key + j] + query;
      }
      kernels.tanh(seen, t, 0, t, 0);
      kernels.multiplyElements(seen, w.slopes, row, t, 0, w.product, 0);
      float gradVector = kernels.sum(seen, w.product, 0);
      float gradQuery =
          scoreVectors[problem % heads * a + c] * (sum - kernels.dot(seen, w.product, 0, t, 0));
      w.gradProjected[r * a + c] = gradQuery;
      vectorShares[share * 2 * a + c] += gradVector;
      vectorShares[share * 2 * a + a + c] += gradQuery;
      int to = (share * a + c) * nk;
      for (int j = 0; j < seen; j++) {
        gradProjectedKeys[to + j] += w.slopes[row + j] - w.product[j] * t[j];
      }
    }
  }

  /// A row that is not finite reaches the values it sees, and those only.
  private void keepFinite(Worker w, int share, int r, int seen) {
    boolean finite =
        Float.isFinite(kernels.largestMagnitude(dv, w.gradRows, r * dv))
            && Float.isFinite(kernels.largestMagnitude(seen, w.weights, r * nk));
    if (!finite) {
      Arrays.fill(valueShares, share * nk * dv, (share * nk + seen) * dv, Float.NaN);
      Arrays.fill(w.gradRows, r * dv, (r + 1) * dv, 0);
      Arrays.fill(w.weights, r * nk, r * nk + seen, 0);
    }
  }

  /// Rows ∂k' of a head, over its shares.
  private void sumKeys(int worker, int problem) {
    int size = a * nk;
    int to = problem * parts * size;
    for (int part = 1; part < parts; part++) {
      kernels.add(
          size, gradProjectedKeys, to, gradProjectedKeys, to + part * size, gradProjectedKeys, to);
    }
    int count = visible.count(problem / heads);
    for (int c = 0; c < a; c++) {
      float factor = scoreVectors[problem % heads * a + c];
      for (int j = 0; j < count; j++) {
        projectedKeyRows[(problem * nk + j) * a + c] = factor * gradProjectedKeys[to + c * nk + j];
      }
    }
  }

  /// ∂k = ∂k' W_kᵀ and ∂v of a key/value head, over the query heads that share it.
  private void keyHead(int worker, int head) {
    int batch = head / keyHeads;
    Worker w = own[worker];
    int group = shape.groupSize();
    for (int problem = head * group; problem < (head + 1) * group; problem++) {
      int h = problem % heads;
      for (int first = 0; first < visible.count(batch) && wantsGradient("k"); first += KEYS) {
        int count = Math.min(KEYS, visible.count(batch) - first);
        kernels.multiplyTransposedB(
            count,
            dk,
            a,
            projectedKeyRows,
            (problem * nk + first) * a,
            a,
            input("w_k"),
            h * dk * a,
            a,
            w.keyRows,
            0,
            dk,
            false,
            w.work,
            0);
        for (int r = 0; r < count; r++) {
          int to = (head * nk + visible.position(batch, first + r)) * dk;
          kernels.add(dk, w.keyRows, r * dk, gradient("k"), to, gradient("k"), to);
        }
      }
      for (int part = 0; part < parts && wantsGradient("v"); part++) {
        for (int j = 0; j < visible.count(batch); j++) {
          int from = ((problem * parts + part) * nk + j) * dv;
          int to = (head * nk + visible.position(batch, j)) * dv;
          kernels.add(dv, valueShares, from, gradient("v"), to, gradient("v"), to);
        }
      }
    }
  }

  /// Gradients of a head's parameters, over one batch entry after another.
  private void parameters(int worker, int h) {
    int sums = h * parts * 2 * a;
    for (int batch = 0; batch < shape.batchSize(); batch++) {
      if (wantsGradient("w_k")) {
        keyMatrix(own[worker], batch, h);
      }
      for (int part = 0; part < parts; part++) {
        int share = (batch * heads + h) * parts + part;
        for (int c = 0; share > h * parts && c < 2 * a; c++) {
          vectorShares[sums + c] += vectorShares[share * 2 * a + c];
        }
        if (wantsGradient("w_q")) {
          int from = share * dq * a;
          int to = h * dq * a;
          kernels.add(dq * a, queryMatrixShares, from, gradient("w_q"), to, gradient("w_q"), to);
        }
      }
    }
    scoreVector(h, sums);
    for (int c = 0; normalised && wantsGradient("tanh_bias") && c < a; c++) {
      gradient("tanh_bias")[h * a + c] += (float) vectorShares[sums + a + c];
    }
  }

  /// ∂W_k += kᵀ ∂k' of one batch entry; keys beyond the last query's order are left out.
  private void keyMatrix(Worker w, int batch, int h) {
    int reach = nq == 0 ? 0 : visible.limit(batch, nq - 1);
    for (int first = 0; first < reach; first += KEYS) {
      int count = Math.min(KEYS, reach - first);
      gatherKeys(batch, h, first, count, w.keyRows);
      kernels.multiplyTransposedA(
          dk,
          a,
          count,
          w.keyRows,
          0,
          dk,
          projectedKeyRows,
          ((batch * heads + h) * nk + first) * a,
          a,
          gradient("w_k"),
          h * dk * a,
          a,
          true);
    }
  }

  /// ∂v_a and ∂g of a head from its ∂e.
  private void scoreVector(int h, int sums) {
    boolean wanted = wantsGradient("score_vector");
    if (!normalised) {
      for (int c = 0; wanted && c < a; c++) {
        gradient("score_vector")[h * a + c] += (float) vectorShares[sums + c];
      }
      return;
    }
    float[] given = input("score_vector");
    double square = 0;
    double along = 0;
    for (int c = 0; c < a; c++) {
      square += (double) given[h * a + c] * given[h * a + c];
      along += vectorShares[sums + c] * given[h * a + c];
    }
    if (square == 0) {
      return;
    }
    double length = Math.sqrt(square);
    if (wantsGradient("gain")) {
      gradient("gain")[h] += (float) (along / length);
    }
    double factor = input("gain")[h] / length;
    for (int c = 0; wanted && c < a; c++) {
      double across = vectorShares[sums + c] - along / square * given[h * a + c];
      gradient("score_vector")[h * a + c] += (float) (factor * across);
    }
  }
}
