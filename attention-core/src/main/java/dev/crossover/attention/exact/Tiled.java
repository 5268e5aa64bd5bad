package dev.crossover.attention.exact;

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
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;

/// Exact softmax attention that never builds the score matrix: online softmax over tiles of keys.
///
/// Dao et al., "FlashAttention", NeurIPS 2022, arXiv:2205.14135, algorithm 1; Milakov and
/// Gimelshein, arXiv:1805.02867. The result is that of Vaswani et al., arXiv:1706.03762, equation
/// (1).
///
/// Time `4·pairs·d`; scratch one packed copy of the keys and one tile per thread. Honours every
/// [Mask]. Rows that may see no key are zero.
///
/// @param scale factor on the dot products, 1/√d when absent
@Mechanism(
    name = "tiled",
    golden = "softmax",
    title = "Softmax attention, tiled",
    paper = "Dao et al., FlashAttention, NeurIPS 2022",
    arxiv = "2205.14135",
    family = Mechanism.Family.EXACT,
    approximates = Mechanism.Approximates.EXACT,
    exactness = "exact",
    time = "4 n² d",
    memory = "n d",
    exponent = 2,
    bound =
        "the two products, more than two thirds of the time; one exponential per pair is most of"
            + " the rest")
public record Tiled(
    @Parameter(value = "factor on q·k, 1/√d when absent", defaultValue = "") OptionalDouble scale)
    implements Attention {

  /// Validates the scale.
  public Tiled {
    if (scale.isPresent() && !Double.isFinite(scale.getAsDouble())) {
      throw new IllegalArgumentException("scale must be finite, but was " + scale.getAsDouble());
    }
  }

  /// With the usual scale, 1/√d.
  public Tiled() {
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
            1,
            s.numHeads(),
            s.querySeqLen(),
            s.keySeqLen()));
    return List.copyOf(specs);
  }

  @Override
  public List<TensorSpec> results(AttentionShape s) {
    return List.of(
        TensorSpec.result(
                "lse",
                "log of the sum of the exponentials of a row's visible scores, −∞ without any",
                s.batchSize(),
                s.numHeads(),
                s.querySeqLen())
            .constant());
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double flops =
        s.problems() * Cost.pairs(s, mask) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    if (ShortPlan.suits(s)) {
      return new Cost(flops, Cost.tensorBytes(s), ShortPlan.scratchBytes(s, mask, threads));
    }
    double panels = 4.0 * s.batchSize() * s.numKeyValueHeads() * s.keySeqLen() * s.headDim();
    return new Cost(flops, Cost.tensorBytes(s) + panels, TiledPlan.scratchBytes(s, mask, threads));
  }

  @Override
  public ExactTarget exactTarget(AttentionShape shape, Mask mask, Tensors inputs) {
    return new ExactTarget(
        shape, mask, inputs.get("q"), inputs.get("k"), inputs.get("v"), scaleFor(shape));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    double factor = scaleFor(request.shape());
    return ShortPlan.suits(request.shape())
        ? new ShortPlan(request, factor)
        : new TiledPlan(request, factor);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new TiledDifferentiable(request, scaleFor(request.shape()));
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return TiledDifferentiable.cost(s, mask, threads, cost(s, mask, threads).scratchBytes());
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new CachedKeys(this, shape, scaleFor(shape), threads);
  }

  private double scaleFor(AttentionShape shape) {
    return scale.orElse(Attention.defaultScale(shape));
  }
}
