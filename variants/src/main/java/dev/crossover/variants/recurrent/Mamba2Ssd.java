// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Cost;
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
import dev.crossover.attention.tensor.Tensor;
import java.util.List;
import java.util.OptionalInt;

/// Mamba-2's state-space duality as attention: a matrix state that decays by one number per token,
/// read by C (queries), written by B (keys).
///
/// Dao, Gu: "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured
/// State Space Duality", ICML 2024, arXiv:2405.21060, sections 5 and 6, listing 1.
///
/// ```
/// level=head      S_t = exp(a_t) S_{t−1} + k_t v_tᵀ,   out_t = S_tᵀ q_t          no factor, no normaliser
/// level=module    dt  = time_step, or softplus(time_step + time_step_bias)
///                 a_t = dt_t A,   v_t = dt_t x_t
///                 out = (S_tᵀ q_t + D x_t) · silu(z_t)
/// ```
///
/// | paper | here                 | shape                                                |
/// |-------|----------------------|------------------------------------------------------|
/// | C, B  | `q`, `k`             | `[batch, heads, n, d]`; module `[batch, groups, n, d]` |
/// | X     | `v`                  | `[batch, heads, n, dv]`; head level: dt·x already    |
/// | a     | `log_decay`          | `[batch, heads, n]`, head level, drawn as −A·dt      |
/// | Δ     | `time_step`, `time_step_bias` | `[batch, heads, n]`, `[heads]`, module level |
/// | A, D  | `decay_rate`, `skip` | `[heads]`, module level, A drawn from −uniform(1, 16), D = 1 |
/// | z     | `output_gate`        | `[batch, heads, n, dv]`, module level, optional      |
/// | h     | `initial_state`, `final_state` | `[batch, heads, d, dv]`                    |
///
/// Chunks of C rows: `out = eᶜ (Q S) + ((Q Kᵀ) ∘ L) V`, `S ← e^{c_last} S + (e^{c_last − c} K)ᵀ V`
/// with `L_ij = exp(c_i − c_j)`, c the cumulative a of the chunk in double.
///
/// Backward, with G the gradient of S_tᵀq_t, from the last token to the first (appendix of the
/// paper; R starts as the gradient of `final_state`, and `exp(a_1) R_1` is that of
/// `initial_state`):
///
/// ```
/// R_t  = exp(a_{t+1}) R_{t+1} + q_t G_tᵀ
/// dq_t = S_t G_t,   dk_t = R_t v_t,   dv_t = R_tᵀ k_t
/// da_t = Σ_{i ≥ t} (q_i·dq_i − k_i·dk_i) + ⟨S_n, dS_n⟩,  formed from pairs that cross t, without cancellation
/// ```
///
/// At module level then `dx = dt dv + D dy`, `ddt = A da + x·dv` through the softplus, `dA = Σ dt
/// da`, `dD = Σ x·dy`, and the gate: `dy = dout silu(z)`, `dz = dout y (s + z s (1 − s))` with s =
/// σ(z).
///
/// Time `4·n·d·dv + n·C·(d + dv)` per head; memory d·dv per head at work. Causal by construction;
/// any key padding: the time step is 0 at padded positions, whose x reaches their own row only,
/// through the skip. No setting makes it softmax. Convolution before and norm after belong to the
/// layer, not here.
///
/// @param level what the tensors are
/// @param groups module level: heads of q and k, a divisor of the number of heads
/// @param timeStepSoftplus module level: time steps are softplus(time_step + time_step_bias)
/// @param chunkLength rows of a chunk; without effect on the result; absent: 64
@Mechanism(
    name = "mamba2_ssd",
    title = "Mamba-2 (SSD)",
    paper = "Dao, Gu, Transformers are SSMs, ICML 2024",
    arxiv = "2405.21060",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "4 n d²",
    memory = "d²",
    padding = "writes nothing and forgets nothing; its x reaches its own row only",
    exponent = 1,
    bound = "memory as in retention, and the decay factors of every token")
