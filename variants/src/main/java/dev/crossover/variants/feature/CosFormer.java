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
import dev.crossover.attention.linear.FeatureSite;
import dev.crossover.attention.linear.LinearAttentionPlan;
import dev.crossover.attention.linear.LinearCost;
import dev.crossover.attention.linear.LinearDecodeSession;
import dev.crossover.attention.linear.LinearDifferentiablePlan;
import dev.crossover.attention.linear.LinearForm;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import java.util.OptionalInt;

/// cosFormer: linear attention with ReLU features, re-weighted by the cosine of the distance.
///
/// Qin, Sun, Deng, Li, Wei, Lv, Yan, Kong, Zhong: "cosFormer: Rethinking Softmax in Attention",
/// ICLR 2022, arXiv:2202.08791, equations (9) to (12).
///
/// ```
/// a_ij  = relu(q_i)·relu(k_j) · cos(π/2 · (i − j)/M)                 positions from 1
///       = φ(q_i)·φ(k_j),  φ(x_i) = [relu(x_i) sin t_i, relu(x_i) cos t_i],  t_i = π i / (2M)
/// out_i = Σ_j a_ij v_j / max(Σ_j a_ij, eps)                          causal: over j ≤ i
/// ```
///
/// | paper | here | shape                               |
/// |-------|------|-------------------------------------|
/// | Q     | `q`  | `[batch, numHeads, nq, d]`          |
/// | K     | `k`  | `[batch, numKeyValueHeads, nk, d]`  |
/// | V     | `v`  | `[batch, numKeyValueHeads, nk, dv]` |
/// | M     | `max_length` | at least nq and nk; max(nq, nk) when absent |
///
/// Time `8·n·d·dv` per head; memory 2d·(dv + 1) and a table of 2n sines. Honours every [Mask];
/// padding does not change M unless `max_length` is absent. A row without positive products, or
/// without keys, is zero. Decoding needs `max_length`: with M = n every earlier weight would change
/// with every token. For M → ∞ it is linear attention with ReLU features; it never equals softmax
/// attention.
///
/// *Backward*: dφ, dv as in [LinearTransformer], the gradient of the denominator being 0 in rows at
/// its lower bound; then `dx_i = sin t_i dφ₁ + cos t_i dφ₂` where x_i > 0 and 0 elsewhere. M and
/// the sines are constants.
///
/// The paper has no eps; the authors' code bounds the denominator, as here.
///
/// @param featureMap φ before the sines
/// @param maxLength M
/// @param eps lower bound of the denominator, at least 0
@Mechanism(
    name = "cosformer",
    title = "cosFormer",
    paper = "Qin et al., cosFormer: Rethinking Softmax in Attention, ICLR 2022",
    arxiv = "2202.08791",
    family = Mechanism.Family.FEATURE_MAP,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: another kernel than softmax; weights are convex",
    time = "8 n d²",
    memory = "2 d²",
    exponent = 1,
    decoding =
        "with max_length only: otherwise M is the length so far, and every earlier weight "
            + "changes with every token",
    bound =
        "the two products, near the peak, are three fifths of the time at n = "
            + "8192; waiting for memory is an eighth, writing and summing features "
            + "the rest",
    differences =
        @Mechanism.Difference(
            what = "bound of the denominator",
            paper = "none",
            code = "at least 1e-6",
            paperOption = "eps=0",
            codeOption = "eps=1e-6",
            defaultIs = "the code's; either way a row without positive products is zero",
            test = "CosFormerTest.epsDampsOnlyRowsWhoseWeightsAreTiny"))
