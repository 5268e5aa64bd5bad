// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static dev.crossover.attention.Axis.HEAD_DIM;
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
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.ScoreOptions;
import dev.crossover.attention.exact.ScoreOptions.QkNorm;
import dev.crossover.attention.exact.ScoreOptions.Rope;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Differential attention: the difference of two softmax maps over the same values, normalised per
/// head, so that what both maps attend to cancels.
///
/// Ye et al., "Differential Transformer", ICLR 2025, arXiv:2410.05258, equations (1) to (3), and
/// the authors' code (microsoft/unilm, Diff-Transformer).
///
/// ```
/// A_c = softmax(scale q_{2h+c} kᵀ),  c = 0, 1                    rope: q and k rotated first
/// λ   = exp(λ_q1·λ_k1) − exp(λ_q2·λ_k2) + λ_init
/// y   = (A_0 − λ A_1) v
/// out = (1 − λ_init) y / √(mean y² + eps) ∘ norm_weight
/// ```
///
/// | paper      | here          | shape                               |
/// |------------|---------------|-------------------------------------|
/// | Q1, Q2     | `q`           | `[batch, 2 heads, nq, d]`, a head's two maps side by side |
/// | K1, K2     | `k`           | `[batch, 2 kvHeads, nk, d]`         |
/// | V          | `v`           | `[batch, kvHeads, nk, dv]`, dv = 2 d in the paper |
/// | λ_q1 …     | `lambda_q1` … | `[d]`, shared by all heads, drawn from N(0, 0.01) |
/// | –          | `norm_weight` | `[dv]`, 1 when absent               |
///
/// Heads are differential heads, half as many as the baseline's. Shared key heads, with
/// n = heads / kvHeads: map c of head h reads key head 2 ⌊h/n⌋ + c (paired) or ⌊(2h + c) / n⌋
/// (flat), and value head ⌊h/n⌋.
///
/// Both maps are heads of exact attention; they are combined after their softmaxes, with y in
/// double precision: it can be small everywhere, and the norm then amplifies what rounding left.
///
/// Time `8·pairs·d` per head (dv = d), two exponentials per pair; scratch q, k, v once more, v
/// twice. Honours every [Mask]. Rows that may see no key are zero. λ = 0: softmax attention,
/// normalised.
///
/// Backward, with g the gradient of `out`, r the root and u = y / r:
///
/// ```
/// e  = (1 − λ_init) g ∘ norm_weight      ∂norm_weight = Σ (1 − λ_init) g ∘ u
/// ∂y = (e − u mean(e ∘ u)) / r           ∂λ = −Σ ∂y · (A_1 v)
/// ∂(A_0 v) = ∂y,  ∂(A_1 v) = −λ ∂y       each map's q, k, v as exact attention
/// ∂λ_q1 = ∂λ exp(λ_q1·λ_k1) λ_k1, …      ∂λ_q2 = −∂λ exp(λ_q2·λ_k2) λ_k2, …
/// ```
///
/// The paper's GroupNorm per head is an RMS norm in the code, which all heads share a weight of.
/// The paper counts layers from 1, the code from 0: λ_init = 0.8 − 0.6 exp(−0.3 l), l from 0.
///
/// @param lambdaInit λ_init
/// @param eps inside the root of the norm
/// @param grouping which key heads the maps of a head read where heads share them
/// @param rope pairs of features rotated by position
/// @param ropeBase base of the rotation's frequencies
/// @param ropeDim rotated features; all when absent
/// @param scale factor on the dot products, 1/√d when absent
/// @param seed seed of the drawn λ vectors
@Mechanism(
    name = "differential",
    title = "Differential attention",
    paper = "Ye et al., Differential Transformer, ICLR 2025",
    arxiv = "2410.05258",
    family = Mechanism.Family.SCORE,
    approximates = Mechanism.Approximates.NONE,
    exactness = "λ = 0: softmax, each row divided by its root mean square",
    time = "8 n² d",
    memory = "8 n d",
    exponent = 2,
    differences = {
      @Mechanism.Difference(
          what = "key heads of the two maps where query heads share them",
          paper = "no grouped queries; multihead_flashdiff_1.py and _2.py: 2 ⌊h/n⌋ + c",
          code = "multihead_diffattn.py: ⌊(2h + c) / n⌋, with n = 2 the same for both maps",
          paperOption = "",
          codeOption = "grouping=flat",
          defaultIs = "the pairs, because both maps of a head then have keys of their own",
          test = "DifferentialTest.groupingsDifferWhereHeadsShareKeysOnly")
    })
