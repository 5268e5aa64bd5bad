// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.recurrent.RecurrentPlan;
import dev.crossover.attention.recurrent.UpdateRule;
import dev.crossover.attention.recurrent.UpdateRule.Decay;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Kimi Delta Attention: Gated DeltaNet whose state decays by a number of its own in every channel
/// of the keys.
///
/// Kimi Team: "Kimi Linear: An Expressive, Efficient Attention Architecture", 2025,
/// arXiv:2510.26692; code in flash-linear-attention, ops/kda.
///
/// ```
/// P_t   = diag(exp g_t) S_{t−1}
/// S_t   = P_t + β_t k_t (v_t − P_tᵀ k_t)ᵀ            the decayed state is what is read for the error
/// out_t = scale S_tᵀ q_t
/// ```
///
/// | paper | here        | shape                                            |
/// |-------|-------------|--------------------------------------------------|
/// | Q, K  | `q`, `k`    | `[batch, heads, n, d]`                           |
/// | V     | `v`         | `[batch, heads, n, dv]`                          |
/// | log α | `log_decay` | `[batch, heads, n, d]`, drawn as in [#inputs]    |
/// | β     | `beta`      | `[batch, heads, n]`, drawn as σ(N(0,1)), up to 2 |
/// | S     | `initial_state`, `final_state` | `[batch, heads, d, dv]`       |
///
/// Chunks of C rows with c the cumulative g of the chunk and products `⟨x_i, k_j⟩_D = Σ_a x_ia k_ja
/// exp(c_ia − c_ja)`, relative to anchors so that nothing overflows: `U = (I + A)⁻¹ β (V − (eᶜ K)
/// S)` with `A_ij = β_i ⟨k_i, k_j⟩_D` below the diagonal, `out = scale ((eᶜ Q) S + lower(⟨q_i,
/// k_j⟩_D) U)`, `S ← diag(e^{c_last}) S + (e^{c_last − c} K)ᵀ U`.
///
/// Backward, with G the gradient of `out` and dS that of the state, from the last token to the
/// first (the reverse recurrence; dS starts as the gradient of `final_state` and ends as that of
/// `initial_state`):
///
/// ```
/// dq_t = scale S_t G_t,   dS += scale q_t G_tᵀ
/// w    = dSᵀ k_t,   dβ_t = w·e_t,   dv_t = β_t w
/// dk_t = β_t dS e_t − P_t dv_t,   dP = dS − k_t dv_tᵀ
/// dg_t = rows of ⟨dP, P_t⟩,   dS ← diag(exp g_t) dP
/// ```
///
/// In chunks the transposed triangular system is solved, and dg is a sum over the chunk as in GLA.
/// States before chunks and U are kept.
///
/// Keys are taken as they are: stable for `0 ≤ β|k|² ≤ 2`. Where plain tensors are adapted
/// ([#adapt]), each row of q and k is divided by its length, as the authors' layer does.
///
/// Time `6·n·d·dv + 2·n·C·(d + dv)` and 2·n·d exponentials per head; memory d·dv per head at work.
/// Causal by construction; any key padding: the state passes padded positions unchanged. No setting
/// makes it softmax; equal decays in all channels are Gated DeltaNet.
///
/// @param scale factor on q; absent: 1/√d
/// @param chunkLength rows of a chunk; without effect on the result; absent: 64
@Mechanism(
    name = "kda",
    title = "Kimi Delta Attention",
    paper = "Kimi Team, Kimi Linear, 2025",
    arxiv = "2510.26692",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "6 n d²",
    memory = "d²",
    exponent = 1)
public record Kda(
    @Parameter(value = "factor on q; absent: 1/sqrt(d)", defaultValue = "") OptionalDouble scale,
    @Parameter(value = "rows of a chunk, >= 1, no effect on the result", defaultValue = "")
        OptionalInt chunkLength)
    implements MatrixRecurrence {

  /// Validates the chunk length.
  public Kda {
    States.requireChunk(chunkLength);
  }

  /// With the factor 1/√d and the fastest chunk length.
  public Kda() {
    this(OptionalDouble.empty(), OptionalInt.empty());
  }

  /// `log_decay` is drawn as −A·dt with A uniform in (0, 16) and dt log-uniform in [1e-3, 0.1] per
  /// element.
  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return States.inputs(s, States.beta(s), States.logDecayPerChannel(s));
  }

  /// With rows of q and k divided by their lengths, and β and g drawn.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    return States.adaptNormalised(this, shape, qkv, seed);
  }

  @Override
  public int chunk(AttentionShape s) {
    return chunkLength.orElse(RecurrentPlan.DEFAULT_CHUNK);
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return new DeltaRule(Decay.CHANNEL, scale.orElse(Attention.defaultScale(s)), 1);
  }
}
