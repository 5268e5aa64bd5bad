// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.variants.lowrank.Luna.Activation;
import java.util.Arrays;

/// The backward pass of the causal core of [Luna] for one head, a chunk of tokens at a time: once
/// forwards over the chunks with the states that the answers read, once backwards with the sums of
/// what later queries send. With r_t = 1 / (real tokens that query t sees) and c = 1/√d:
///
/// ```
/// forwards:   S₁ = Σ kᵀA,  S₂ = Σ Aᵀv       B = softmax(r c q S₁),   B̂ = r B
///             ∂B = r ∂y S₂ᵀ,  Ê = r c B ∘ (∂B − rowsum(∂B ∘ B)),  ∂q = Ê S₁ᵀ
/// backwards:  T₁ = Σ qᵀÊ,  T₂ = Σ B̂ᵀ∂y      ∂v = A T₂,  ∂k = A T₁ᵀ,  ∂A = v T₂ᵀ + k T₁
///             ∂a = ∂A ∘ ω'(a),  ∂K_p = c ∂a p_q,  ∂p_q = c Σ ∂aᵀ K_p
/// ```
///
/// Queries and tokens of the same chunk meet in triangular products. Backwards, rows are in reverse
/// order, so that a token uses none of the queries that do not see it, whatever they hold. B̂, Ê
/// and A of the whole head are scratch, n × l each. One instance belongs to one worker.
public final class LunaCoreGradient {
  private static final int ROWS = LunaChunk.ROWS;

  private final Kernels kernels = Kernels.get();
  private final Activation activation;
  private final Mask mask;
  private final int l;
  private final int d;
  private final int dv;
  private final int nq;
  private final int nk;
  private final float factor;
  private final float[] packQueries;
  private final float[] keyState;
  private final float[] valueState;
  private final float[] answers;
  private final float[] slopes;
  private final float[] weights;
  private final float[] inverseCounts;
  private final float[] gradPack;
  private final float[] pairs;
  private final float[] query;
  private final float[] gradOut;
  private final float[] key;
  private final float[] value;
  private final float[] packKey;
  private final float[] weight;
  private final float[] answer;
  private final float[] slope;
  private final float[] gradKey;
  private final float[] gradValue;
  private final float[] gradWeight;
  private final float[] work;
  private Head head = new Head();
  private int batch;

  /// Where the rows of a head and their gradients lie.
  public static final class Head {
    /// Made empty, to be filled for every head.
    public Head() {}

    /// Queries.
    public float[] q = new float[0];

    /// Keys.
    public float[] k = q;

    /// Values.
    public float[] v = q;

    /// Keys of the pack weights.
    public float[] packKeys = q;

    /// The pack, row a at `packAt + a * packPitch`.
    public float[] pack = q;

    /// Gradients of the output rows.
    public float[] gradOut = q;

    /// Where those of queries are written.
    public float[] gradQ = q;

    /// Where those of keys are written.
    public float[] gradK = q;

    /// Where those of values are written.
    public float[] gradV = q;

    /// Where those of pack keys are written.
    public float[] gradPackKeys = q;

    /// Where those of the pack are written.
    public float[] gradPack = q;

    /// Number of the head, batch entries outermost.
    public int index;

    /// First element of the pack.
    public int packAt;

    /// From one row of the pack to the next.
    public int packPitch;
  }

  /// @param scratch allocator
  /// @param activation ω
  /// @param l length of the packed sequence
  /// @param s the problem
  /// @param mask order and padding
  /// @param d width of queries, keys and pack keys
  /// @param dv width of values
  public LunaCoreGradient(
      Scratch scratch, Activation activation, int l, AttentionShape s, Mask mask, int d, int dv) {
    this.activation = activation;
    this.mask = mask;
    this.l = l;
    this.d = d;
    this.dv = dv;
    nq = s.querySeqLen();
    nk = s.keySeqLen();
    factor = (float) (1 / Math.sqrt(d));
    packQueries = scratch.floats((long) d * l);
    gradPack = scratch.floats((long) d * l);
    keyState = scratch.floats((long) d * l);
    valueState = scratch.floats((long) l * dv);
    answers = scratch.floats((long) nq * l);
    slopes = scratch.floats((long) nq * l);
    weights = scratch.floats((long) nk * l);
    inverseCounts = scratch.floats(nq);
    pairs = scratch.floats((long) ROWS * ROWS);
    query = scratch.floats((long) ROWS * d);
    key = scratch.floats((long) ROWS * d);
    packKey = scratch.floats((long) ROWS * d);
    gradKey = scratch.floats((long) ROWS * d);
    gradOut = scratch.floats((long) ROWS * dv);
    value = scratch.floats((long) ROWS * dv);
    gradValue = scratch.floats((long) ROWS * dv);
    weight = scratch.floats((long) ROWS * l);
    answer = scratch.floats((long) ROWS * l);
    slope = scratch.floats((long) ROWS * l);
    gradWeight = scratch.floats((long) ROWS * l);
    work = scratch.floats(work(l, d, dv));
  }

