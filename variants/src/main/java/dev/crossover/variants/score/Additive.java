// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY_DIM;

import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;

/// Attention whose score of a pair is a small perceptron of query and key.
///
/// Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align and
/// Translate", ICLR 2015, arXiv:1409.0473, section 3.1 and appendix A.1.2; the normalised form
/// after Salimans and Kingma, "Weight Normalization", NeurIPS 2016, arXiv:1602.07868.
///
/// ```
/// s_ij  = g · v_aᵀ/|v_a| tanh(q_i W_q + k_j W_k + b)       plain: v_aᵀ tanh(q_i W_q + k_j W_k)
/// out_i = Σ_j softmax_j(s_ij) v_j                          no 1/√d
/// ```
///
/// | paper | here           | shape                                           |
/// |-------|----------------|-------------------------------------------------|
/// | s_i   | `q`            | `[batch, numHeads, nq, dq]`                     |
/// | h_j   | `k`            | `[batch, numKeyValueHeads, nk, dk]`, own width  |
/// | W_a   | `w_q`          | `[numHeads, dq, a]`                             |
/// | U_a   | `w_k`          | `[numHeads, dk, a]`                             |
/// | v_a   | `score_vector` | `[numHeads, a]`                                 |
/// | g, b  | `gain`, `tanh_bias` | `[numHeads]`, `[numHeads, a]`, weight normalisation only |
///
/// Time `4·nq·nk·a + 2·nq·nk·dv`, dominated by nq·nk·a hyperbolic tangents; there is no
/// sub-quadratic form. Scratch the projected keys, `nk·a` per head, and one row of scores per
/// thread: neither the pairs nor their a-vectors are stored. Honours every [Mask]. Rows that may
/// see no key are zero. Approximates nothing. A zero score vector gives the mean of the visible
/// values.
///
/// Backward, with t_ij = tanh(z_ij) recomputed, e = v_a (normalised: g u, u = v_a/|v_a|) and primes
/// for projected rows; derived from the equations:
///
/// ```
/// p_ij  = softmax_j(s_ij)      ds_ij = p_ij (∂out_i·v_j − Σ_l p_il ∂out_i·v_l)      ∂v_j = Σ_i p_ij ∂out_i
/// ∂z_ij = ds_ij e ∘ (1 − t_ij²)      ∂q'_i = Σ_j ∂z_ij      ∂k'_j = Σ_i ∂z_ij      ∂e = Σ ds_ij t_ij
/// ∂q = ∂q' W_qᵀ      ∂W_q = qᵀ ∂q'      ∂k = ∂k' W_kᵀ      ∂W_k = kᵀ ∂k'      ∂b = Σ ∂q'_i
/// ∂v_a = ∂e, normalised: g/|v_a| (∂e − (∂e·u) u)      ∂g = ∂e·u
/// ```
///
/// Nothing is kept; a block of rows of p and ds lives in scratch. A zero score vector gets no
/// gradient in the normalised form.
///
/// The paper's code has no maximum subtraction, so that scores beyond 88 overflow; here the row
/// maximum is subtracted, which changes nothing else. The paper starts v_a at zero (all weights
/// alike); parameters not given are drawn with unit variance of the summands instead, so that
/// something can be seen.
///
/// @param attentionDim a; absent: the width of q (1000 in the paper)
/// @param weightNormalisation whether `gain` and `tanh_bias` are used
/// @param seed seed of the drawn parameters
@Mechanism(
    name = "additive",
    title = "Additive attention",
    paper =
        "Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate,"
            + " ICLR 2015",
    arxiv = "1409.0473",
    family = Mechanism.Family.SCORE,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: another score than the dot product",
    time = "4 n² a + 2 n² d",
    memory = "n a",
    exponent = 2,
    bound = "one hyperbolic tangent per pair and hidden unit, 81 % of the time")
