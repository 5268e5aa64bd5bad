// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;

import dev.crossover.attention.Attention;
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
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import java.util.ArrayList;
import java.util.List;

/// Causal attention through a short extra sequence: its weights of every token so far are summed up
/// with the tokens' keys and values, and a query reads the sums.
///
/// Ma, Kong, Wang, Zhou, May, Ma and Zettlemoyer, "Luna: Linear Unified Nested Attention", NeurIPS
/// 2021, arXiv:2106.01540, causal form, equations (8) to (11). The form without order packs rows of
/// model width before there are heads: it belongs to the layer, `layer/luna` of models.
///
/// ```
/// A_t = ω(K_t pᵀ / √d)
/// f(X, Y, Z)_t = X_t · mean_{j ≤ t} Y_jᵀ Z_j
/// B = softmax(f(q / √d, k, A)),   out = f(B, A, v)
/// ```
///
/// | paper        | here              | shape                             |
/// |--------------|-------------------|-----------------------------------|
/// | X W_q, C W_k, C W_v | `q`, `k`, `v` | `[batch, heads, n, d]`, v of width dv |
/// | C W_pc       | K, `pack_keys`    | `[batch, heads, nk, d]`           |
/// | P W_pq       | p, `pack`         | `[batch, heads, pack_length, d]`  |
///
/// Time `10·n·l·d` and `4·n·C·d` inside chunks of C = 64 per head; scratch the states, `2·l·d` per
/// thread. Padded tokens add nothing and do not count in the means (the authors' code ignores its
/// mask there). A row attends to the tokens its offset allows. Does not reduce to softmax attention
/// for any pack_length.
///
/// Backward, derived from the equations, c = 1/√d:
///
/// ```
/// r_t = 1/t, c = 1/√d, Ê_t = c r_t B_t ∘ (∂B_t − ⟨∂B_t, B_t⟩), ∂B_t = r_t ∂y_t (Σ_{j≤t} A_jᵀ v_j)ᵀ
/// ∂q_t = Ê_t (Σ_{j≤t} k_jᵀ A_j)ᵀ      ∂k_j = A_j (Σ_{t≥j} q_tᵀ Ê_t)ᵀ      ∂v_j = A_j Σ_{t≥j} r_t B_tᵀ ∂y_t
/// ∂A_j = v_j (Σ_{t≥j} r_t B_tᵀ ∂y_t)ᵀ + k_j Σ_{t≥j} q_tᵀ Ê_t      ∂a = ∂A ∘ ω'(a)
/// ∂K_p = c ∂a p_q      ∂p_q = c ∂aᵀ K_p
/// ```
///
/// Counts of tokens are constants.
///
/// @param packLength l, at least 1
/// @param activation ω
@Mechanism(
    name = "luna",
    goldenLevels = "head",
    title = "Luna",
    paper = "Ma et al., Luna: Linear Unified Nested Attention, NeurIPS 2021",
    arxiv = "2106.01540",
    family = Mechanism.Family.LOW_RANK,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no pack_length gives softmax attention",
    time = "10 n l d",
    memory = "2 l d",
    exponent = 1,
    differences = {
      @Mechanism.Difference(
          what = "activation of the pack weights in the causal form",
          paper = "elu + 1",
          code = "log2(1 + 2^a)",
          paperOption = "activation=elu_plus_one",
          codeOption = "activation=softplus2",
          defaultIs = "the code's, because published results were made with it",
          test = "LunaTest.activationsDifferInTheCausalForm")
    })
public record Luna(
    @Knob(
            values = {16, 32, 64, 128},
            costs = "pack length l: 10 n l d")
        @Parameter(value = "length l of the extra sequence, >= 1", defaultValue = "16")
        int packLength,
    @Parameter(value = "pack weights", defaultValue = "softplus2") Activation activation)
    implements Attention {

  /// ω.
  public enum Activation {
    /// log2(1 + 2^a).
    SOFTPLUS2,
    /// elu(a) + 1.
    ELU_PLUS_ONE
  }

  /// Validates the pack length.
  public Luna {
    if (packLength < 1) {
      throw new IllegalArgumentException("pack_length must be >= 1, but was " + packLength);
    }
  }

  /// The authors' activation.
  public Luna(int packLength) {
    this(packLength, Activation.SOFTPLUS2);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.ALWAYS)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .valueDim(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.input("pack_keys", "N(0,1)", Draws::gaussian, s, BATCH, HEADS, KEY, HEAD_DIM));
    specs.add(
        TensorSpec.input(
            "pack",
            "N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            HEADS,
            Axis.of("packed", packLength),
            HEAD_DIM));
    return List.copyOf(specs);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    return new Cost(
        flops(packLength, s, s.headDim(), s.valueDim()),
        Cost.tensorBytes(s),
        threads * LunaChunk.bytes(packLength, s.headDim(), s.valueDim()));
  }

  /// Counted work of all heads.
  ///
  /// @param l length of the packed sequence
  /// @param s the problem
  /// @param d width of a head's queries and keys
  /// @param dv width of a head's values
  public static double flops(int l, AttentionShape s, int d, int dv) {
    double nq = s.querySeqLen();
    double nk = s.keySeqLen();
    double chunk = LunaChunk.ROWS;
    return s.problems()
        * (nk * l * (4.0 * d + 2.0 * dv + 5)
            + nq * (l * (2.0 * d + 2.0 * dv + 5) + chunk * (2.0 * d + 3.0 * l + dv)));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new LunaPlan(this, request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new LunaDifferentiable(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return LunaDifferentiable.cost(this, s, mask, threads);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new LunaSession(this, shape);
  }
}
