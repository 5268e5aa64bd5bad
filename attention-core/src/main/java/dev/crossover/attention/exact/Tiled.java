// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.ONE;
import static dev.crossover.attention.Axis.QUERY;
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
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.FittedAttention;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.ScoreOptions.Alibi;
import dev.crossover.attention.exact.ScoreOptions.AlibiForm;
import dev.crossover.attention.exact.ScoreOptions.Gate;
import dev.crossover.attention.exact.ScoreOptions.QkNorm;
import dev.crossover.attention.exact.ScoreOptions.Rope;
import dev.crossover.attention.exact.ScoreOptions.SinkPositions;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachePolicy;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;

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
    @Parameter(value = "factor on q·k, 1/√d when absent", defaultValue = "") OptionalDouble scale,
    @Parameter(value = "norm of queries and keys", defaultValue = "none") QkNorm qkNorm,
    @Parameter(value = "inside the root, or least length (l2), >= 0", defaultValue = "1e-6")
        double qkNormEps,
    @Parameter(value = "pairs of features rotated by position", defaultValue = "none") Rope rope,
    @Parameter(value = "base of the rotation's frequencies, > 0", defaultValue = "10000")
        double ropeBase,
    @Parameter(value = "rotated features, even; all when absent", defaultValue = "")
        OptionalInt ropeDim,
    @Parameter(value = "added to every position", defaultValue = "0") int ropeOffset,
    @Parameter(value = "factor on rotated rows", defaultValue = "1") double ropeConcentration,
    @Parameter(value = "cap c of c tanh(score / c), > 0; none when absent", defaultValue = "")
        OptionalDouble logitSoftcap,
    @Parameter(value = "where the slopes of ALiBi come from", defaultValue = "none") Alibi alibi,
    @Parameter(value = "what a slope is multiplied with", defaultValue = "distance")
        AlibiForm alibiForm,
    @Parameter(
            value = "visible keys on each side, the own one included; all when absent",
            defaultValue = "")
        OptionalInt windowSize,
    @Parameter(value = "first keys visible outside the window, >= 0", defaultValue = "0")
        int sinkTokens,
    @Parameter(value = "position of a query that meets those", defaultValue = "original")
        SinkPositions sinkPositions,
    @Parameter(value = "a logit per head in the denominator", defaultValue = "false")
        boolean sinkLogit,
    @Parameter(value = "what the output gate goes through", defaultValue = "none")
        Gate outputGateActivation,
    @Parameter(value = "one gate per head instead of per feature", defaultValue = "false")
        boolean gatePerHead)
    implements CachingAttention, FittedAttention {

  /// Validates the parameters.
  public Tiled {
    if (scale.isPresent() && !Double.isFinite(scale.getAsDouble())) {
      throw new IllegalArgumentException("scale must be finite, but was " + scale.getAsDouble());
    }
    new ScoreOptions(
        qkNorm,
        qkNormEps,
        rope,
        ropeBase,
        ropeDim,
        ropeOffset,
        ropeConcentration,
        logitSoftcap,
        alibi,
        alibiForm,
        windowSize,
        sinkTokens,
        sinkPositions,
        sinkLogit,
        outputGateActivation,
        gatePerHead);
  }

  /// With a scale and score options.
  public Tiled(OptionalDouble scale, ScoreOptions options) {
    this(
        scale,
        options.qkNorm(),
        options.qkNormEps(),
        options.rope(),
        options.ropeBase(),
        options.ropeDim(),
        options.ropeOffset(),
        options.ropeConcentration(),
        options.logitSoftcap(),
        options.alibi(),
        options.alibiForm(),
        options.windowSize(),
        options.sinkTokens(),
        options.sinkPositions(),
        options.sinkLogit(),
        options.outputGate(),
        options.gatePerHead());
  }

  /// Without score options.
  public Tiled(OptionalDouble scale) {
    this(scale, ScoreOptions.NONE);
  }

  /// With the usual scale, 1/√d, and without score options.
  public Tiled() {
    this(OptionalDouble.empty());
  }

  /// The score options.
  public ScoreOptions options() {
    return new ScoreOptions(
        qkNorm,
        qkNormEps,
        rope,
        ropeBase,
        ropeDim,
        ropeOffset,
        ropeConcentration,
        logitSoftcap,
        alibi,
        alibiForm,
        windowSize,
        sinkTokens,
        sinkPositions,
        sinkLogit,
        outputGateActivation,
        gatePerHead);
  }

  private boolean isPlain() {
    return options().isNone();
  }

  /// This mechanism with a sink logit or a gate of the width that the tensors have.
  @Override
  public Attention fittedTo(Tensors inputs) {
    boolean perHead =
        inputs.has("output_gate")
            && inputs.has("v")
            && inputs.get("output_gate").rank() == 4
            && inputs.get("output_gate").extent(3) == 1
            && inputs.get("v").extent(3) != 1;
    if (!inputs.has("sink_logit") && !perHead) {
      return this;
    }
    ScoreOptions o = options();
    return new Tiled(
        scale,
        new ScoreOptions(
            o.qkNorm(),
            o.qkNormEps(),
            o.rope(),
            o.ropeBase(),
            o.ropeDim(),
            o.ropeOffset(),
            o.ropeConcentration(),
            o.logitSoftcap(),
            o.alibi(),
            o.alibiForm(),
            o.windowSize(),
            o.sinkTokens(),
            o.sinkPositions(),
            o.sinkLogit() || inputs.has("sink_logit"),
            o.outputGate(),
            o.gatePerHead() || perHead));
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
    addOptions(specs, s);
    return List.copyOf(specs);
  }

  /// The tensors of the score options that are on.
  private void addOptions(List<TensorSpec> specs, AttentionShape s) {
    int h = s.numHeads();
    if (alibi == Alibi.GIVEN) {
      specs.add(
          TensorSpec.parameter(
              "alibi_slopes",
              "slope per query head; the geometric ones",
              (_, shape) -> Tensor.of(ScoreOptions.geometricSlopes(shape[0]), shape),
              s,
              HEADS));
    }
    if (rope != Rope.NONE) {
      specs.add(
          TensorSpec.optional(
                  "rope_frequencies",
                  "angle per position of each rotated pair, instead of rope_base",
                  (seed, shape) -> Draws.uniform(seed, 0, 1, shape),
                  s,
                  Axis.of("rotated_pairs", options().rotated(s.headDim()) / 2))
              .constant());
    }
    for (String of : qkNorm == QkNorm.NONE ? List.<String>of() : List.of("q", "k")) {
      specs.add(
          TensorSpec.optional(
              of + "_norm_weight",
              "multiplies the normalised rows",
              (seed, shape) -> Draws.uniform(seed, 0.5, 1.5, shape),
              s,
              HEAD_DIM));
    }
    if (sinkLogit) {
      specs.add(
          TensorSpec.parameter(
              "sink_logit",
              "logit that takes part in the denominator only; 0",
              (_, shape) -> Tensor.zeros(shape),
              s,
              HEADS));
    }
    if (outputGateActivation != Gate.NONE) {
      specs.add(
          TensorSpec.input(
              "output_gate",
              "before the sigmoid, N(0,1)",
              Draws::gaussian,
              s,
              BATCH,
              HEADS,
              QUERY,
              gatePerHead ? ONE : VALUE_DIM));
    }
  }

  @Override
  public List<TensorSpec> results(AttentionShape s) {
    return List.of(
        TensorSpec.result(
                "lse",
                "log of the sum of the exponentials of a row's visible scores, −∞ without any",
                s,
                BATCH,
                HEADS,
                QUERY)
            .constant());
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double flops =
        s.problems() * Cost.pairs(s, mask) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    if (!isPlain()) {
      return new Cost(flops, Cost.tensorBytes(s), ScoredPlan.scratchBytes(s, options(), threads));
    }
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
    if (!isPlain()) {
      return new ScoredPlan(request, options(), factor);
    }
    return ShortPlan.suits(request.shape())
        ? new ShortPlan(request, factor)
        : new TiledPlan(request, factor);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    if (!isPlain()) {
      return new ScoredDifferentiable(request, options(), scaleFor(request.shape()));
    }
    return new TiledDifferentiable(request, scaleFor(request.shape()));
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    if (!isPlain()) {
      return ScoredDifferentiable.cost(s, mask, options(), threads);
    }
    return TiledDifferentiable.cost(s, mask, threads, cost(s, mask, threads).scratchBytes());
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    if (!isPlain()) {
      return new ScoredSession(this, shape, options(), scaleFor(shape), threads);
    }
    return new CachedKeys(this, shape, scaleFor(shape), threads);
  }

  @Override
  public Caching caching() {
    return Caching.COMPRESSED;
  }

  /// Over a cache that stores otherwise, or that keeps only some positions.
  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    CachePolicy policy = cache.policy();
    double factor = scaleFor(shape);
    return policy == null
        ? new StoredSession(this, shape, options(), factor, cache.storage(), threads)
        : new TiledCompressed(this, shape, factor, cache, policy, threads);
  }

  private double scaleFor(AttentionShape shape) {
    return scale.orElse(Attention.defaultScale(shape));
  }
}
