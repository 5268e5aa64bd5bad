// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.recurrent.RecurrentPlan;
import dev.crossover.attention.recurrent.UpdateRule;
import java.util.List;
import java.util.OptionalInt;

/// Mamba-2's state-space duality as attention: a matrix state that decays by one number per token,
/// read by C (queries), written by B (keys).
///
/// Dao, Gu: "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured
/// State Space Duality", ICML 2024, arXiv:2405.21060, sections 5 and 6, listing 1.
///
/// ```
/// S_t = exp(a_t) S_{t−1} + k_t v_tᵀ,   out_t = S_tᵀ q_t          no factor, no normaliser
/// ```
///
/// | paper | here                 | shape                                                |
/// |-------|----------------------|------------------------------------------------------|
/// | C, B  | `q`, `k`             | `[batch, heads, n, d]`                               |
/// | dt·X  | `v`                  | `[batch, heads, n, dv]`                              |
/// | a     | `log_decay`          | `[batch, heads, n]`, drawn as −A·dt                  |
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
/// Time `4·n·d·dv + n·C·(d + dv)` per head; memory d·dv per head at work. Causal by construction;
/// any key padding. No setting makes it softmax. Time steps, groups, skip and gate are those of the
/// layer `layer/mamba2`, convolution and norm of models.
///
/// @param chunkLength rows of a chunk; without effect on the result; absent: 64
@Mechanism(
    name = "mamba2_ssd",
    goldenLevels = {"head", ""},
    title = "Mamba-2 (SSD)",
    paper = "Dao, Gu, Transformers are SSMs, ICML 2024",
    arxiv = "2405.21060",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "4 n d²",
    memory = "d²",
    padding = "writes nothing and forgets nothing",
    exponent = 1,
    bound = "memory as in retention, and the decay factors of every token")
public record Mamba2Ssd(
    @Parameter(value = "rows of a chunk, >= 1, no effect on the result", defaultValue = "")
        OptionalInt chunkLength)
    implements MatrixRecurrence {

  /// Validates the chunk length.
  public Mamba2Ssd {
    States.requireChunk(chunkLength);
  }

  /// Chunks of 64 rows.
  public Mamba2Ssd() {
    this(OptionalInt.empty());
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return States.inputs(s, States.logDecayPerToken(s, 1));
  }

  @Override
  public int chunk(AttentionShape s) {
    return chunkLength.orElse(RecurrentPlan.DEFAULT_CHUNK);
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return new HeadRule();
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
