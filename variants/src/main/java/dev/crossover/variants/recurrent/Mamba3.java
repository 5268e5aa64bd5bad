// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Cost;
import dev.crossover.attention.FittedAttention;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.recurrent.RecurrentCost;
import dev.crossover.attention.recurrent.RecurrentPlan;
import dev.crossover.attention.recurrent.UpdateRule;
import java.util.List;
import java.util.OptionalInt;

/// Mamba-3, one input and one output per head (SISO): a state that is written by the trapezoidal
/// rule, two inputs per step, and read and written in a frame that turns with the data.
///
/// Lahoti, Li, Chen et al.: "Mamba-3: Improved Sequence Modeling using State Space Principles",
/// ICLR 2026, arXiv:2603.15569; code in state-spaces/mamba, mamba3_siso_step_ref.
///
/// ```
/// θ_t   = Σ_{u ≤ t} π tanh(angles_u) dt_u
/// q_t  ← R(θ_t) (q_t + query_bias),   k_t ← R(θ_t) (k_t + key_bias)      pairs (2a, 2a + 1), a < A
/// λ_t   = σ(trapezoid_t),   α_t = exp(log_decay_t)
/// S_t   = α_t S_{t−1} + (1 − λ_t) dt_t α_t k_{t−1} v_{t−1}ᵀ + λ_t dt_t k_t v_tᵀ
/// out_t = (S_tᵀ q_t + D v_t) · silu(z_t)
/// ```
///
/// | paper | here                 | shape                                            |
/// |-------|----------------------|--------------------------------------------------|
/// | C, B  | `q`, `k`             | `[batch, groups, n, d]`                          |
/// | x     | `v`                  | `[batch, heads, n, dv]`                          |
/// | A Δ   | `log_decay`          | `[batch, heads, n]`, drawn as in [#inputs]       |
/// | Δ     | `time_step`          | `[batch, heads, n]`, positive                    |
/// | λ     | `trapezoid`          | `[batch, heads, n]`, before the sigmoid          |
/// | θ     | `angles`             | `[batch, heads, n, A]`, before tanh, 2 A ≤ d     |
/// | –     | `query_bias`, `key_bias` | `[heads, d]`, ones if absent                 |
/// | D, z  | `skip`, `output_gate` | `[heads]`, `[batch, heads, n, dv]`, optional    |
/// | h     | `final_state`        | `[batch, heads, d, dv]`, in the turned frame     |
///
/// Chunks of C rows: with w_j = λ_j dt_j + (1 − λ_{j+1}) dt_{j+1}, `S_t = Σ_{j<t} exp(c_t − c_j)
/// w_j k_j v_jᵀ + λ_t dt_t k_t v_tᵀ`, so that it is Mamba-2 over shifted inputs except on the
/// diagonal. Nothing of the next token reaches a row.
///
/// Backward, with G the gradient of S_tᵀq_t and dS that of the state, from the last token to the
/// first (the reverse recurrence; dS starts as the gradient of `final_state`), β and γ the factors
/// of the two inputs, u_t = β_t/α_t:
///
/// ```
/// dq_t = S_t G_t,   dS += q_t G_tᵀ,   dγ_t = k_t·dS v_t,   du_t = α_t k_{t−1}·dS v_{t−1}
/// dk_t += γ_t dS v_t,   dk_{t−1} += β_t dS v_{t−1},   dv likewise with dSᵀ k
/// dlog_decay_t = α_t ⟨dS, S_{t−1} + u_t k_{t−1} v_{t−1}ᵀ⟩,   dS ← α_t dS
/// dθ_t,a = Σ over q, k of (d_odd x_even − d_even x_odd),   E = Σ_{u ≥ t} dθ_u
/// dangles_t = π (1 − tanh²) dt_t E,   ddt_t = π Σ_a tanh(angles) E + λ dγ + (1 − λ) du
/// dtrapezoid_t = λ (1 − λ) dt_t (dγ − du)
/// ```
///
/// dq and dk turned back are the gradients of `q`, `k` and of the biases; skip and gate as in
/// [Mamba2Ssd]. States before chunks are kept.
///
/// Time `4·n·d·dv + n·C·(d + dv)` per head; memory d·dv per head and cos θ, sin θ of every token.
/// Causal by construction; any key padding: at padded positions time step and decay are 0 and
/// nothing is written, also not when the next token comes; skip and gate act there as everywhere.
/// A session keeps S, the last key and value, and θ. No factor, no normaliser; no setting makes it
/// softmax. λ = 1 without angles and biases is Mamba-2.
///
/// The paper speaks of an exponential-trapezoidal step. The code bounds angles by π tanh and
/// reduces their sum modulo 2π at every step, as here, there in float32. Convolution-free; norms of
/// B and C and the several-input form (MIMO) belong to the layer, not here.
///
/// @param groups heads of q and k, a divisor of the number of heads
/// @param rotatedPairs pairs of features that turn A; absent: those of `angles` where it is at
///     hand, otherwise d/4, at least one if there is a pair
/// @param chunkLength rows of a chunk; without effect on the result; absent: 64
@Mechanism(
    name = "mamba3",
    title = "Mamba-3 (SISO)",
    paper = "Lahoti, Li, Chen et al., Mamba-3, ICLR 2026",
    arxiv = "2603.15569",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "4 n d²",
    memory = "d² + 2 n A",
    padding = "writes nothing, forgets and turns nothing; its v reaches its own row only",
    exponent = 1)