public record Additive(
    @Parameter(value = "alignment width a, the width of q when absent", defaultValue = "")
        OptionalInt attentionDim,
    @Parameter(value = "use gain and tanh_bias", defaultValue = "false")
        boolean weightNormalisation,
    @Parameter(value = "seed of the drawn parameters", defaultValue = "42") long seed)
    implements CachingAttention {

  private static final int ROWS = 64;

  /// Validates the width.
  public Additive {
    if (attentionDim.isPresent() && attentionDim.getAsInt() < 1) {
      throw new IllegalArgumentException(
          "attention_dim must be >= 1, but was " + attentionDim.getAsInt());
    }
  }

  /// As wide as the queries, without weight normalisation.
  public Additive() {
    this(OptionalInt.empty(), false, Draws.DEFAULT_SEED);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true)
        .keyDim(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    int a = width(s);
    Axis width = Axis.of("alignment", a);
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(matrix("w_q", "projects queries, N(0,1/dq)", s, HEAD_DIM, width));
    specs.add(matrix("w_k", "projects keys, N(0,1/dk)", s, KEY_DIM, width));
    specs.add(
        TensorSpec.parameter(
            "score_vector", "weighs the tanh, N(0,1)", Draws::gaussian, s, HEADS, width));
    if (weightNormalisation) {
      specs.add(
          TensorSpec.parameter(
              "gain",
              "length of the score vector, √a",
              (_, shape) -> Draws.constant(Math.sqrt(a), shape),
              s,
              HEADS));
      specs.add(
          TensorSpec.parameter(
              "tanh_bias",
              "added inside the tanh, zeros",
              (_, shape) -> Tensor.zeros(shape),
              s,
              HEADS,
              width));
    }
    return List.copyOf(specs);
  }

  private static TensorSpec matrix(
      String name, String meaning, AttentionShape s, Axis from, Axis to) {
    return TensorSpec.parameter(
        name,
        meaning,
        (seed, shape) -> Draws.gaussian(seed, 1 / Math.sqrt(from.size(s)), shape),
        s,
        HEADS,
        from,
        to);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double a = width(s);
    double projections =
        2 * a * ((double) s.querySeqLen() * s.headDim() + (double) s.keySeqLen() * s.keyDim());
    double pairs = Cost.pairs(s, mask) * (4 * a + 2.0 * s.valueDim() + 5);
    long keys = Float.BYTES * (long) s.problems() * width(s) * s.keySeqLen();
    long vector = (long) Float.BYTES * s.numHeads() * width(s);
    long perThread = Float.BYTES * ((long) ROWS * width(s) + s.keySeqLen());
    return new Cost(
        s.problems() * (projections + pairs),
        Cost.tensorBytes(s) + 2.0 * keys,
        keys + vector + threads * perThread);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new AdditiveDifferentiable(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return AdditiveDifferentiable.cost(this, s, mask, threads);
  }

  @Override
  public Caching caching() {
    return Caching.COMPRESSED;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    return cache.changesOutputs()
        ? new AdditiveCompressed(this, shape, threads, cache)
        : new Session(shape);
  }

  /// Alignment width a.
  int width(AttentionShape s) {
    return attentionDim.orElse(s.headDim());
  }

  /// v_a, or g · v_a / |v_a|, of all heads.
  static void scoreVectors(float[] given, float[] gain, int a, float[] target) {
    System.arraycopy(given, 0, target, 0, target.length);
    for (int h = 0; h < gain.length; h++) {
      double square = 0;
      for (int c = h * a; c < (h + 1) * a; c++) {
        square += (double) given[c] * given[c];
      }
      for (int c = h * a; c < (h + 1) * a; c++) {
        target[c] = square == 0 ? 0 : (float) (gain[h] * given[c] / Math.sqrt(square));
      }
    }
  }

  private final class Plan extends AttentionPlan {
    private final Kernels kernels = Kernels.get();
    private final int a = width(shape);
    private final int keyBlocks = Math.ceilDiv(shape.keySeqLen(), ROWS);
    private final int queryBlocks = Math.ceilDiv(shape.querySeqLen(), ROWS);
    private final float[] keysTransposed =
        scratch.floats((long) shape.problems() * a * shape.keySeqLen());
    private final float[] scoreVectors = scratch.floats((long) shape.numHeads() * a);
    private final float[][] projected = new float[threads()][];
    private final float[][] scores = new float[threads()][];
    private final float[] noGain = new float[0];
    private final Workers.Task keys = this::keys;
    private final Workers.Task queries = this::queries;

    Plan(PlanRequest request) {
      super(request);
      for (int t = 0; t < threads(); t++) {
        projected[t] = scratch.floats((long) ROWS * a);
        scores[t] = scratch.floats(shape.keySeqLen());
      }
    }

    @Override
    protected void compute(Tensor output) {
      scoreVectors(
          input("score_vector"), weightNormalisation ? input("gain") : noGain, a, scoreVectors);
      workers.run(shape.problems() * keyBlocks, keys);
      workers.run(shape.problems() * queryBlocks, queries);
    }

    /// (k W_k)ᵀ of one block of keys.
    private void keys(int worker, int index) {
      int problem = index / keyBlocks;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int nk = shape.keySeqLen();
      int dk = shape.keyDim();
      int first = index % keyBlocks * ROWS;
      int count = Math.min(ROWS, nk - first);
      float[] rows = projected[worker];
      kernels.multiply(
          count,
          a,
          dk,
          input("k"),
          shape.keyOffset(batch, h) + first * dk,
          dk,
          input("w_k"),
          h * dk * a,
          a,
          rows,
          0,
          a,
          false);
      for (int c = 0; c < a; c++) {
        int column = (problem * a + c) * nk + first;
        for (int r = 0; r < count; r++) {
          keysTransposed[column + r] = rows[r * a + c];
        }
      }
    }

    /// q W_q + b of one block of queries, then row by row.
    private void queries(int worker, int index) {
      int problem = index / queryBlocks;
      int h = problem % shape.numHeads();
      int dq = shape.headDim();
      int first = index % queryBlocks * ROWS;
      int count = Math.min(ROWS, shape.querySeqLen() - first);
      float[] rows = projected[worker];
      kernels.multiply(
          count,
          a,
          dq,
          input("q"),
          (problem * shape.querySeqLen() + first) * dq,
          dq,
          input("w_q"),
          h * dq * a,
          a,
          rows,
          0,
          a,
          false);
      for (int r = 0; r < count; r++) {
        if (weightNormalisation) {
          kernels.add(a, rows, r * a, input("tanh_bias"), h * a, rows, r * a);
        }
        row(worker, problem, first + r, r * a);
      }
    }

    /// Σ_j softmax_j(v_aᵀ tanh(…)) v_j over the visible keys of one query.
    private void row(int worker, int problem, int i, int query) {
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int nk = shape.keySeqLen();
      int dv = shape.valueDim();
      int limit = mask.causalLimit(i, shape.querySeqLen(), nk);
      float[] s = scores[worker];
      int seen = 0;
      for (int from = mask.nextReal(batch, 0, limit); from < limit; ) {
        int to = mask.nextPadding(batch, from, limit);
        kernels.additiveScores(
            to - from,
            a,
            projected[worker],
            query,
            keysTransposed,
            problem * a * nk + from,
            nk,
            scoreVectors,
            h * a,
            s,
            seen);
        seen += to - from;
        from = mask.nextReal(batch, to, limit);
      }
      kernels.softmax(seen, s, 0);
      int o = (problem * shape.querySeqLen() + i) * dv;
      Arrays.fill(out, o, o + dv, 0);
      int weight = 0;
      for (int from = mask.nextReal(batch, 0, limit); from < limit; ) {
        int to = mask.nextPadding(batch, from, limit);
        kernels.multiply(
            1,
            dv,
            to - from,
            s,
            weight,
            to - from,
            input("v"),
            shape.valueOffset(batch, h) + from * dv,
            dv,
            out,
            o,
            dv,
            true);
        weight += to - from;
        from = mask.nextReal(batch, to, limit);
      }
    }
  }

  /// Caches k W_k and v.
  private final class Session extends TokenSession {
    private final Kernels kernels = Kernels.get();
    private final int a = width(shape);
    private final int capacity = shape.keySeqLen();
    private final float[] keysTransposed;
    private final float[] values;
    private final float[] scoreVectors;
    private final float[] projected;
    private final float[] scores;

    Session(AttentionShape shape) {
      super(Additive.this, shape);
      Scratch scratch = new Scratch();
      keysTransposed = scratch.floats((long) shape.problems() * a * capacity);
      values =
          scratch.floats(
              (long) shape.batchSize() * shape.numKeyValueHeads() * capacity * shape.valueDim());
      scoreVectors = scratch.floats((long) shape.numHeads() * a);
      projected = scratch.floats(a);
      scores = scratch.floats(capacity);
    }

    @Override
    protected void take(int t, int tokens) {
      int dk = shape.keyDim();
      int dv = shape.valueDim();
      for (int p = 0; p < shape.problems(); p++) {
        int h = p % shape.numHeads();
        int row = (p / shape.groupSize() * tokens + t) * dk;
        kernels.multiply(
            1, a, dk, input("k"), row, dk, input("w_k"), h * dk * a, a, projected, 0, a, false);
        for (int c = 0; c < a; c++) {
          keysTransposed[(p * a + c) * capacity + position()] = projected[c];
        }
      }
      for (int p = 0; p < shape.batchSize() * shape.numKeyValueHeads(); p++) {
        System.arraycopy(
            input("v"), (p * tokens + t) * dv, values, (p * capacity + position()) * dv, dv);
      }
    }

    @Override
    protected void answer(float[] out) {
      int dq = shape.headDim();
      int dv = shape.valueDim();
      int seen = position() + 1;
      scoreVectors(
          input("score_vector"),
          weightNormalisation ? input("gain") : new float[0],
          a,
          scoreVectors);
      for (int p = 0; p < shape.problems(); p++) {
        int h = p % shape.numHeads();
        kernels.multiply(
            1, a, dq, input("q"), p * dq, dq, input("w_q"), h * dq * a, a, projected, 0, a, false);
        if (weightNormalisation) {
          kernels.add(a, projected, 0, input("tanh_bias"), h * a, projected, 0);
        }
        kernels.additiveScores(
            seen,
            a,
            projected,
            0,
            keysTransposed,
            p * a * capacity,
            capacity,
            scoreVectors,
            h * a,
            scores,
            0);
        kernels.softmax(seen, scores, 0);
        kernels.multiply(
            1,
            dv,
            seen,
            scores,
            0,
            seen,
            values,
            p / shape.groupSize() * capacity * dv,
            dv,
            out,
            p * dv,
            dv,
            false);
      }
    }

    @Override
    public long stateBytes() {
      long perPosition =
          (long) shape.problems() * a
              + (long) shape.batchSize() * shape.numKeyValueHeads() * shape.valueDim();
      return position() * perPosition * Float.BYTES;
    }
  }
}
