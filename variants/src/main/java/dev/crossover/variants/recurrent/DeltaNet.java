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

/// DeltaNet: linear attention that corrects what the state holds at a key instead of adding to it.
///
/// Yang, Wang, Zhang, Shen, Kim: "Parallelizing Linear Transformers with the Delta Rule over
/// Sequence Length", NeurIPS 2024, arXiv:2406.06484; the rule is that of Schlag, Irie, Schmidhuber
/// 2021, arXiv:2102.11174.
///
/// ```
/// e_t   = v_t − S_{t−1}ᵀ k_t                 what the state gets wrong at k_t
/// S_t   = S_{t−1} + β_t k_t e_tᵀ
/// out_t = scale S_tᵀ q_t
/// ```
///
/// | paper | here     | shape                                         |
/// |-------|----------|-----------------------------------------------|
/// | Q, K  | `q`, `k` | `[batch, heads, n, d]`                        |
/// | V     | `v`      | `[batch, heads, n, dv]`                       |
/// | β     | `beta`   | `[batch, heads, n]`, drawn as σ(N(0,1))       |
/// | S     | `initial_state`, `final_state` | `[batch, heads, d, dv]` |
///
/// Chunks of C rows: `U = (I + A)⁻¹ β (V − K S)` with `A = lower(β K Kᵀ)` by forward substitution
/// in blocks of 16 rows, then `out = scale (Q S + lower(Q Kᵀ) U)` and `S ← S + Kᵀ U`.
///
/// Backward, with G the gradient of `out` and dS that of the state, from the last token to the
/// first (the reverse recurrence; dS starts as the gradient of `final_state` and ends as that of
/// `initial_state`):
///
/// ```
/// dq_t = scale S_t G_t,   dS += scale q_t G_tᵀ
/// w    = dSᵀ k_t,   dβ_t = w·e_t,   dv_t = β_t w
/// dk_t = β_t dS e_t − S_{t−1} dv_t,   dS −= k_t dv_tᵀ
/// ```
///
/// In chunks the transposed triangular system is solved, `W = (I + A)⁻ᵀ dU` (the gradient of βV),
/// and `dA = −lower(W Uᵀ)`. States before chunks and U are kept.
///
/// Keys are taken as they are: the recurrence is stable for `0 ≤ β|k|² ≤ 2`. A β of up to 2 gives
/// negative eigenvalues (Grazzi et al., arXiv:2411.12537): at β = 2 a step is a reflection. Where
/// plain tensors are adapted ([#adapt]), each row of q and k is divided by its length, as the
/// paper's layer does.
///
/// Time `6·n·d·dv + 2·n·C·(d + dv)` per head; memory d·dv per head at work. Causal by
/// construction; any key padding: nothing is written at padded positions. No setting makes it
/// softmax.
///
/// @param scale factor on q; absent: 1/√d
/// @param chunkLength rows of a chunk; without effect on the result; absent: 64
@Mechanism(
    name = "deltanet",
    title = "DeltaNet",
    paper = "Yang et al., Parallelizing Linear Transformers with the Delta Rule, NeurIPS 2024",
    arxiv = "2406.06484",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "6 n d²",
    memory = "d²",
    padding = "writes nothing",
    exponent = 1,
    bound = "products at 60 % of the peak; copies and memory take the rest",
    differences =
        @Mechanism.Difference(
            what = "scale",
            paper = "none",
            code = "1/sqrt(d) on q",
            paperOption = "scale=1",
            codeOption = "",
            defaultIs = "the code's; the norm after the layer removes any factor",
            test = "DeltaNetTest.scaleIsAFactorOfTheOutput"))
public record DeltaNet(
    @Parameter(value = "factor on q; absent: 1/sqrt(d)", defaultValue = "") OptionalDouble scale,
    @Parameter(value = "rows of a chunk, >= 1, no effect on the result", defaultValue = "")
        OptionalInt chunkLength)
    implements MatrixRecurrence {

  /// Validates the chunk length.
  public DeltaNet {
    States.requireChunk(chunkLength);
  }

  /// With the factor 1/√d and the fastest chunk length.
  public DeltaNet() {
    this(OptionalDouble.empty(), OptionalInt.empty());
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return States.inputs(s, States.beta(s));
  }

  /// With rows of q and k divided by their lengths, and β drawn.
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
    return new DeltaRule(Decay.NONE, scale.orElse(Attention.defaultScale(s)), 1);
  }
}
