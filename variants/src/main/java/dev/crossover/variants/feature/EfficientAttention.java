// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.linear.Segments;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.tensor.Tensor;

/// Efficient attention: keys are normalised over positions, queries over features, and the product
/// of keys and values is formed first.
///
/// Shen, Zhang, Zhao, Yi, Li: "Efficient Attention: Attention with Linear Complexities", WACV 2021,
/// arXiv:1812.01243, equations (2) to (5).
///
/// ```
/// G   = ρ_k(k)ᵀ v                      [d, dv], the global context
/// out = ρ_q(q) G
/// softmax   ρ_q: softmax over the features of each row,  ρ_k: softmax over the positions of each channel
/// scaling   ρ_q(q) = q/√n,  ρ_k(k) = k/√n,  n the number of real keys
/// ```
///
/// | paper | here | shape                               |
/// |-------|------|-------------------------------------|
/// | Q     | `q`  | `[batch, numHeads, nq, d]`          |
/// | K     | `k`  | `[batch, numKeyValueHeads, nk, d]`  |
/// | V     | `v`  | `[batch, numKeyValueHeads, nk, dv]` |
///
/// Time `2·nk·d·dv + 2·nq·d·dv` per head; memory d·(dv + 2) per segment. No factor 1/√d. Honours
/// key padding in any pattern; without any real key the output is zero. Causal order is refused:
/// the column softmax runs over future positions. With `softmax` every output is a convex
/// combination of values, but no setting makes it softmax attention; with `scaling` it is (q kᵀ/n)
/// v exactly.
///
/// *Backward* (the paper has none; by the chain rule). With g the gradient of the output and P =
/// ρ_k(k):
///
/// ```
/// dρ_q = g Gᵀ,   dG = ρ_qᵀ g                                over all queries of a key/value head
/// dv   = P dG,   dP = v dGᵀ
/// softmax   dq = ρ_q ∘ (dρ_q − rowsum(ρ_q ∘ dρ_q)),   dk = P ∘ (dP − 1 tᵀ),  t_c = G_c · dG_c
/// scaling   dq = dρ_q,   dk = v dGᵀ/n,   dv = k dG/n
/// ```
///
/// where `colsum(P ∘ dP) = t` needs no pass over the keys. Kept: G with each channel's maximum and
/// sum; nothing is a constant.
///
/// The column softmax takes one pass: when a channel's maximum rises, its row of G and its sum are
/// scaled down. The authors' module adds projections and a residual, which are outside the
/// mechanism.
///
/// @param normalisation ρ_q and ρ_k
@Mechanism(
    name = "efficient_attention",
    title = "Efficient Attention",
    paper = "Shen et al., Efficient Attention: Attention with Linear Complexities, WACV 2021",
    arxiv = "1812.01243",
    family = Mechanism.Family.FEATURE_MAP,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: another normalisation than softmax over keys",
    time = "4 n d²",
    memory = "d²",
    exponent = 1,
    decoding =
        "none: each channel of the keys is normalised over all positions, later ones "
            + "included, so it cannot be causal",
    bound =
        "the two products, near the peak, are under half of the time; "
            + "exponentials and maxima of query rows and key channels are a quarter, "
            + "waiting for memory and adding up the rest")
public record EfficientAttention(
    @Parameter(value = "how queries and keys are normalised", defaultValue = "softmax")
        Normalisation normalisation)
    implements Attention {

  /// Normalisations.
  public enum Normalisation {
    /// Queries over features, keys over positions.
    SOFTMAX,
    /// Both by 1/√n.
    SCALING
  }

  /// With the paper's default, softmax.
  public EfficientAttention() {
    this(Normalisation.SOFTMAX);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true)
        .gradients(true);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    boolean softmax = normalisation == Normalisation.SOFTMAX;
    double keyHeads = (double) s.batchSize() * s.numKeyValueHeads();
    double product = 2.0 * s.headDim() * s.valueDim();
    int segments = Segments.ofKeys(s, mask).count();
    double flops =
        keyHeads * s.keySeqLen() * (product + (softmax ? 4.0 * s.headDim() : 0))
            + keyHeads * segments * product
            + (double) s.problems()
                * s.querySeqLen()
                * (product + (softmax ? 4.0 : 0) * s.headDim());
    long scratch = EfficientForward.keptBytes(s) + EfficientForward.scratchBytes(s, mask, threads);
    return new Cost(flops, Cost.tensorBytes(s), scratch);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double keyHeads = (double) s.batchSize() * s.numKeyValueHeads();
    double product = 2.0 * s.headDim() * s.valueDim();
    double softmax = normalisation == Normalisation.SOFTMAX ? 1 : 0;
    double queries = (double) s.problems() * s.querySeqLen();
    double parts = (double) s.problems() * Segments.ofQueries(s).count();
    double flops =
        queries * (2 * product + softmax * 8.0 * s.headDim())
            + keyHeads * s.keySeqLen() * (2 * product + softmax * 3.0 * s.headDim())
            + (parts + keyHeads) * product;
    return new GradientCost(
        flops,
        EfficientForward.keptBytes(s),
        EfficientForward.scratchBytes(s, mask, threads)
            + EfficientDifferentiable.scratchBytes(s, threads));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new EfficientDifferentiable(request, normalisation);
  }

  private final class Plan extends AttentionPlan {
    private final EfficientForward forward;

    Plan(PlanRequest request) {
      super(request);
      boolean softmax = normalisation == Normalisation.SOFTMAX;
      forward = new EfficientForward(shape, mask, workers, softmax, scratch, scratch);
    }

    @Override
    protected void compute(Tensor output) {
      forward.run(inputs(), output.data());
    }
  }
}