public record Mamba2Ssd(
    @Parameter(value = "core per head, or layer core", defaultValue = "head") Level level,
    @Parameter(value = "module level: heads of q and k", defaultValue = "1") int groups,
    @Parameter(value = "module level: softplus of time_step + bias", defaultValue = "true")
        boolean timeStepSoftplus,
    @Parameter(value = "rows of a chunk, >= 1, no effect on the result", defaultValue = "")
        OptionalInt chunkLength)
    implements MatrixRecurrence {

  /// What the tensors are.
  public enum Level {
    /// Discrete: v is dt·x, `log_decay` is given.
    HEAD,
    /// Time steps, decay rates, skip and gate as in the layer.
    MODULE
  }

  /// Validates groups and chunk length.
  public Mamba2Ssd {
    if (groups < 1) {
      throw new IllegalArgumentException("groups must be >= 1, but was " + groups);
    }
    States.requireChunk(chunkLength);
  }

  /// The core per head.
  public Mamba2Ssd() {
    this(Level.HEAD, 1, true, OptionalInt.empty());
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return level == Level.HEAD ? States.inputs(s, States.logDecayPerToken(s, 1)) : moduleInputs(s);
  }

  private List<TensorSpec> moduleInputs(AttentionShape s) {
    States.requireGroups(name(), s.numHeads(), groups);
    Axis group = Axis.of("groups", groups);
    return List.of(
        TensorSpec.input("q", "C, N(0,1)", Draws::gaussian, s, BATCH, group, KEY, HEAD_DIM),
        TensorSpec.input("k", "B, N(0,1)", Draws::gaussian, s, BATCH, group, KEY, HEAD_DIM),
        TensorSpec.input("v", "x, N(0,1)", Draws::gaussian, s, BATCH, HEADS, KEY, VALUE_DIM),
        TensorSpec.input(
            "time_step",
            "dt log-uniform in [1e-3, 0.1], before the softplus if there is one",
            this::drawTimeSteps,
            s,
            BATCH,
            HEADS,
            KEY),
        TensorSpec.optional(
            "time_step_bias",
            "added before the softplus, N(0,1)/10",
            (seed, shape) -> Draws.gaussian(seed, 0.1, shape),
            s,
            HEADS),
        TensorSpec.parameter(
            "decay_rate",
            "A < 0, -uniform(1, 16)",
            (seed, shape) -> Draws.uniform(seed, -16, -1, shape),
            s,
            HEADS),
        TensorSpec.parameter("skip", "D, 1", (_, shape) -> Draws.constant(1, shape), s, HEADS),
        TensorSpec.optional(
            "output_gate",
            "z, enters as silu, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            HEADS,
            KEY,
            VALUE_DIM),
        States.initialState(s));
  }

  /// Time steps, or what softplus makes them of: log(exp(dt) − 1).
  private Tensor drawTimeSteps(long seed, int... shape) {
    Tensor steps = States.timeSteps(seed, shape);
    float[] data = steps.data();
    for (int i = 0; i < data.length && timeStepSoftplus; i++) {
      data[i] = (float) Math.log(Math.expm1(data[i]));
    }
    return steps;
  }

  /// Heads are those of v; at module level q and k have one per group.
  @Override
  public AttentionShape shapeOf(Tensors inputs) {
    if (level == Level.HEAD) {
      return AttentionInputs.shapeOf(inputs);
    }
    return States.groupedShape(inputs);
  }

  /// At module level a group's q and k are those of its first head.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    if (level == Level.HEAD) {
      return AttentionInputs.complete(this, shape, qkv, seed);
    }
    States.requireGroups(name(), shape.numHeads(), groups);
    return AttentionInputs.complete(this, shape, States.grouped(qkv, groups), seed);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double finishing = level == Level.HEAD ? 0 : 8;
    return RecurrentCost.of(s, mask, threads, rule(s), chunk(s), finishing);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double finishing = level == Level.HEAD ? 0 : 16;
    return RecurrentCost.gradient(s, mask, threads, rule(s), chunk(s), finishing);
  }

  @Override
  public int chunk(AttentionShape s) {
    return chunkLength.orElse(RecurrentPlan.DEFAULT_CHUNK);
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return level == Level.HEAD ? new HeadRule() : new Mamba2Layer(groups, timeStepSoftplus, s);
  }

  /// S_t = exp(a_t) S_{t−1} + k_t v_tᵀ.
  private static final class HeadRule implements UpdateRule {
    private float[] logDecay = new float[0];
    private float[] gradLogDecay = UNWANTED;

    @Override
    public Decay decay() {
      return Decay.TOKEN;
    }

    @Override
    public void bind(BoundTensors inputs) {
      logDecay = inputs.get("log_decay");
    }

    @Override
    public void bindGradients(BoundTensors gradients) {
      gradLogDecay = States.place(gradients, "log_decay");
    }

    @Override
    public float[] gradLogDecays() {
      return gradLogDecay;
    }

    @Override
    public double logDecay(int head, int row) {
      return logDecay[row];
    }
  }
}
