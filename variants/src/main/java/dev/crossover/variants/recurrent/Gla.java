// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.recurrent.UpdateRule;
import java.util.List;
import java.util.OptionalDouble;

/// Gated linear attention: every token decays every row of the state by a gate of its own.
///
/// Yang, Wang, Shen, Panda, Kim: "Gated Linear Attention Transformers with Hardware-Efficient
/// Training", ICML 2024, arXiv:2312.06635, equations (3) and (4), section 4.
///
/// ```
/// S_t   = diag(exp g_t) S_{t−1} + k_t v_tᵀ
/// out_t = scale q_t S_t
/// ```
///
/// | paper | here        | shape                                       |
/// |-------|-------------|---------------------------------------------|
/// | Q, K  | `q`, `k`    | `[batch, heads, n, d]`                      |
/// | V     | `v`         | `[batch, heads, n, dv]`                     |
/// | log α | `log_decay` | `[batch, heads, n, d]`, drawn as log σ(N(0,1))/16 |
/// | S     | `initial_state`, `final_state` | `[batch, heads, d, dv]`  |
///
/// Chunks of C = 64 rows; inside one, gates enter the products relative to anchors close enough
/// that nothing overflows: mild gates need one anchor per chunk, strong ones fall back to
/// sub-chunks of 16 rows and smaller.
///
/// Backward, with G the gradient of `out` and R_t that of S_t, from the last token to the first
/// (section 4 and appendix of the paper; R starts as the gradient of `final_state`):
///
/// ```
/// R_t  = diag(exp g_{t+1}) R_{t+1} + scale q_t G_tᵀ
/// dq_t = scale S_t G_t,   dk_t = R_t v_t,   dv_t = R_tᵀ k_t
/// dg_t = Σ_{i ≥ t} (q_i ∘ dq_i − k_i ∘ dk_i) + rows of ⟨S_n, dS_n⟩
/// ```
///
/// and `diag(exp g_1) R_1` is the gradient of `initial_state`. The sums of dg run over a chunk,
/// with the state after it in place of S_n. States are kept before each chunk.
///
/// Time `4·n·d·dv + n·C·(d + dv)` and 2·n·d exponentials per head; memory d·dv per head at
/// work. Causal by construction; any key padding: the state passes padded positions unchanged. No
/// setting makes it softmax; gates 0 are linear attention without feature map.
///
/// @param scale factor on q; absent: 1/√d
@Mechanism(
    name = "gla",
    title = "Gated Linear Attention",
    paper = "Yang et al., Gated Linear Attention Transformers, ICML 2024",
    arxiv = "2312.06635",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "4 n d²",
    memory = "d²",
    padding = "writes nothing and forgets nothing",
    exponent = 1,
    bound =
        "exponentials and cumulative sums of gates beside products of width 64, and a "
            + "fourth tensor from memory",
    differences =
        @Mechanism.Difference(
            what = "scale",
            paper = "not in the recurrence",
            code = "1/sqrt(d) on q",
            paperOption = "scale=1",
            codeOption = "",
            defaultIs = "the code's; the norm after the layer removes any factor",
            test = "GlaTest.scaleIsAFactorOfTheOutput"))
public record Gla(
    @Parameter(value = "factor on q; absent: 1/sqrt(d)", defaultValue = "") OptionalDouble scale)
    implements MatrixRecurrence {
  private static final double TAU = 16;

  /// With the factor 1/√d.
  public Gla() {
    this(OptionalDouble.empty());
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return States.inputs(
        s,
        TensorSpec.input(
            "log_decay",
            "log forget gates, <= 0, log sigmoid(N(0,1)) / 16",
            (seed, shape) -> States.logSigmoid(seed, TAU, shape),
            s,
            BATCH,
            HEADS,
            KEY,
            HEAD_DIM));
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return new Rule(scale.orElse(Attention.defaultScale(s)));
  }

  /// S_t = diag(exp g_t) S_{t−1} + k_t v_tᵀ.
  private static final class Rule implements UpdateRule {
    private final double scale;
    private float[] logDecay = new float[0];
    private float[] gradLogDecay = UNWANTED;

    Rule(double scale) {
      this.scale = scale;
    }

    @Override
    public Decay decay() {
      return Decay.CHANNEL;
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
    public double scale() {
      return scale;
    }

    @Override
    public float[] logDecays() {
      return logDecay;
    }
  }
}
