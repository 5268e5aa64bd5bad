// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.ONE;
import static dev.crossover.attention.Axis.QUERY;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/// Exact softmax attention that builds the whole nq × nk score matrix of every head, as the papers'
/// baselines do.
///
/// Vaswani et al., "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762, equation (1):
/// `output = softmax(scale · query · keyᵀ + bias) · value`.
///
/// | paper | here    | shape                                  |
/// |-------|---------|----------------------------------------|
/// | Q     | `q`     | `[batch, numHeads, nq, d]`             |
/// | K     | `k`     | `[batch, numKeyValueHeads, nk, d]`     |
/// | V     | `v`     | `[batch, numKeyValueHeads, nk, dv]`    |
/// | –     | `bias`  | `[1, numHeads, nq, nk]`, added to the scaled scores, optional |
///
/// Time `4·nq·nk·d`, all pairs computed even under a causal mask; scratch nq · nk floats for
/// *every* head, because that is the cost whose crossover the papers report. Honours every [Mask].
/// Rows that may see no key are zero. Decoding keeps no key/value cache: every token recomputes the
/// attention of the whole prefix, `4·t²·d`, as the uncached softmax of Katharopoulos et al.,
/// arXiv:2006.16236, tables 2 and 5, does; `tiled` is the one with a cache.
///
/// Gradients, written out in the same way, with G = ∂out (Vaswani et al. leave them to automatic
/// differentiation; Dao et al., arXiv:2205.14135, appendix B.2, state them):
///
/// ```
/// dP = G Vᵀ      D_i = G_i·O_i      dS = P ∘ (dP − D), also the gradient of the bias
/// ∂Q = scale dS K      ∂K = scale dSᵀ Q      ∂V = Pᵀ G
/// ```
///
/// @param scale factor on the dot products, 1/√d when absent
@Mechanism(
    name = "materialised",
    golden = "softmax",
    title = "Softmax attention, scores materialised",
    paper = "Vaswani et al., Attention Is All You Need, NeurIPS 2017",
    arxiv = "1706.03762",
    family = Mechanism.Family.EXACT,
    approximates = Mechanism.Approximates.EXACT,
    exactness = "exact",
    time = "4 n² d",
    memory = "n²",
    exponent = 2,
    bound =
        "writing n² scores and reading them again for each pass of the softmax and for the product "
            + "with the values")
public record Materialised(
    @Parameter(value = "factor on q·k, 1/√d when absent", defaultValue = "") OptionalDouble scale)
    implements Attention {

  /// Validates the scale.
  public Materialised {
    if (scale.isPresent() && !Double.isFinite(scale.getAsDouble())) {
      throw new IllegalArgumentException("scale must be finite, but was " + scale.getAsDouble());
    }
  }

  /// With the usual scale, 1/√d.
  public Materialised() {
    this(OptionalDouble.empty());
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.optional(
            "bias",
            "added to the scaled scores, N(0,1)",
            Draws::gaussian,
            s,
            ONE,
            HEADS,
            QUERY,
            KEY));
    return List.copyOf(specs);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double flops = pairs(s) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    long scores = pairs(s);
    long scratch = Float.BYTES * (scores + threads * (long) transposeScratch(s));
    return new Cost(flops, Cost.tensorBytes(s) + 4.0 * Float.BYTES * scores, scratch);
  }

  @Override
  public ExactTarget exactTarget(AttentionShape shape, Mask mask, Tensors inputs) {
    return new ExactTarget(
        shape, mask, inputs.get("q"), inputs.get("k"), inputs.get("v"), scaleFor(shape));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request, null);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new MaterialisedGradient(
        request, scaleFor(request.shape()), weights -> new Plan(request, weights));
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double flops = pairs(s) * (6.0 * s.headDim() + 4.0 * s.valueDim() + 4);
    long forward = Float.BYTES * threads * (long) transposeScratch(s);
    return new GradientCost(
        flops, Float.BYTES * pairs(s), forward + MaterialisedGradient.scratchBytes(s, threads));
  }

  /// A session that caches nothing: each token computes the whole prefix anew.
  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new RecomputedPrefix(this, shape, scaleFor(shape), threads);
  }

  private double scaleFor(AttentionShape shape) {
    return scale.orElse(Attention.defaultScale(shape));
  }

  private static long pairs(AttentionShape s) {
    return (long) s.problems() * s.querySeqLen() * s.keySeqLen();
  }

  private static int transposeScratch(AttentionShape s) {
    return ScoreMatrix.transposeScratch(s.keySeqLen(), s.headDim());
  }

  private final class Plan extends AttentionPlan {
    private final ScoreMatrix matrix = new ScoreMatrix(mask, shape, scaleFor(shape));
    private final float[] scores;
    private final float[][] work = new float[threads()][];
    private final Workers.Task head = this::head;

    /// @param kept receives the weights of all pairs for a backward pass; null where the plan's own
    ///     scratch does
    Plan(PlanRequest request, float @Nullable [] kept) {
      super(request);
      scores = kept == null ? scratch.floats(pairs(shape)) : kept;
      for (int t = 0; t < work.length; t++) {
        work[t] = scratch.floats(transposeScratch(shape));
      }
    }

    @Override
    protected void compute(Tensor output) {
      workers.run(shape.problems(), head);
    }

    private void head(int worker, int index) {
      int batch = index / shape.numHeads();
      int h = index % shape.numHeads();
      int nq = shape.querySeqLen();
      int nk = shape.keySeqLen();
      int s = index * nq * nk;
      matrix.scores(
          nq,
          nk,
          input("q"),
          shape.queryOffset(batch, h),
          input("k"),
          shape.keyOffset(batch, h),
          scores,
          s,
          work[worker]);
      float[] bias = hasInput("bias") ? input("bias") : null;
      matrix.weights(batch, nq, nk, scores, s, bias, h * nq * nk);
      matrix.mix(
          batch,
          nq,
          nk,
          scores,
          s,
          input("v"),
          shape.valueOffset(batch, h),
          out,
          shape.outputOffset(batch, h));
    }
  }
}