  /// Bytes the constructor allocates.
  public static long bytes(int l, AttentionShape s, int d, int dv) {
    long states = 3L * d * l + (long) l * dv;
    long whole = l * (2L * s.querySeqLen() + s.keySeqLen()) + s.querySeqLen();
    long chunk = ROWS * (ROWS + 4L * d + 3L * dv + 4 * l);
    return Float.BYTES * (states + whole + chunk + work(l, d, dv));
  }

  /// Counted work of all heads.
  public static double flops(int l, AttentionShape s, int d, int dv) {
    double chunk = ROWS;
    return s.problems()
        * (double) l
        * (s.querySeqLen() * (8.0 * d + 8.0 * dv + 8 * chunk)
            + s.keySeqLen() * (14.0 * d + 8.0 * dv));
  }

  private static int work(int l, int d, int dv) {
    Kernels kernels = Kernels.get();
    int most = 0;
    for (int n : new int[] {ROWS, l, d}) {
      for (int k : new int[] {l, d, dv}) {
        most = Math.max(most, kernels.transposedBScratch(n, k));
      }
    }
    return most;
  }

  /// Writes the gradients of one head.
  public void run(Head newHead, int newBatch) {
    head = newHead;
    batch = newBatch;
    for (int a = 0; a < l; a++) {
      for (int c = 0; c < d; c++) {
        packQueries[c * l + a] = factor * head.pack[head.packAt + a * head.packPitch + c];
      }
    }
    Arrays.fill(keyState, 0);
    Arrays.fill(valueState, 0);
    int reach = nq == 0 ? 0 : mask.causalLimit(nq - 1, nq, nk);
    int i = 0;
    while (i < nq && mask.causalLimit(i, nq, nk) == 0) {
      int at = (head.index * nq + i) * d;
      Arrays.fill(head.gradQ, at, at + d, 0);
      i++;
    }
    int firstQuery = i;
    int seen = 0;
    for (int from = 0; from < reach; from += ROWS) {
      int tokens = Math.min(ROWS, reach - from);
      takeTokens(from, tokens, false);
      weigh(from, tokens);
      while (i < nq && mask.causalLimit(i, nq, nk) <= from + tokens) {
        int count = 0;
        while (i + count < nq
            && count < ROWS
            && mask.causalLimit(i + count, nq, nk) <= from + tokens) {
          count++;
        }
        countReal(i, count, from, seen);
        answer(i, count, mask.causalLimit(i, nq, nk) - from, tokens);
        i += count;
      }
      for (int r = 0; r < tokens; r++) {
        seen += mask.isRealKey(batch, from + r) ? 1 : 0;
      }
      kernels.multiplyTransposedA(d, l, tokens, key, 0, d, weight, 0, l, keyState, 0, l, true);
      kernels.multiplyTransposedA(
          l, dv, tokens, weight, 0, l, value, 0, dv, valueState, 0, dv, true);
    }
    backwards(firstQuery, reach);
  }

  /// Tokens of a chunk, those that padding hides as zeros.
  private void takeTokens(int from, int tokens, boolean reversed) {
    for (int r = 0; r < tokens; r++) {
      int to = reversed ? tokens - 1 - r : r;
      int row = head.index * nk + from + r;
      if (mask.isRealKey(batch, from + r)) {
        System.arraycopy(head.k, row * d, key, to * d, d);
        System.arraycopy(head.packKeys, row * d, packKey, to * d, d);
        System.arraycopy(head.v, row * dv, value, to * dv, dv);
      } else {
        Arrays.fill(key, to * d, (to + 1) * d, 0);
        Arrays.fill(packKey, to * d, (to + 1) * d, 0);
        Arrays.fill(value, to * dv, (to + 1) * dv, 0);
      }
    }
  }

