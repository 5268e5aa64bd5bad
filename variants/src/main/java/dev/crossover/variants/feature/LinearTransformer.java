// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY_VALUE_HEADS;
import static dev.crossover.attention.Axis.VALUE_DIM;

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
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.linear.Denominator;
import dev.crossover.attention.linear.FeatureGradients;
import dev.crossover.attention.linear.FeatureMap;
import dev.crossover.attention.linear.FeatureRows;
import dev.crossover.attention.linear.LinearAttentionPlan;
import dev.crossover.attention.linear.LinearCost;
import dev.crossover.attention.linear.LinearDecodeSession;
import dev.crossover.attention.linear.LinearDifferentiablePlan;
import dev.crossover.attention.linear.LinearForm;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import java.util.ArrayList;
import java.util.List;

/// Linear attention: the softmax is replaced by the kernel φ(q)·φ(k) with φ(x) = elu(x) + 1, so
/// that sums over keys are formed once and every query reads them.
///
/// Katharopoulos, Vyas, Pappas, Fleuret: "Transformers are RNNs: Fast Autoregressive Transformers
/// with Linear Attention", ICML 2020, arXiv:2006.16236, equations (5) and (9) to (12).
///
/// ```
/// φ(x)  = x + 1 for x > 0, exp(x) otherwise          elementwise, no 1/√d
/// S     = Σ_j φ(k_j) v_jᵀ,     z = Σ_j φ(k_j)        causal: over j ≤ i
/// out_i = φ(q_i) S / (φ(q_i)·z + eps)
/// ```
///
/// | paper | here    | shape                                  |
/// |-------|---------|----------------------------------------|
/// | Q     | `q`     | `[batch, numHeads, nq, d]`             |
/// | K     | `k`     | `[batch, numKeyValueHeads, nk, d]`     |
/// | V     | `v`     | `[batch, numKeyValueHeads, nk, dv]`    |
/// | S     | `initial_state`, `final_state` | `[batch, numKeyValueHeads, d, dv]` |
/// | Z     | `initial_normaliser`, `final_normaliser` | `[batch, numKeyValueHeads, d]` |
///
/// Time `4·n·d·dv` per head, causal `+ n·C·(d + dv)` inside chunks of C = 64 rows; memory d·(dv
/// + 1) per segment. Honours every [Mask]; a row that may see no key is zero, unless an initial
/// state was given. Not an approximation of softmax attention: weights are convex, but no setting
/// makes them softmax.
///
/// *Backward*, equations (13) to (15) with the normaliser: with `D_i = φ(q_i)·z + eps`, `G_i = g_i
/// / D_i` for the gradient g_i of row i and `δ_i = −G_i · out_i`,
///
/// ```
/// dφ(q_i) = S G_i + δ_i z                  S, z over the keys that i sees
/// R = Σ_i φ(q_i) G_iᵀ,  ρ = Σ_i δ_i φ(q_i)  causal: over i ≥ j; from the gradients of the final sums
/// dφ(k_j) = R v_j + ρ,   dv_j = Rᵀ φ(k_j)
/// φ'(x)   = 1 for x > 0, exp(x) otherwise
/// ```
///
/// and R and ρ before the first key are the gradients of the initial sums. One pass from the last
/// chunk to the first; the state before each chunk was kept.
///
/// The paper's equation has no eps; the authors' code adds it to the denominator, as here; `eps=0`
/// is the paper's form.
///
/// @param featureMap φ
/// @param eps added to the denominator, at least 0
@Mechanism(
    name = "linear_transformer",
    title = "Linear Transformer",
    paper = "Katharopoulos et al., Transformers are RNNs, ICML 2020",
    arxiv = "2006.16236",
    family = Mechanism.Family.FEATURE_MAP,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: another kernel than softmax; weights are convex",
    time = "4 n d²",
    memory = "d²",
    exponent = 1,
    bound =
        "the two products, near the peak, are half of the time at d = 64 and "
            + "n = 8192; waiting for memory is a fifth, feature maps, row sums and "
            + "divisions the rest",
    differences =
        @Mechanism.Difference(
            what = "eps in the denominator",
            paper = "none, equation (9)",
            code = "adds 1e-6",
            paperOption = "eps=0",
            codeOption = "eps=1e-6",
            defaultIs = "the code's: a row of underflowing features stays finite",
            test = "LinearTransformerTest.epsMattersOnlyWhereAllFeaturesAreTiny"))
