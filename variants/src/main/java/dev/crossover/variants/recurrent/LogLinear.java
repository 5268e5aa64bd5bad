// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.KEY;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.FittedAttention;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.recurrent.LevelStates;
import dev.crossover.attention.recurrent.RecurrentPlan;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/// Log-linear attention over Mamba-2's decays: the past of a token is cut into O(log n) blocks that
/// grow with the distance, a Fenwick tree, each with a state and a weight of its own.
///
/// Guo, Yang, Goel, Xing, Dao, Kim: "Log-Linear Attention", 2025, arXiv:2506.04761; code in
/// flash-linear-attention, ops/log_linear_attn/naive.py, and HanGuo97/log-linear-attention.
///
/// ```
/// level(t, j) = 0 if j = t, else the number of bits of t xor j
/// out_t = Σ_{j ≤ t} scale (q_t·k_j) exp(Σ_{j<u≤t} log_decay_u) λ_t[level(t, j)] v_j
/// ```
///
/// | paper | here           | shape                                                    |
/// |-------|----------------|----------------------------------------------------------|
/// | Q, K  | `q`, `k`       | `[batch, heads, n, d]`                                   |
/// | V     | `v`            | `[batch, heads, n, dv]`                                  |
/// | log α | `log_decay`    | `[batch, heads, n]`, ≤ 0, drawn as in [Mamba2Ssd]        |
/// | λ     | `level_scales` | `[batch, heads, n, L]`, L ≥ ⌈log₂ n⌉ + 1, softplus(N(0,1)) |
///
/// Level l ≥ 1 of row t is 2^(l−1) consecutive keys where bit l − 1 of t is set, and nothing
/// elsewhere. As a recurrence, with z the trailing zeros of t > 0:
///
/// ```
/// S⁽ᶻ⁺¹⁾ ← S⁽⁰⁾ + … + S⁽ᶻ⁾,   those become empty,   S⁽ˡ⁾ ← exp(log_decay_t) S⁽ˡ⁾ for all l
/// S⁽⁰⁾ = k_t v_tᵀ,   out_t = scale Σ_l λ_t[l] S⁽ˡ⁾ᵀ q_t
/// ```
///
/// Chunks of C = 2^c rows: levels up to c inside a chunk are one triangular matrix, every higher
/// one a state over 2^b chunks for a set bit b of the chunk's number.
///
/// Backward, with g the gradient of `out`, `A_tj` the weight of v_j, E the decay and `dA_tj =
/// g_t·v_j`:
///
/// ```
/// dq_t = scale Σ_j dA_tj E_tj λ k_j,   dk_j = scale Σ_t dA_tj E_tj λ q_t,   dv_j = Σ_t A_tj g_t
/// dλ_t[l] = scale Σ_{j at level l} dA_tj E_tj q_t·k_j
/// dlog_decay_t = Σ_{i ≥ t > j} dA_ij A_ij
/// ```
///
/// Time `n·C·(d + dv) + n·d·dv·(log₂(n/C) + 2)` per head; memory log₂(n/C)·d·dv per head at work; a
/// session keeps a state per set bit of its position and one more, at most ⌈log₂ n⌉ + 1. Causal by
/// construction; any key padding: rows of k are zero at masked positions, the decay goes on and
/// levels count them. Not normalised; no setting makes it softmax. All scales 1 are Mamba-2 at head
/// level; scales that are 0 above a level leave attention within aligned blocks, not a window.
///
/// This is the authors' weak hierarchy, to base 2; the strong one and the Gated DeltaNet form are
/// not here. Paper and code agree; the naive code has no factor.
///
/// @param scale factor on q·k
/// @param levels scales per token L; absent: those of `level_scales` where it is at hand, otherwise
///     21, enough for 2²⁰ tokens
/// @param chunkLength rows of a chunk, a power of two; without effect on the result; absent: 64
@Mechanism(
    name = "log_linear",
    title = "Log-linear attention",
    paper = "Guo et al., Log-Linear Attention, 2025",
    arxiv = "2506.04761",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "n d² (log₂(n/C) + 2)",
    memory = "d² log₂(n/C)",
    padding = "writes nothing; the decay goes on",
    exponent = 1)