  /// A of a chunk, kept for the way back.
  private void weigh(int from, int tokens) {
    kernels.multiply(tokens, l, d, packKey, 0, d, packQueries, 0, l, answer, 0, l, false);
    if (activation == Activation.ELU_PLUS_ONE) {
      kernels.eluPlusOne(tokens * l, answer, 0, weight, 0);
    } else {
      kernels.softplus2(tokens * l, answer, 0, weight, 0);
    }
    for (int r = 0; r < tokens; r++) {
      if (!mask.isRealKey(batch, from + r)) {
        Arrays.fill(weight, r * l, (r + 1) * l, 0);
      }
    }
    System.arraycopy(weight, 0, weights, from * l, tokens * l);
  }

  /// 1 / the number of real tokens that each query sees; 0 if there is none.
  private void countReal(int first, int count, int from, int before) {
    int real = before;
    int j = from;
    for (int i = first; i < first + count; i++) {
      for (; j < mask.causalLimit(i, nq, nk); j++) {
        real += mask.isRealKey(batch, j) ? 1 : 0;
      }
      inverseCounts[i] = real == 0 ? 0 : 1f / real;
    }
  }

  /// B̂, Ê and ∂q of a block of queries; row r sees the first `visible + r` tokens of the chunk.
  private void answer(int first, int count, int visible, int tokens) {
    int q = (head.index * nq + first) * d;
    int go = (head.index * nq + first) * dv;
    kernels.multiply(count, l, d, head.q, q, d, keyState, 0, l, answer, 0, l, false);
    pairs(count, tokens, d, head.q, q, key);
    lower(count, l, tokens, visible - 1, weight, answer, 0);
    kernels.multiplyTransposedB(
        count, l, dv, head.gradOut, go, dv, valueState, 0, dv, slope, 0, l, false, work, 0);
    pairs(count, tokens, dv, head.gradOut, go, value);
    lower(count, l, tokens, visible - 1, weight, slope, 0);
    for (int r = 0; r < count; r++) {
      float mean = inverseCounts[first + r];
      kernels.scale(l, mean * factor, answer, r * l, answer, r * l);
      kernels.softmax(l, answer, r * l);
      float inner = mean * kernels.dot(l, answer, r * l, slope, r * l);
      for (int a = r * l; a < (r + 1) * l; a++) {
        slope[a] = mean * factor * answer[a] * (mean * slope[a] - inner);
        answer[a] *= mean;
      }
    }
    System.arraycopy(answer, 0, answers, first * l, count * l);
    System.arraycopy(slope, 0, slopes, first * l, count * l);
    kernels.multiplyTransposedB(
        count, d, l, slope, 0, l, keyState, 0, l, head.gradQ, q, d, false, work, 0);
    pairs(count, tokens, l, slope, 0, weight);
    lower(count, d, tokens, visible - 1, key, head.gradQ, q);
  }

  /// Products of rows of x with rows of y.
  private void pairs(int rows, int columns, int k, float[] x, int xo, float[] y) {
    kernels.multiplyTransposedB(
        rows, columns, k, x, xo, k, y, 0, k, pairs, 0, ROWS, false, work, 0);
  }

  /// `z += lower(pairs) y`.
  private void lower(int rows, int n, int k, int offset, float[] y, float[] z, int zo) {
    kernels.multiplyLower(rows, n, k, offset, pairs, 0, ROWS, y, 0, n, z, zo, n, true);
  }

  private void backwards(int firstQuery, int reach) {
    Arrays.fill(keyState, 0);
    Arrays.fill(valueState, 0);
    Arrays.fill(gradPack, 0);
    int row = head.index * nk;
    Arrays.fill(head.gradK, (row + reach) * d, (row + nk) * d, 0);
    Arrays.fill(head.gradPackKeys, (row + reach) * d, (row + nk) * d, 0);
    Arrays.fill(head.gradV, (row + reach) * dv, (row + nk) * dv, 0);
    int end = nq;
    for (int from = (reach - 1) / ROWS * ROWS; reach > 0 && from >= 0; from -= ROWS) {
      int tokens = Math.min(ROWS, reach - from);
      int first = end;
      while (first > firstQuery && mask.causalLimit(first - 1, nq, nk) > from) {
        first--;
      }
      takeTokens(from, tokens, true);
      reverse(weights, from, tokens, l, weight);
      kernels.multiply(tokens, dv, l, weight, 0, l, valueState, 0, dv, gradValue, 0, dv, false);
      kernels.multiplyTransposedB(
          tokens, d, l, weight, 0, l, keyState, 0, l, gradKey, 0, d, false, work, 0);
      kernels.multiplyTransposedB(
          tokens, l, dv, value, 0, dv, valueState, 0, dv, gradWeight, 0, l, false, work, 0);
      kernels.multiply(tokens, l, d, key, 0, d, keyState, 0, l, gradWeight, 0, l, true);
      for (int i = first; i < end; i += ROWS) {
        within(i, Math.min(ROWS, end - i), mask.causalLimit(i, nq, nk) - from, tokens);
      }
      for (int i = first; i < end; i += ROWS) {
        absorb(i, Math.min(ROWS, end - i));
      }
      throughActivation(from, tokens);
      end = first;
    }
    for (int a = 0; a < l; a++) {
      int to = (head.index * l + a) * d;
      kernels.scale(d, factor, gradPack, a * d, head.gradPack, to);
    }
  }

