// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.HEADS;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.recurrent.UpdateRule;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;

/// Lightning Attention-2: linear attention with a fixed exponential decay, computed in tiles: the
/// quadratic rule inside a block of rows, a matrix state between blocks.
///
/// Qin, Sun, Li, Shen, Sun, Zhong: "Lightning Attention-2: A Free Lunch for Handling Unlimited
/// Sequence Lengths in Large Language Models", 2024, arXiv:2401.04658, algorithm 1.
///
/// ```
/// λ     = exp(−slope)
/// out_i = Σ_{j ≤ i} λ^(i−j) (q_i·k_j) v_j             no factor, no normaliser
/// S_t   = λ S_{t−1} + k_t v_tᵀ,   out_t = q_t S_t
/// ```
///
/// | paper   | here     | shape                               |
/// |---------|----------|-------------------------------------|
/// | Q, K    | `q`, `k` | `[batch, heads, n, d]`              |
/// | V       | `v`      | `[batch, heads, n, dv]`             |
/// | λ       | `slopes` | `[heads]`, drawn as [#slopes] says  |
/// | KV      | `initial_state`, `final_state` | `[batch, heads, d, dv]` |
///
/// Backward, with G the gradient of `out`, from the last token to the first (the same tiles in
/// reverse, algorithm 2; R starts as the gradient of `final_state`, and λR_1 is that of
/// `initial_state`):
///
/// ```
/// R_t    = λ R_{t+1} + q_t G_tᵀ
/// dq_t   = S_t G_t,   dk_t = R_t v_t,   dv_t = R_tᵀ k_t
/// dslope = −λ Σ_t ⟨R_t, S_{t−1}⟩
/// ```
///
/// The authors' slopes are constants; their gradient is formed where it is asked for, from powers
/// of λ differentiated one by one.
///
/// Time `4·n·d·dv + n·C·(d + dv)` per head in blocks of C = 64 rows; memory d·dv per head at
/// work. Causal by construction; any key padding: padded keys write nothing, the decay goes on. No
/// setting makes it softmax; slope 0 is linear attention without feature map.
///
/// @param slopeSchedule how slopes are drawn where they are not given
@Mechanism(
    name = "lightning_attention2",
    title = "Lightning Attention-2",
    paper = "Qin et al., Lightning Attention-2, 2024",
    arxiv = "2401.04658",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; tiled and recurrent form are equal",
    time = "4 n d²",
    memory = "d²",
    padding = "writes nothing; the decay goes on",
    exponent = 1,
    bound = "memory: 75 % of the peak while tensors stay in the cache, near 50 % at n = " + "8192",
    differences =
        @Mechanism.Difference(
            what = "slopes of the heads",
            paper = "8h/H in the first layer, linear in the head (TransNormerLLM, 2307.14995)",
            code = "ALiBi's geometric slopes",
            paperOption = "slope_schedule=linear",
            codeOption = "slope_schedule=geometric",
            defaultIs = "the code's; any others are given as the tensor slopes",
            test = "LightningAttention2Test.slopesAreTheReleasedOnes"))
public record LightningAttention2(
    @Parameter(value = "slopes of the heads, where not given", defaultValue = "geometric")
        SlopeSchedule slopeSchedule)
    implements MatrixRecurrence {

  /// Schedules of slopes over heads.
  public enum SlopeSchedule {
    /// ALiBi's, as in the authors' code.
    GEOMETRIC,
    /// `8h/H`, the paper's for the first layer: head 0 never forgets.
    LINEAR
  }

  /// With the released slopes.
  public LightningAttention2() {
    this(SlopeSchedule.GEOMETRIC);
  }

  private Tensor drawSlopes(int heads) {
    if (slopeSchedule == SlopeSchedule.GEOMETRIC) {
      return slopes(heads);
    }
    Tensor slopes = Tensor.zeros(heads);
    for (int h = 0; h < heads; h++) {
      slopes.data()[h] = 8f * h / heads;
    }
    return slopes;
  }

  /// The released slopes: for H a power of two `2^(−8(h+1)/H)`; otherwise those of the largest
  /// power of two P below H, followed by entries 0, 2, 4, … of the list for 2P.
  static Tensor slopes(int heads) {
    Tensor slopes = Tensor.zeros(heads);
    int power = Integer.highestOneBit(heads);
    for (int h = 0; h < heads; h++) {
      double exponent = h < power ? (h + 1.0) / power : (2 * (h - power) + 1.0) / (2 * power);
      slopes.data()[h] = (float) Math.pow(2, -8 * exponent);
    }
    return slopes;
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return States.inputs(
        s,
        TensorSpec.parameter(
            "slopes",
            "−log λ per head, >= 0, by slope_schedule",
            (_, shape) -> drawSlopes(shape[0]),
            s,
            HEADS));
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return new Rule();
  }

  /// S_t = exp(−slope) S_{t−1} + k_t v_tᵀ.
  private static final class Rule implements UpdateRule {
    private float[] slopes = new float[0];
    private float[] gradSlopes = UNWANTED;

    @Override
    public Decay decay() {
      return Decay.CONSTANT;
    }

    @Override
    public void bind(BoundTensors inputs) {
      slopes = inputs.get("slopes");
    }

    @Override
    public void bindGradients(BoundTensors gradients) {
      gradSlopes = States.place(gradients, "slopes");
    }

    @Override
    public boolean wantsDecayGradient() {
      return gradSlopes.length > 0;
    }

    @Override
    public void addDecayGradient(int head, double gradient) {
      gradSlopes[head] -= (float) (Math.exp(-slopes[head]) * gradient);
    }

    @Override
    public double logDecay(int head, int row) {
      return -slopes[head];
    }
  }
}