public record LinearTransformer(
    @Parameter(value = "feature map", defaultValue = "elu_plus_one") MapKind featureMap,
    @Parameter(value = "added to the denominator, >= 0", defaultValue = "1e-6") double eps)
    implements Attention {

  private static final Axis[] STATE = {BATCH, KEY_VALUE_HEADS, HEAD_DIM, VALUE_DIM};
  private static final Axis[] NORMALISER = {BATCH, KEY_VALUE_HEADS, HEAD_DIM};

  /// Feature maps.
  public enum MapKind {
    /// elu(x) + 1.
    ELU_PLUS_ONE
  }

  /// Validates eps.
  public LinearTransformer {
    if (!(eps >= 0) || Double.isInfinite(eps)) {
      throw new IllegalArgumentException("eps must be >= 0, but was " + eps);
    }
  }

  /// With the authors' defaults.
  public LinearTransformer() {
    this(MapKind.ELU_PLUS_ONE, 1e-6);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true)
        .gradients(true)
        .decoding(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.optional("initial_state", "S before the first key", Draws::gaussian, s, STATE));
    specs.add(
        TensorSpec.optional(
            "initial_normaliser",
            "z before the first key; given together with initial_state",
            (seed, shape) -> Draws.uniform(seed, 1, 2, shape),
            s,
            NORMALISER));
    return List.copyOf(specs);
  }

  @Override
  public List<TensorSpec> results(AttentionShape s) {
    return List.of(
        TensorSpec.result("final_state", "S after the last key", s, STATE),
        TensorSpec.result("final_normaliser", "z after the last key", s, NORMALISER));
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double features = 2.0 * s.headDim();
    return new LinearCost(s, mask, threads, s.headDim()).total(features, features, 0, 0);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double features = 4.0 * s.headDim();
    return new LinearCost(s, mask, threads, s.headDim())
        .gradient(features, features, 0, LinearCost.Parameters.NONE);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new LinearAttentionPlan(request, form());
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new LinearDifferentiablePlan(request, form());
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new LinearDecodeSession(this, shape, threads, form());
  }

  private LinearForm form() {
    return new LinearForm(site -> new EluPlusOne(site.shape().headDim()), Denominator.plus(eps));
  }

  /// φ(x) = elu(x) + 1, for queries and keys alike.
  private record EluPlusOne(int width) implements FeatureMap {
    @Override
    public void queries(FeatureRows rows, float[] phi, int at) {
      Kernels.get().eluPlusOne(rows.count() * width, rows.data(), rows.at(0), phi, at);
    }

    @Override
    public void keys(FeatureRows rows, float[] phi, int at) {
      queries(rows, phi, at);
    }

    /// φ'(x) is 1 for x > 0, where φ(x) > 1, and φ(x) otherwise.
    @Override
    public void queryGradients(FeatureRows rows, FeatureGradients gradients) {
      float[] phi = gradients.phi();
      float[] ofPhi = gradients.ofPhi();
      float[] ofRows = gradients.ofRows();
      int at = gradients.at();
      for (int i = 0; i < rows.count() * width; i++) {
        ofRows[i] = ofPhi[at + i] * Math.min(phi[at + i], 1);
      }
    }

    @Override
    public void keyGradients(FeatureRows rows, FeatureGradients gradients) {
      queryGradients(rows, gradients);
    }
  }
}