public record CosFormer(
    @Parameter(value = "features before the sines", defaultValue = "relu") MapKind featureMap,
    @Parameter(value = "M of the cosine weights, >= 1; max(nq, nk) when absent", defaultValue = "")
        OptionalInt maxLength,
    @Parameter(value = "lower bound of the denominator, >= 0", defaultValue = "1e-6") double eps)
    implements Attention {

  /// Feature maps.
  public enum MapKind {
    /// max(x, 0).
    RELU
  }

  /// Validates the numbers.
  public CosFormer {
    if (maxLength.isPresent() && maxLength.getAsInt() < 1) {
      throw new IllegalArgumentException(
          "max_length must be >= 1, but was " + maxLength.getAsInt());
    }
    if (!(eps >= 0) || Double.isInfinite(eps)) {
      throw new IllegalArgumentException("eps must be >= 0, but was " + eps);
    }
  }

  /// With M = max(nq, nk), as trained; cannot decode.
  public CosFormer() {
    this(MapKind.RELU, OptionalInt.empty(), 1e-6);
  }

  /// With a fixed M.
  public CosFormer(int maxLength) {
    this(MapKind.RELU, OptionalInt.of(maxLength), 1e-6);
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
        .decoding(maxLength.isPresent());
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double features = 3.0 * s.headDim();
    long tables = 2L * Float.BYTES * length(s);
    return new LinearCost(s, mask, threads, 2 * s.headDim()).total(features, features, 0, tables);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double features = 7.0 * s.headDim();
    long tables = 2L * Float.BYTES * length(s);
    return new LinearCost(s, mask, threads, 2 * s.headDim())
        .gradient(features, features, tables, LinearCost.Parameters.NONE);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireWithin(request.shape());
    return new LinearAttentionPlan(request, form());
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireWithin(request.shape());
    return new LinearDifferentiablePlan(request, form());
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    if (maxLength.isEmpty()) {
      return Attention.super.decode(shape, threads);
    }
    requireWithin(shape);
    return new LinearDecodeSession(this, shape, threads, form());
  }

  private LinearForm form() {
    return new LinearForm(
        site -> new CosineWeighted(site, maxLength.orElse(length(site.shape()))),
        Denominator.atLeast(eps));
  }

  private static int length(AttentionShape shape) {
    return Math.max(1, Math.max(shape.querySeqLen(), shape.keySeqLen()));
  }

  private void requireWithin(AttentionShape shape) {
    if (maxLength.isPresent() && length(shape) > maxLength.getAsInt()) {
      throw new IllegalArgumentException(
          name()
              + ": querySeqLen and keySeqLen must be at most max_length ("
              + maxLength.getAsInt()
              + "), but were "
              + shape.querySeqLen()
              + " and "
              + shape.keySeqLen());
    }
  }

  /// φ(x_i) = [relu(x_i) sin t_i, relu(x_i) cos t_i], for queries and keys alike; no sine or cosine
  /// is negative, so that the relu may come last.
  private static final class CosineWeighted implements FeatureMap {
    private final Kernels kernels = Kernels.get();
    private final int d;
    private final float[] sine;
    private final float[] cosine;

    CosineWeighted(FeatureSite site, int maxLength) {
      d = site.shape().headDim();
      int n = length(site.shape());
      sine = site.scratch().floats(n);
      cosine = site.scratch().floats(n);
      for (int i = 0; i < n; i++) {
        double t = Math.PI / 2 * (i + 1) / maxLength;
        sine[i] = (float) Math.sin(t);
        cosine[i] = (float) Math.cos(t);
      }
    }

    @Override
    public int width() {
      return 2 * d;
    }

    @Override
    public void queries(FeatureRows rows, float[] phi, int at) {
      int count = rows.count();
      int i = rows.position();
      int m = 2 * d;
      kernels.scaleRows(count, d, sine, i, rows.data(), rows.at(0), d, phi, at, m);
      kernels.scaleRows(count, d, cosine, i, rows.data(), rows.at(0), d, phi, at + d, m);
      kernels.relu(count * m, 0, phi, at, phi, at);
    }

    @Override
    public void keys(FeatureRows rows, float[] phi, int at) {
      queries(rows, phi, at);
    }

    /// sin t_i times the gradient of the first half and cos t_i times that of the second, where x
    /// is above 0.
    @Override
    public void queryGradients(FeatureRows rows, FeatureGradients gradients) {
      int i = rows.position();
      float[] ofRows = gradients.ofRows();
      for (int r = 0; r < rows.count(); r++) {
        int from = gradients.at() + r * 2 * d;
        int to = gradients.rowAt(r);
        kernels.scale(d, sine[i + r], gradients.ofPhi(), from, ofRows, to);
        kernels.axpy(d, cosine[i + r], gradients.ofPhi(), from + d, ofRows, to);
      }
      kernels.keepAbove(rows.count() * d, 0, rows.data(), rows.at(0), ofRows, 0);
    }

    @Override
    public void keyGradients(FeatureRows rows, FeatureGradients gradients) {
      queryGradients(rows, gradients);
    }
  }
}
