// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.recurrent.RecurrentPlan;
import dev.crossover.attention.recurrent.UpdateRule;
import dev.crossover.attention.recurrent.UpdateRule.Decay;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;
import java.util.OptionalDouble;

/// DeltaProduct: several delta-rule steps per token, whose product is a transition that one step
/// cannot make.
///
/// Siems, Carstensen, Zela, Hutter, Pontil, Grazzi: "DeltaProduct: Improving State-Tracking in
/// Linear RNNs via Householder Products", NeurIPS 2025, arXiv:2502.10297; code in
/// flash-linear-attention, ops/gated_delta_product.
///
/// ```
/// S     ← exp(g_t) S_{t−1}
/// S     ← S + β_a k_a (v_a − Sᵀ k_a)ᵀ          for the m rows a = t m … t m + m − 1
/// out_t = scale S_tᵀ q_t
/// ```
///
/// | paper | here        | shape                                             |
/// |-------|-------------|---------------------------------------------------|
/// | Q     | `q`         | `[batch, heads, n, d]`                            |
/// | K     | `k`         | `[batch, heads, n · m, d]`                        |
/// | V     | `v`         | `[batch, heads, n · m, dv]`                       |
/// | β     | `beta`      | `[batch, heads, n · m]`, drawn as 2σ(N(0,1))      |
/// | log α | `log_decay` | `[batch, heads, n]`, optional: no decay if absent |
/// | S     | `initial_state`, `final_state` | `[batch, heads, d, dv]`        |
///
/// β in (0, 2) gives steps with negative eigenvalues (Grazzi et al., arXiv:2411.12537); at β = 2 a
/// step is a reflection, and m reflections make any rotation of m dimensions.
///
/// It is Gated DeltaNet over n · m rows, in chunks of C of them, of which the first of a token
/// decays and the last is read.
///
/// Backward: the reverse recurrence of Gated DeltaNet over these rows, with G the gradient of `out`
/// in the last row of a token and dg from the first:
///
/// ```
/// dq_t = scale S_t G_t,   dS += scale q_t G_tᵀ                    at the last row of a token
/// w    = dSᵀ k_a,   dβ_a = w·e_a,   dv_a = β_a w,   dk_a = β_a dS e_a − S_{a−1} dv_a
/// dS  −= k_a dv_aᵀ,   e_a = v_a − S_{a−1}ᵀ k_a
/// dg_t = ⟨dS, exp(g_t) S_{t−1}⟩,   dS ← exp(g_t) dS               at the first
/// ```
///
/// States before chunks and the values as written are kept.
///
/// Where plain tensors are adapted ([#adapt]), each row of q and k is divided by its length, as the
/// authors' layer does, and the rows before a token's own key and value, the last, are those of the
/// tokens before it.
///
/// Time `n·m·(4·d·dv + 2·C·(d + dv)) + 2·n·d·dv` per head; memory d·dv per head at work. Causal by
/// construction; any key padding: the state passes padded tokens unchanged. No setting makes it
/// softmax; m = 1 is Gated DeltaNet.
///
/// @param numHouseholder rows per token m
/// @param scale factor on q; absent: 1/√d
@Mechanism(
    name = "deltaproduct",
    title = "DeltaProduct",
    paper = "Siems et al., DeltaProduct, NeurIPS 2025",
    arxiv = "2502.10297",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; chunkwise and recurrent form are equal",
    time = "n (4 m + 2) d²",
    memory = "d²",
    exponent = 1)
public record DeltaProduct(
    @Parameter(value = "m: rows per token, >= 1", defaultValue = "2") int numHouseholder,
    @Parameter(value = "factor on q; absent: 1/sqrt(d)", defaultValue = "") OptionalDouble scale)
    implements MatrixRecurrence {
  private static final int SHORTEST_CHUNK = 8;

  /// Validates the number of rows per token.
  public DeltaProduct {
    if (numHouseholder < 1) {
      throw new IllegalArgumentException("num_householder must be >= 1, but was " + numHouseholder);
    }
  }

  /// Two rows per token, with the factor 1/√d.
  public DeltaProduct() {
    this(2, OptionalDouble.empty());
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    TensorSpec decay = States.logDecayPerToken(s, 0);
    return List.of(
        TensorSpec.input("q", "queries, N(0,1)", Draws::gaussian, s, BATCH, HEADS, KEY, HEAD_DIM),
        TensorSpec.input(
            "k",
            "keys, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            HEADS,
            KEY.times(numHouseholder),
            HEAD_DIM),
        TensorSpec.input(
            "v",
            "values, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            HEADS,
            KEY.times(numHouseholder),
            VALUE_DIM),
        TensorSpec.input(
            "beta",
            "write strength in (0, 2), 2 sigmoid(N(0,1))",
            DeltaProduct::strengths,
            s,
            BATCH,
            HEADS,
            KEY.times(numHouseholder)),
        TensorSpec.optional("log_decay", decay.meaning(), decay.draw(), s, BATCH, HEADS, KEY),
        States.initialState(s));
  }

  private static Tensor strengths(long seed, int... shape) {
    Tensor beta = States.sigmoid(seed, shape);
    for (int e = 0; e < beta.size(); e++) {
      beta.data()[e] *= 2;
    }
    return beta;
  }

  /// The length is that of q.
  @Override
  public AttentionShape shapeOf(Tensors inputs) {
    Tensor q = inputs.get("q");
    Tensor v = inputs.get("v");
    if (q.rank() != 4 || v.rank() != 4) {
      throw new IllegalArgumentException(
          "q and v must have shape [batch, heads, seqLen, dim], but were " + q + " and " + v);
    }
    return AttentionShape.of(q.extent(0), q.extent(1), q.extent(2), q.extent(3))
        .withValueDim(v.extent(3));
  }

  /// With rows of q and k divided by their lengths, further rows from the tokens before, and β
  /// drawn.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    Tensors further =
        qkv.with("k", withEarlierRows(shape, qkv.get("k")))
            .with("v", withEarlierRows(shape, qkv.get("v")));
    return States.adaptNormalised(this, shape, further, seed);
  }

  /// For every token its own row, and before it those of the tokens before, the first one's again
  /// where there are none.
  private Tensor withEarlierRows(AttentionShape s, Tensor tensor) {
    if (tensor.extent(2) != s.keySeqLen() || numHouseholder == 1) {
      return tensor;
    }
    int n = tensor.extent(2);
    int width = tensor.extent(3);
    Tensor all = Tensor.zeros(tensor.extent(0), tensor.extent(1), n * numHouseholder, width);
    for (int row = 0; row < all.size() / width; row++) {
      int token = row / numHouseholder;
      int back = numHouseholder - 1 - row % numHouseholder;
      int from = token - Math.min(back, token % n);
      System.arraycopy(tensor.data(), from * width, all.data(), row * width, width);
    }
    return all;
  }

  /// Rows of a chunk: about twice the key width at most. Longer ones take more operations, and with
  /// β near 2, where nothing decays, their triangular systems round more often than the recurrence.
  @Override
  public int chunk(AttentionShape s) {
    return Math.clamp(2L * s.headDim(), SHORTEST_CHUNK, RecurrentPlan.DEFAULT_CHUNK);
  }

  @Override
  public UpdateRule rule(AttentionShape s) {
    return new DeltaRule(Decay.TOKEN, scale.orElse(Attention.defaultScale(s)), numHouseholder);
  }
}
