// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
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
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;

/// The linear attention of Based: exp(s) is replaced by its Taylor polynomial 1 + s + s²/2 with
/// s = q·k/√d, which is a product of features.
///
/// Arora, Eyuboglu, Zhang, Timalsina, Alberti, Zinsley, Zou, Rudra, Ré: "Simple linear attention
/// language models balance the recall-throughput tradeoff", ICML 2024, arXiv:2402.18668, equation
/// (3).
///
/// ```
/// φ(x)  = [1, x d^(-1/4), x_a² (2d)^(-1/2) for all a, x_a x_b d^(-1/2) for a < b]
/// φ(q)·φ(k) = 1 + s + s²/2 ≥ 1/2
/// out_i = Σ_j φ(q_i)·φ(k_j) v_j / (Σ_j φ(q_i)·φ(k_j) + eps)          causal: over j ≤ i
/// ```
///
/// | paper | here | shape                               |
/// |-------|------|-------------------------------------|
/// | q     | `q`  | `[batch, numHeads, nq, d]`, d small, 16 in the paper |
/// | k     | `k`  | `[batch, numKeyValueHeads, nk, d]`  |
/// | v     | `v`  | `[batch, numKeyValueHeads, nk, dv]` |
///
/// Time `4·n·M·dv` per head with M = (d + 1)(d + 2)/2; causal `+ n·C·(d + dv)` inside chunks of C =
/// 64 rows, where the polynomial of q·k takes the place of features; memory M·(dv + 1). Honours
/// every [Mask]; a row that may see no key is zero. The weights' error against exp is s³/6: scaling
/// the queries by t, the error against softmax attention falls like t³. Not accurate for large
/// scores.
///
/// *Backward*: dφ, dv as in [LinearTransformer], and
///
/// ```
/// dx_a = d^(-1/4) dφ_a + 2 (2d)^(-1/2) x_a dφ_aa + d^(-1/2) Σ_(b≠a) x_b dφ_ab
/// ```
///
/// inside a chunk from the polynomial itself: `d(q·k) = (1 + s)/√d` times the gradient of the
/// weight. Nothing is a constant.
///
/// The paper's features hold every x_a x_b twice, M = 1 + d + d²; the products are the same. The
/// layer's sliding-window partner and convolutions are not part of this mechanism.
///
/// @param featureMap φ
/// @param taylorOrder order of the polynomial; only 2
/// @param eps added to the denominator, at least 0
@Mechanism(
    name = "based",
    title = "Based (Taylor linear attention)",
    paper = "Arora et al., Simple linear attention language models, ICML 2024",
    arxiv = "2402.18668",
    family = Mechanism.Family.FEATURE_MAP,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "error falls like |q·k/√d|³ for small scores",
    time = "2 n d³",
    memory = "d³/2",
    exponent = 1,
    bound =
        "products with 2145 features per row at d = 64, from the second-level "
            + "cache, are two thirds of the time; writing the features is a tenth, "
            + "sums over keys the rest")
public record Based(
    @Parameter(value = "feature map", defaultValue = "taylor") MapKind featureMap,
    @Knob(values = 2, costs = "features d^order")
        @Parameter(value = "order of the polynomial, only 2", defaultValue = "2")
        int taylorOrder,
    @Parameter(value = "added to the denominator, >= 0", defaultValue = "1e-12") double eps)
    implements Attention {

  /// Feature maps.
  public enum MapKind {
    /// Taylor expansion of exp.
    TAYLOR
  }

  /// Validates the numbers.
  public Based {
    if (taylorOrder != 2) {
      throw new IllegalArgumentException("taylor_order must be 2, but was " + taylorOrder);
    }
    if (!(eps >= 0) || Double.isInfinite(eps)) {
      throw new IllegalArgumentException("eps must be >= 0, but was " + eps);
    }
  }

  /// With the authors' defaults.
  public Based() {
    this(MapKind.TAYLOR, 2, 1e-12);
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
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    int width = width(s.headDim());
    return new LinearCost(s, mask, threads, width).weighingProducts(4).total(width, width, 0, 0);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    int width = width(s.headDim());
    return new LinearCost(s, mask, threads, width)
        .weighingProducts(4)
        .gradient(5.0 * width, 5.0 * width, 0, LinearCost.Parameters.NONE);
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
    return new LinearForm(
        site -> new Taylor(site.shape().headDim(), width(site.shape().headDim())),
        Denominator.plus(eps));
  }

  private static int width(int d) {
    return Math.toIntExact((d + 1L) * (d + 2L) / 2);
  }

  /// φ(x) = [1, x d^(-1/4), products x_a x_b for a ≤ b], for queries and keys alike.
  private record Taylor(int d, int width) implements FeatureMap {
    @Override
    public void queries(FeatureRows rows, float[] phi, int at) {
      Kernels kernels = Kernels.get();
      float linear = (float) Math.pow(d, -0.25);
      float product = (float) (1 / Math.sqrt(d));
      float square = (float) (1 / Math.sqrt(2.0 * d));
      for (int r = 0; r < rows.count(); r++) {
        int o = at + r * width;
        phi[o] = 1;
        kernels.scale(d, linear, rows.data(), rows.at(r), phi, o + 1);
        kernels.upperProducts(d, product, square, rows.data(), rows.at(r), phi, o + 1 + d);
      }
    }

    @Override
    public void keys(FeatureRows rows, float[] phi, int at) {
      queries(rows, phi, at);
    }

    /// `dx_a = d^(-1/4) dφ_a + Σ_b x_b dφ_ab/√d`, the square's term twice its factor.
    @Override
    public void queryGradients(FeatureRows rows, FeatureGradients gradients) {
      Kernels kernels = Kernels.get();
      float linear = (float) Math.pow(d, -0.25);
      float product = (float) (1 / Math.sqrt(d));
      float square = (float) (2 / Math.sqrt(2.0 * d));
      float[] x = rows.data();
      float[] ofPhi = gradients.ofPhi();
      float[] ofRows = gradients.ofRows();
      for (int r = 0; r < rows.count(); r++) {
        int from = gradients.at() + r * width + 1;
        int to = gradients.rowAt(r);
        kernels.scale(d, linear, ofPhi, from, ofRows, to);
        int pair = from + d;
        for (int a = 0; a < d; a++) {
          int xa = rows.at(r) + a;
          int beyond = d - a - 1;
          ofRows[to + a] +=
              square * ofPhi[pair] * x[xa]
                  + product * kernels.dot(beyond, ofPhi, pair + 1, x, xa + 1);
          kernels.axpy(beyond, product * x[xa], ofPhi, pair + 1, ofRows, to + a + 1);
          pair += d - a;
        }
      }
    }

    @Override
    public void keyGradients(FeatureRows rows, FeatureGradients gradients) {
      queryGradients(rows, gradients);
    }

    @Override
    public boolean weighsProducts() {
      return true;
    }

    /// 1 + s + s²/2 with s = q·k/√d: inside a chunk the polynomial is cheaper than its features.
    @Override
    public void weights(int count, float[] products, int at) {
      Kernels.get()
          .quadratic(count, (float) (0.5 / d), (float) (1 / Math.sqrt(d)), 1, products, at);
    }

    /// (1 + s)/√d.
    @Override
    public void weightSlopes(int count, float[] products, int at) {
      Kernels.get()
          .quadratic(count, 0, (float) (1.0 / d), (float) (1 / Math.sqrt(d)), products, at);
    }
  }
}