  private static void reverse(float[] x, int from, int rows, int width, float[] y) {
    for (int r = 0; r < rows; r++) {
      System.arraycopy(x, (from + r) * width, y, (rows - 1 - r) * width, width);
    }
  }

  /// What a block of queries sends to the tokens of its own chunk, all in reverse order.
  private void within(int first, int count, int visible, int tokens) {
    reverse(head.q, head.index * nq + first, count, d, query);
    reverse(head.gradOut, head.index * nq + first, count, dv, gradOut);
    reverse(answers, first, count, l, answer);
    reverse(slopes, first, count, l, slope);
    int offset = count + visible - tokens - 1;
    pairs(tokens, count, l, weight, 0, answer);
    lower(tokens, dv, count, offset, gradOut, gradValue, 0);
    pairs(tokens, count, dv, value, 0, gradOut);
    lower(tokens, l, count, offset, answer, gradWeight, 0);
    pairs(tokens, count, d, key, 0, query);
    lower(tokens, l, count, offset, slope, gradWeight, 0);
    pairs(tokens, count, l, weight, 0, slope);
    lower(tokens, d, count, offset, query, gradKey, 0);
  }

  /// Adds a block of queries to the sums that earlier chunks read.
  private void absorb(int first, int count) {
    int q = (head.index * nq + first) * d;
    int go = (head.index * nq + first) * dv;
    kernels.multiplyTransposedA(
        d, l, count, head.q, q, d, slopes, first * l, l, keyState, 0, l, true);
    kernels.multiplyTransposedA(
        l, dv, count, answers, first * l, l, head.gradOut, go, dv, valueState, 0, dv, true);
  }

  /// ∂a, and what it gives to pack keys and pack queries; then the chunk's rows are written.
  private void throughActivation(int from, int tokens) {
    derivative(tokens);
    for (int r = 0; r < tokens; r++) {
      if (!mask.isRealKey(batch, from + tokens - 1 - r)) {
        Arrays.fill(gradWeight, r * l, (r + 1) * l, 0);
      }
    }
    kernels.multiplyTransposedA(
        l, d, tokens, gradWeight, 0, l, packKey, 0, d, gradPack, 0, d, true);
    kernels.multiply(
        tokens,
        d,
        l,
        gradWeight,
        0,
        l,
        head.pack,
        head.packAt,
        head.packPitch,
        packKey,
        0,
        d,
        false);
    kernels.scale(tokens * d, factor, packKey, 0, packKey, 0);
    for (int r = 0; r < tokens; r++) {
      int row = head.index * nk + from + tokens - 1 - r;
      boolean real = mask.isRealKey(batch, from + tokens - 1 - r);
      write(real, gradKey, r, d, head.gradK, row);
      write(real, packKey, r, d, head.gradPackKeys, row);
      write(real, gradValue, r, dv, head.gradV, row);
    }
  }

  private static void write(boolean real, float[] x, int r, int width, float[] y, int row) {
    if (real) {
      System.arraycopy(x, r * width, y, row * width, width);
    } else {
      Arrays.fill(y, row * width, (row + 1) * width, 0);
    }
  }

  /// `∂A ∘ ω'`, where ω' follows from A: min(A, 1) for elu + 1, and 1 − 2^−A for log2(1 + 2^a).
  private void derivative(int tokens) {
    int count = tokens * l;
    if (activation == Activation.ELU_PLUS_ONE) {
      for (int e = 0; e < count; e++) {
        gradWeight[e] *= Math.min(weight[e], 1);
      }
      return;
    }
    float log2 = (float) Math.log(2);
    kernels.exp(count, -log2, 0, weight, 0, answer, 0);
    for (int e = 0; e < count; e++) {
      float x = weight[e] * log2;
      // Below 1/32 the difference would lose digits; the fourth term is below 1e-7 of the first.
      boolean small = x < 0.03125f;
      gradWeight[e] *= small ? x * (1 - x * (0.5f - x * (1f / 6 - x / 24))) : 1 - answer[e];
    }
  }
}