public record LogLinear(
    @Parameter(value = "factor on q.k", defaultValue = "1") double scale,
    @Parameter(
            value = "scales per token, >= ceil(log2 n) + 1; absent: those of level_scales, or 21",
            defaultValue = "")
        OptionalInt levels,
    @Parameter(
            value = "rows C of a chunk, a power of two, no effect on the result",
            defaultValue = "")
        OptionalInt chunkLength)
    implements FittedAttention {

  private static final int DEFAULT_LEVELS = 21;

  /// Validates the numbers.
  public LogLinear {
    if (!Double.isFinite(scale)) {
      throw new IllegalArgumentException("scale must be finite, but was " + scale);
    }
    if (levels.isPresent() && levels.getAsInt() < 1) {
      throw new IllegalArgumentException("levels must be >= 1, but was " + levels.getAsInt());
    }
    if (chunkLength.isPresent() && Integer.bitCount(Math.max(0, chunkLength.getAsInt())) != 1) {
      throw new IllegalArgumentException(
          "chunk_length must be a power of two, but was " + chunkLength.getAsInt());
    }
  }

  /// Factor 1, the usual number of levels and the fastest chunk length.
  public LogLinear() {
    this(1, OptionalInt.empty(), OptionalInt.empty());
  }

  /// Levels that a sequence of this length uses.
  static int levels(int n) {
    return LevelStates.levels(n) + 1;
  }

  /// Scales per token.
  int levelCount() {
    return levels.orElse(DEFAULT_LEVELS);
  }

  /// Rows of a chunk.
  int chunk(AttentionShape s) {
    return chunkLength.orElse(RecurrentPlan.DEFAULT_CHUNK);
  }

  @Override
  public Capabilities capabilities() {
    return States.capabilities();
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(States.logDecayPerToken(s, 1));
    specs.add(
        TensorSpec.input(
            "level_scales",
            "weight of each level, softplus(N(0,1))",
            LogLinear::softplus,
            s,
            BATCH,
            HEADS,
            KEY,
            Axis.of("levels", levelCount())));
    return List.copyOf(specs);
  }

  private static Tensor softplus(long seed, int... shape) {
    Tensor tensor = Draws.gaussian(seed, shape);
    for (int e = 0; e < tensor.size(); e++) {
      tensor.data()[e] = (float) Math.log1p(Math.exp(tensor.data()[e]));
    }
    return tensor;
  }

  /// With the levels that `level_scales` has.
  @Override
  public Attention fittedTo(Tensors inputs) {
    boolean given = inputs.has("level_scales") && inputs.get("level_scales").rank() == 4;
    if (levels.isPresent() || !given) {
      return this;
    }
    int extent = inputs.get("level_scales").extent(3);
    return new LogLinear(scale, OptionalInt.of(extent), chunkLength);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireAligned(request);
    requireLevels(request.shape());
    return new LogLinearPlan(request, this);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireAligned(request);
    requireLevels(request.shape());
    return new LogLinearDifferentiable(request, this);
  }

  private static void requireAligned(PlanRequest request) {
    int n = request.shape().querySeqLen();
    int offset = request.mask().causalOffset(n, n);
    if (offset != 0) {
      throw new IllegalArgumentException("log_linear: causal offset must be 0, but was " + offset);
    }
  }

  private void requireLevels(AttentionShape s) {
    int needed = levels(s.keySeqLen());
    if (levelCount() < needed) {
      throw new IllegalArgumentException(
          "log_linear: levels must be >= "
              + needed
              + " for keySeqLen "
              + s.keySeqLen()
              + ", but was "
              + levelCount());
    }
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    requireLevels(shape);
    return new LogLinearSession(this, shape, threads);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    Scratch scratch = Scratch.sizing();
    new LogLinearPlan.Forward(this, s, mask, new Workers(threads), scratch);
    double dv = s.valueDim();
    double tasks = Math.ceilDiv(s.valueDim(), LogLinearPlan.Forward.columns(s));
    double head = 0;
    for (int m = 0; m * (long) chunk(s) < s.querySeqLen(); m++) {
      double c = rows(s, m);
      double d = s.headDim();
      double read = Integer.bitCount(m);
      head += tasks * (c * (c + 1) * (d + 2) + 2 * c * d + read * c * (d + 1) + 2 * c);
      head += c * (c + 1) * dv + read * (2 * c + 1) * d * dv;
      head += last(s, m) ? 0 : (2 * c + 1) * d * dv;
    }
    double bytes = Cost.tensorBytes(s) + perToken(s);
    return new Cost(s.problems() * head, bytes, scratch.bytes());
  }

  private int rows(AttentionShape s, int m) {
    return Math.min(chunk(s), s.querySeqLen() - m * chunk(s));
  }

  private boolean last(AttentionShape s, int m) {
    return (m + 1) * (long) chunk(s) >= s.querySeqLen();
  }

  /// Bytes of decays and scales.
  private double perToken(AttentionShape s) {
    return (double) Float.BYTES * s.problems() * s.querySeqLen() * (1 + levelCount());
  }

  /// Forth as a forward pass whose products have gradients, back once more over the states.
  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    Scratch scratch = Scratch.sizing();
    new LogLinearDifferentiable.Passes(this, s, mask, new Workers(threads), scratch);
    double dv = s.valueDim();
    double d = s.headDim();
    double head = 0;
    for (int m = 0; m * (long) chunk(s) < s.querySeqLen(); m++) {
      double c = rows(s, m);
      double read = Integer.bitCount(m);
      head += c * (c + 1) * (3 * d + 2 * dv + 5) + 4 * c * d;
      head += read * (c * (2 * d * dv + 4 * d) + d * dv);
      head += read * (c * (2 * d * dv + d) + d * dv);
      head += last(s, m) ? 0 : (2 * c + 1) * d * dv + 4 * c * d * dv + 3 * c * d;
      head += 3 * c * d + c * dv;
    }
    return new GradientCost(s.problems() * head, 0, scratch.bytes());
  }
}
