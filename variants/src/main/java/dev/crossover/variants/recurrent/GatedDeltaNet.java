// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.recurrent.UpdateRule;
import dev.crossover.attention.recurrent.UpdateRule.Decay;
import java.util.List;
import java.util.OptionalDouble;

/// Gated DeltaNet: the state first decays by a number per token, then is corrected at the key.
///
/// Yang, Kautz, Hatamizadeh: "Gated Delta Networks: Improving Mamba2 with Delta Rule", ICLR 2025,
/// arXiv:2412.06464, equation (10).
///
/// ```
/// P_t   = exp(g_t) S_{t−1}
/// S_t   = P_t + β_t k_t (v_t − P_tᵀ k_t)ᵀ            the decayed state is what is read for the error
/// out_t = scale S_tᵀ q_t
/// ```
///
/// | paper | here        | shape                                      |
/// |-------|-------------|--------------------------------------------|
/// | Q, K  | `q`, `k`    | `[batch, heads, n, d]`                     |
/// | V     | `v`         | `[batch, heads, n, dv]`                    |
/// | log α | `log_decay` | `[batch, heads, n]`, drawn as in [#inputs] |
/// | β     | `beta`      | `[batch, heads, n]`, drawn as σ(N(0,1))    |
/// | S     | `initial_state`, `final_state` | `[batch, heads, d, dv]` |
///
/// Chunks of C = 64 rows with `D_ij = exp(c_i − c_j)`, c the cumulative g of the chunk:
/// `U = (I + A)⁻¹ β (V − eᶜ K S)` with `A = lower(β (K Kᵀ) ∘ D)` by forward substitution,
/// `out = scale (eᶜ Q S + ((Q Kᵀ) ∘ D) U)`, `S ← e^{c_last} S + (e^{c_last − c} K)ᵀ U`.
///
/// Backward, with G the gradient of `out` and dS that of the state, from the last token to the
/// first (the reverse recurrence; dS starts as the gradient of `final_state` and ends as that of
/// `initial_state`):
///
/// ```
/// dq_t = scale S_t G_t,   dS += scale q_t G_tᵀ
/// w    = dSᵀ k_t,   dβ_t = w·e_t,   dv_t = β_t w
/// dk_t = β_t dS e_t − P_t dv_t,   dP = dS − k_t dv_tᵀ
/// dg_t = ⟨dP, P_t⟩,   dS ← exp(g_t) dP
/// ```
///
/// In chunks the transposed triangular system is solved, `W = (I + A)⁻ᵀ dU` (the gradient of βV),
/// and `dA = −lower(W Uᵀ)`. States before chunks and U are kept.
///
/// Keys are taken as they are: stable for `0 ≤ β|k|² ≤ 2`. Where plain tensors are adapted
/// ([#adapt]), each row of q and k is divided by its length, as the authors' layer does.
///
/// Time `6·n·d·dv + 2·n·C·(d + dv)` per head; memory d·dv per head at work. Causal by
/// construction; any key padding: the state passes padded positions unchanged. No setting makes it
/// softmax; g = 0 is DeltaNet.
///
/// @param scale factor on q; absent: 1/√d
@Mechanism(
    name = "gated_deltanet",
    title = "Gated DeltaNet",
    paper = "Yang, Kautz, Hatamizadeh, Gated Delta Networks, ICLR 2025",
    arxiv = "2412.06464",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "6 n d²",
    memory = "d²",
    padding = "writes nothing and forgets nothing",
    exponent = 1,
    bound = "products at 55 % of the peak; decay factors, copies and memory take the rest",
    differences =
        @Mechanism.Difference(
            what = "scale",
            paper = "none",
            code = "1/sqrt(d) on q",
            paperOption = "scale=1",
            codeOption = "",
            defaultIs = "the code's; the norm after the layer removes any factor",
            test = "GatedDeltaNetTest.scaleIsAFactorOfTheOutput"))
public record GatedDeltaNet(
    @Parameter(value = "factor on q; absent: 1/sqrt(d)", defaultValue = "") OptionalDouble scale)
    implements MatrixRecurrence {

  /// With the factor 1/√d.
  public GatedDeltaNet() {
    this(OptionalDouble.empty());
  }

  /// `log_decay` is drawn as −A·dt with A uniform in (0, 16) per element and dt log-uniform in
  /// [1e-3, 0.1], the authors' initialisation.
  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return States.inputs(s, States.beta(s), States.logDecayPerToken(s, 0));
  }

  /// With rows of q and k divided by their lengths, and β and g drawn.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    return States.adaptNormalised(this, shape, qkv, seed);
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return new DeltaRule(Decay.TOKEN, scale.orElse(Attention.defaultScale(s)), 1);
  }
}
