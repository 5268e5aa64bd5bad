// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.recurrent.RecurrentCost;
import dev.crossover.attention.recurrent.UpdateRule;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;

/// RWKV-7 time mixing: the state decays per channel, loses what it holds at a removal key, at a
/// rate per channel, and is written at another key.
///
/// Peng et al.: "RWKV-7 Goose with Expressive Dynamic State Evolution", 2025, arXiv:2503.14456;
/// code in BlinkDL/RWKV-LM, RWKV-v7, and flash-linear-attention, ops/generalized_delta_rule/dplr.
///
/// ```
/// r_t   = S_{t−1}ᵀ κ_t                                    read before the decay
/// S_t   = diag(exp g_t) S_{t−1} − (κ_t ∘ a_t) r_tᵀ + k_t v_tᵀ
/// y_t   = scale S_tᵀ q_t
/// out_t = (y − mean y) / √(var y + eps) ∘ w + b + (Σ_c q_c k_c ρ_c) v_t      where given
/// ```
///
/// | paper | here           | shape                                               |
/// |-------|----------------|-----------------------------------------------------|
/// | r     | `q`            | `[batch, heads, n, d]`                              |
/// | k̃     | `k`            | `[batch, heads, n, d]`                              |
/// | v     | `v`            | `[batch, heads, n, dv]`                             |
/// | log w | `log_decay`    | `[batch, heads, n, d]`, drawn as −e^(−1/2) σ(N(0,1)) |
/// | κ̂     | `removal_key`  | `[batch, heads, n, d]`, rows of length 1            |
/// | a     | `removal_rate` | `[batch, heads, n, d]`, drawn as σ(N(0,1))          |
/// | w, b  | `norm_weight`, `norm_bias` | `[heads, dv]`, optional, both or none   |
/// | ρ     | `bonus`        | `[heads, d]`, optional                              |
/// | S     | `initial_state`, `final_state` | `[batch, heads, d, dv]`, before norm and bonus |
///
/// Every token is two rows of the delta rule in chunks: the first reads at κ before the decay and
/// writes at −κ ∘ a what it read, the second writes v at k and is what queries see.
///
/// Backward, with G the gradient of y and dS that of the state, from the last token to the first
/// (the reverse recurrence; dS starts as the gradient of `final_state` and ends as that of
/// `initial_state`), b = κ ∘ a:
///
/// ```
/// dq_t = scale S_t G_t,   dS += scale q_t G_tᵀ,   dk_t = dS v_t,   dv_t = dSᵀ k_t
/// db   = −dS r_t,   dr = −dSᵀ b_t,   dκ_t = S_{t−1} dr + a_t ∘ db,   da_t = κ_t ∘ db
/// dg_t = exp(g_t) rows of ⟨dS, S_{t−1}⟩,   dS ← diag(exp g_t) dS + κ_t drᵀ
/// ```
///
/// G is that of a layer norm per head, `w ∘ dout` less its mean and its projection on the
/// normalised row, over the standard deviation; with e = dout·v the bonus gives `dρ = Σ e q ∘ k`,
/// `dq += e k ∘ ρ`, `dk += e q ∘ ρ`, `dv += (Σ q k ρ) dout`. States before chunks and written
/// values are kept.
///
/// Stable for |κ| = 1, a in [0, 1] and decays below 1. Where plain tensors are adapted, κ is drawn.
///
/// Time `12·n·d·dv + 4·n·C·(d + dv)` per head; memory d·dv per head at work. Causal by
/// construction; any key padding: the state passes padded positions unchanged, the bonus stays. No
/// setting makes it softmax; a = 0 is GLA.
///
/// @param scale factor on q
/// @param eps added to the variance of an output row
@Mechanism(
    name = "rwkv7",
    title = "RWKV-7",
    paper = "Peng et al., RWKV-7 Goose, 2025",
    arxiv = "2503.14456",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "12 n d²",
    memory = "d²",
    exponent = 1)
public record Rwkv7(
    @Parameter(value = "factor on q", defaultValue = "1") double scale,
    @Parameter(value = "eps of the norm of an output row, > 0", defaultValue = "0.00064")
        double eps)
    implements MatrixRecurrence {
  /// Largest decay rate of the layer: log w lies between −this and 0.
  private static final double LARGEST_RATE = Math.exp(-0.5);

  /// Validates eps.
  public Rwkv7 {
    if (!(eps > 0) || Double.isInfinite(eps)) {
      throw new IllegalArgumentException("eps must be > 0, but was " + eps);
    }
    if (!Double.isFinite(scale)) {
      throw new IllegalArgumentException("scale must be finite, but was " + scale);
    }
  }

  /// As in the authors' code, 64 channels wide.
  public Rwkv7() {
    this(1, 6.4e-4);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return States.inputs(
        s,
        perToken("log_decay", "log decay, -exp(-1/2) sigmoid(N(0,1))", Rwkv7::decays, s),
        perToken("removal_key", "removed key, N(0,1) divided by its length", Rwkv7::unitRows, s),
        perToken("removal_rate", "removal rate, sigmoid(N(0,1))", States::sigmoid, s),
        TensorSpec.optional(
            "norm_weight", "weight of the norm, N(1, 1)", Rwkv7::weights, s, HEADS, VALUE_DIM),
        TensorSpec.optional(
            "norm_bias", "bias of the norm, N(0,1)", Draws::gaussian, s, HEADS, VALUE_DIM),
        TensorSpec.optional(
            "bonus", "weight of the own value, N(0,1)", Draws::gaussian, s, HEADS, HEAD_DIM));
  }

  private static TensorSpec perToken(
      String name, String meaning, TensorSpec.Draw draw, AttentionShape s) {
    return TensorSpec.input(name, meaning, draw, s, BATCH, HEADS, KEY, HEAD_DIM);
  }

  private static Tensor decays(long seed, int... shape) {
    Tensor decays = States.sigmoid(seed, shape);
    for (int e = 0; e < decays.size(); e++) {
      decays.data()[e] *= (float) -LARGEST_RATE;
    }
    return decays;
  }

  private static Tensor unitRows(long seed, int... shape) {
    return States.unitRows(Draws.gaussian(seed, shape));
  }

  private static Tensor weights(long seed, int... shape) {
    Tensor weights = Draws.gaussian(seed, shape);
    for (int e = 0; e < weights.size(); e++) {
      weights.data()[e] += 1;
    }
    return weights;
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    return RecurrentCost.of(s, mask, threads, rule(s), chunk(s), 8);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return RecurrentCost.gradient(s, mask, threads, rule(s), chunk(s), 20);
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return new Rwkv7Rule(scale, eps, s);
  }
}