public record Differential(
    @Parameter(value = "λ_init, 0.8 − 0.6 exp(−0.3 l) in layer l", defaultValue = "0.8")
        double lambdaInit,
    @Parameter(value = "added to the mean square, >= 0", defaultValue = "1e-5") double eps,
    @Parameter(value = "key heads of the maps where heads share them", defaultValue = "paired")
        Grouping grouping,
    @Parameter(value = "pairs of features rotated by position", defaultValue = "none") Rope rope,
    @Parameter(value = "base of the rotation's frequencies, > 0", defaultValue = "10000")
        double ropeBase,
    @Parameter(value = "rotated features, even; all when absent", defaultValue = "")
        OptionalInt ropeDim,
    @Parameter(value = "factor on q·k, 1/√d when absent", defaultValue = "") OptionalDouble scale,
    @Parameter(value = "seed of the drawn λ vectors", defaultValue = "42") long seed)
    implements CachingAttention {

  /// Names of the vectors that λ is made of: queries and keys of its two terms.
  static final List<String> LAMBDAS = List.of("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2");

  /// Which key heads the two maps of a head read.
  public enum Grouping {
    /// A pair of key heads, one for each map.
    PAIRED,
    /// Those of two neighbouring query heads of plain attention.
    FLAT
  }

  /// Validates the parameters.
  public Differential {
    if (!Double.isFinite(lambdaInit)) {
      throw new IllegalArgumentException("lambda_init must be finite, but was " + lambdaInit);
    }
    if (!(eps >= 0) || !Double.isFinite(eps)) {
      throw new IllegalArgumentException("eps must be >= 0 and finite, but was " + eps);
    }
    if (!Double.isFinite(scale.orElse(1))) {
      throw new IllegalArgumentException("scale must be finite, but was " + scale.getAsDouble());
    }
    options(rope, ropeBase, ropeDim);
  }

  /// Without rotation, with the usual scale.
  public Differential(double lambdaInit, Grouping grouping) {
    this(
        lambdaInit,
        1e-5,
        grouping,
        Rope.NONE,
        10000,
        OptionalInt.empty(),
        OptionalDouble.empty(),
        Draws.DEFAULT_SEED);
  }

  /// A deep layer's λ_init, 0.8.
  public Differential() {
    this(0.8, Grouping.PAIRED);
  }

  private static ScoreOptions options(Rope rope, double base, OptionalInt dim) {
    return ScoreOptions.ofRows(QkNorm.NONE, ScoreOptions.NONE.qkNormEps(), rope, base, dim);
  }

  /// How rows of q and k are rotated.
  ScoreOptions rotation() {
    return options(rope, ropeBase, ropeDim);
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
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(maps(s)).subList(0, 2));
    specs.add(AttentionInputs.qkv(s).get(2));
    for (String name : LAMBDAS) {
      specs.add(
          TensorSpec.parameter(
              name,
              "part of λ, N(0, 0.01)",
              (seed, shape) -> Draws.gaussian(seed, 0.1, shape),
              s,
              HEAD_DIM));
    }
    specs.add(
        TensorSpec.optional(
            "norm_weight",
            "weight of the RMS norm, shared by all heads",
            (seed, shape) -> Draws.uniform(seed, 0.5, 1.5, shape),
            s,
            VALUE_DIM));
    if (rope != Rope.NONE) {
      specs.add(
          TensorSpec.optional(
                  "rope_frequencies",
                  "angle per position of each rotated pair, instead of rope_base",
                  (seed, shape) -> Draws.uniform(seed, 0, 1, shape),
                  s,
                  Axis.of("rotated_pairs", ropeDim.orElse(s.headDim()) / 2))
              .constant());
    }
    return List.copyOf(specs);
  }

  /// The sizes read from `q`, `k`, `v`, in differential heads.
  @Override
  public AttentionShape shapeOf(Tensors inputs) {
    Tensor q = rank4(inputs, "q");
    Tensor k = rank4(inputs, "k");
    Tensor v = rank4(inputs, "v");
    require(q.extent(1) % 2 == 0, "q must have an even number of heads", q);
    require(k.extent(1) == 2 * v.extent(1), "k must have twice the heads of v", k);
    require(k.extent(2) == v.extent(2), "k must have the length of v", k);
    return new AttentionShape(
        q.extent(0),
        q.extent(1) / 2,
        v.extent(1),
        q.extent(2),
        k.extent(2),
        q.extent(3),
        k.extent(3),
        v.extent(3));
  }

  private static Tensor rank4(Tensors inputs, String name) {
    Tensor tensor = inputs.get(name);
    require(tensor.rank() == 4, name + " must have shape [batch, heads, seqLen, dim]", tensor);
    return tensor;
  }

  private static void require(boolean holds, String rule, Object value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }

  /// The given queries and keys become the first map's; the second's are drawn.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    Tensors given = qkv;
    for (TensorSpec spec : inputs(shape).subList(0, 2)) {
      String name = spec.name();
      if (qkv.has(name) && qkv.get(name).extent(1) * 2 == spec.shape().toArray()[1]) {
        Tensor both = spec.drawn(Draws.seedFor(seed, "second " + name));
        int head = both.extent(2) * both.extent(3);
        for (int h = 0; h * head < qkv.get(name).size(); h++) {
          System.arraycopy(qkv.get(name).data(), h * head, both.data(), 2 * h * head, head);
        }
        given = given.with(name, both);
      }
    }
    return AttentionInputs.complete(this, shape, given, seed);
  }

  /// The sizes of the exact attention that all maps are: two heads for one.
  AttentionShape maps(AttentionShape s) {
    return s.withBatchAndHeads(s.batchSize(), 2 * s.numHeads());
  }

  /// The exact attention that all maps are.
  Tiled softmax(AttentionShape s) {
    return new Tiled(OptionalDouble.of(scaleFor(s)));
  }

  /// The head of `q` whose map is a given head of the exact attention, where heads that share a key
  /// head stand side by side.
  int source(AttentionShape s, int map) {
    int group = s.groupSize();
    if (grouping == Grouping.FLAT) {
      return map;
    }
    int keyHead = map / group;
    return 2 * (keyHead / 2 * group + map % group) + keyHead % 2;
  }

  /// The head of the exact attention that is the second map of the head whose first map is given.
  int second(AttentionShape s, int map) {
    return map + (grouping == Grouping.FLAT ? 1 : s.groupSize());
  }

  /// Factor on the dot products.
  double scaleFor(AttentionShape s) {
    return scale.orElse(Attention.defaultScale(s));
  }

  /// λ_init + the difference of the exponentials of the given products.
  double lambda(double first, double second) {
    return Math.exp(first) - Math.exp(second) + lambdaInit;
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    Cost maps = softmax(s).cost(maps(s), mask, threads);
    double outputs = (double) s.problems() * s.querySeqLen() * s.valueDim();
    return new Cost(
        maps.flops() + rotations(s) + 7 * outputs + 6.0 * s.headDim(),
        2 * maps.bytesMoved(),
        DifferentialMaps.bytes(this, s, threads) + maps.scratchBytes());
  }

  /// Operations that rotate queries and keys.
  double rotations(AttentionShape s) {
    double rows =
        2.0 * s.problems() * s.querySeqLen()
            + 2.0 * s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
    return rope == Rope.NONE ? 0 : 3 * rows * ropeDim.orElse(s.headDim());
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new DifferentialGradient(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return DifferentialGradient.cost(this, s, mask, threads);
  }

  @Override
  public Caching caching() {
    return Caching.APPENDED;
  }

  /// Two maps share each value, and policies rank by one: they are refused.
  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    return new DifferentialSession(this, shape, cache.requireWhole(this));
  }

  private final class Plan extends AttentionPlan {
    private final DifferentialMaps maps;
    private final AttentionPlan softmax;

    Plan(PlanRequest request) {
      super(request);
      maps = new DifferentialMaps(scratch, scratch, Differential.this, shape, mask, workers);
      softmax = part(softmax(shape), maps(shape), mask);
    }

    @Override
    protected void compute(Tensor output) {
      maps.expand(inputs());
      softmax.forward(maps.tensors(), maps.outputs());
      maps.combine(output.data());
    }
  }
}