public record Mamba3(
    @Parameter(value = "heads of q and k", defaultValue = "1") int groups,
    @Parameter(
            value = "pairs A of features that turn, >= 0; absent: those of angles, or d/4",
            defaultValue = "")
        OptionalInt rotatedPairs,
    @Parameter(value = "rows of a chunk, >= 1, no effect on the result", defaultValue = "")
        OptionalInt chunkLength)
    implements MatrixRecurrence, FittedAttention {

  /// Validates groups, pairs and chunk length.
  public Mamba3 {
    if (groups < 1) {
      throw new IllegalArgumentException("groups must be >= 1, but was " + groups);
    }
    if (rotatedPairs.isPresent() && rotatedPairs.getAsInt() < 0) {
      throw new IllegalArgumentException(
          "rotated_pairs must be >= 0, but was " + rotatedPairs.getAsInt());
    }
    States.requireChunk(chunkLength);
  }

  /// One group, a quarter of the features as pairs.
  public Mamba3() {
    this(1, OptionalInt.empty(), OptionalInt.empty());
  }

  /// `time_step` is drawn log-uniform in [1e-3, 0.1], `log_decay` as −A·dt with A uniform in (1,
  /// 16).
  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    States.requireGroups(name(), s.numHeads(), groups);
    Axis group = Axis.of("groups", groups);
    return List.of(
        TensorSpec.input("q", "C, N(0,1)", Draws::gaussian, s, BATCH, group, KEY, HEAD_DIM),
        TensorSpec.input("k", "B, N(0,1)", Draws::gaussian, s, BATCH, group, KEY, HEAD_DIM),
        TensorSpec.input("v", "x, N(0,1)", Draws::gaussian, s, BATCH, HEADS, KEY, VALUE_DIM),
        States.logDecayPerToken(s, 1),
        TensorSpec.input(
            "time_step",
            "dt > 0, log-uniform in [1e-3, 0.1]",
            States::timeSteps,
            s,
            BATCH,
            HEADS,
            KEY),
        TensorSpec.input(
            "trapezoid",
            "step mixture before the sigmoid, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            HEADS,
            KEY),
        TensorSpec.input(
            "angles",
            "before tanh, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            HEADS,
            KEY,
            Axis.of("angles", pairs(s.headDim()))),
        TensorSpec.parameter(
            "query_bias",
            "added to q, 1",
            (_, shape) -> Draws.constant(1, shape),
            s,
            HEADS,
            HEAD_DIM),
        TensorSpec.parameter(
            "key_bias",
            "added to k, 1",
            (_, shape) -> Draws.constant(1, shape),
            s,
            HEADS,
            HEAD_DIM),
        TensorSpec.optional("skip", "D, N(0,1)", Draws::gaussian, s, HEADS),
        TensorSpec.optional(
            "output_gate",
            "z, enters as silu, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            HEADS,
            KEY,
            VALUE_DIM));
  }

  private int pairs(int d) {
    int pairs = rotatedPairs.orElse(Math.max(d / 4, Math.min(1, d / 2)));
    if (2 * pairs > d) {
      throw new IllegalArgumentException(
          "mamba3: rotated_pairs must be at most headDim / 2 (" + d / 2 + "), but was " + pairs);
    }
    return pairs;
  }

  /// With the pairs that `angles` has.
  @Override
  public Attention fittedTo(Tensors inputs) {
    if (rotatedPairs.isPresent() || !inputs.has("angles") || inputs.get("angles").rank() != 4) {
      return this;
    }
    return new Mamba3(groups, OptionalInt.of(inputs.get("angles").extent(3)), chunkLength);
  }

  /// Heads are those of v; q and k have one per group.
  @Override
  public AttentionShape shapeOf(Tensors inputs) {
    return States.groupedShape(inputs);
  }

  /// A group's q and k are those of its first head.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    States.requireGroups(name(), shape.numHeads(), groups);
    return AttentionInputs.complete(this, shape, States.grouped(qkv, groups), seed);
  }

  @Override
  public int chunk(AttentionShape s) {
    return chunkLength.orElse(RecurrentPlan.DEFAULT_CHUNK);
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return new Mamba3Rule(groups, pairs(s.headDim()), s);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    return RecurrentCost.of(s, mask, threads, rule(s), chunk(s), 8 + forming(s));
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return RecurrentCost.gradient(s, mask, threads, rule(s), chunk(s), 16 + 4 * forming(s));
  }

  /// Operations per output element that bias and turn q and k.
  private double forming(AttentionShape s) {
    return (2.0 * s.headDim() + 17.0 * pairs(s.headDim())) / s.valueDim();
  }
}
