// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.MODEL_DIM;
import static dev.crossover.attention.Axis.QUERY;

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
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.lowrank.Luna;
import dev.crossover.variants.lowrank.Luna.Activation;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/// Attention in two linear steps, with its own maps: a short extra sequence reads the context
/// (pack), then every query reads the packed sequence (unpack).
///
/// Ma, Kong, Wang, Zhou, May, Ma and Zettlemoyer, "Luna: Linear Unified Nested Attention", NeurIPS
/// 2021, arXiv:2106.01540, equations (4) to (7), causal form equations (8) to (11). The causal form
/// between the maps is the mechanism [Luna].
///
/// ```
/// pack:    Y_P = softmax(p W_pq (c W_pk)ᵀ / √d_p) c W_pv                  out_pack
/// unpack:  Y_X = softmax(x W_q (Y_P W_k)ᵀ / √d) Y_P W_v W_o               out
///
/// causal:  A_t = ω(c_t W_pc (p W_pq)ᵀ / √d)
///          f(X, Y, Z)_t = X_t · mean_{j ≤ t} Y_jᵀ Z_j
///          B = softmax(f(x W_q / √d, c W_k, A)),   out = f(B, A, c W_v) W_o
/// ```
///
/// | paper | here       | shape                                                       |
/// |-------|------------|-------------------------------------------------------------|
/// | X     | `x`        | `[batch, nq, D]`, D = numHeads · d                          |
/// | C     | `context`  | `[batch, nk, D]`; absent with nk = nq: x                    |
/// | P     | `pack`     | `[batch, pack_length, D]`                                     |
/// | Y_P   | `out_pack` | `[batch, pack_length, D]`, before any output map; causal: `pack` as it was |
/// | W     | `NAME_weight`, `NAME_bias` | `[D out, D in]`, `[D]`; y = x wᵀ + b       |
///
/// Maps: `pack_query`, `query`, `output`; tied `pack_context` (keys = values of pack) and `context`
/// (of unpack); untied `pack_key`, `pack_value`, `key`, `value`, and `pack_context` for the causal
/// form.
///
/// Time without the maps `8·n·l·d` per head (causal 10, and `4·n·C·d` inside chunks of C = 64);
/// scratch the packed sequence or the states, `2·l·d` per thread, and the maps' weights transposed.
/// Key padding hides context rows from the pack stage; in the causal form they add nothing and do
/// not count in the means (the authors' code ignores its mask there). A causal row attends to the
/// tokens its offset allows. Does not reduce to softmax attention for any pack_length.
///
/// Backward, derived from the equations; in both stages of the first form softmax attention's:
///
/// ```
/// ∂S = P ∘ (∂Y vᵀ − rowsum(∂Y ∘ Y)) / √d      ∂q = ∂S k      ∂k = ∂Sᵀ q      ∂v = Pᵀ ∂Y
/// ∂Y_P = ∂k W_k + ∂v W_v + ∂out_pack; tied: both gradients of a row are added
/// y = x wᵀ + b:  ∂x = ∂y w,  ∂w = ∂yᵀ x,  ∂b = Σ ∂y
/// ```
///
/// In the causal form [Luna]'s, between the maps. The packed sequence, log-sum-exps and the rows
/// before the output map are kept.
///
/// @param heads heads of the unpack stage (causal: of everything); absent: the shape's
/// @param packHeads heads of the pack stage; absent: the unpack stage's
/// @param packLength l, at least 1
/// @param tieKeyValue whether keys are the values
/// @param activation ω, causal form
/// @param seed seed of the drawn weights
@Mechanism(
    name = "luna",
    goldenLevels = {"module", ""},
    title = "Luna",
    paper = "Ma et al., Luna: Linear Unified Nested Attention, NeurIPS 2021",
    arxiv = "2106.01540",
    family = Mechanism.Family.LOW_RANK,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no pack_length gives softmax attention",
    time = "8 n l d",
    memory = "2 l d",
    exponent = 1,
    bound = "its linear maps, 61 % of the time; packing and unpacking are the rest")
public record LunaLayer(
    @Parameter(value = "heads of the unpack stage, the shape's when absent", defaultValue = "")
        OptionalInt heads,
    @Parameter(value = "heads of the pack stage, those of unpack when absent", defaultValue = "")
        OptionalInt packHeads,
    @Knob(
            values = {16, 32, 64, 128},
            costs = "pack length l: 8 n l d")
        @Parameter(value = "length l of the extra sequence, >= 1", defaultValue = "16")
        int packLength,
    @Parameter(value = "keys are the values", defaultValue = "true") boolean tieKeyValue,
    @Parameter(value = "pack weights of the causal form", defaultValue = "softplus2")
        Activation activation,
    @Parameter(value = "seed of the drawn weights", defaultValue = "42") long seed)
    implements NamedLayer {

  /// Validates the parameters.
  public LunaLayer {
    requirePositive("heads", heads.orElse(1));
    requirePositive("pack_heads", packHeads.orElse(1));
    requirePositive("pack_length", packLength);
  }

  /// The authors' setting.
  public LunaLayer(int packLength) {
    this(
        OptionalInt.empty(),
        OptionalInt.empty(),
        packLength,
        true,
        Activation.SOFTPLUS2,
        Draws.DEFAULT_SEED);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>();
    int width = width(s);
    specs.add(sequence("x", s, BATCH, QUERY, MODEL_DIM));
    specs.add(
        new TensorSpec(
            "context",
            s.querySeqLen() == s.keySeqLen() ? TensorSpec.Role.OPTIONAL : TensorSpec.Role.INPUT,
            "what is packed, x when absent, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            KEY,
            MODEL_DIM));
    specs.add(sequence("pack", s, BATCH, packed(), MODEL_DIM));
    for (String map : maps()) {
      specs.add(
          TensorSpec.parameter(
              map + "_weight",
              "map [out, in], Xavier uniform",
              (seed, shape) -> {
                double bound = Math.sqrt(3.0 / width);
                return Draws.uniform(seed, -bound, bound, shape);
              },
              s,
              Axis.of("out", width),
              Axis.of("in", width)));
      specs.add(
          TensorSpec.parameter(
              map + "_bias", "zeros", (_, shape) -> Tensor.zeros(shape), s, Axis.of("out", width)));
    }
    return List.copyOf(specs);
  }

  private static TensorSpec sequence(String name, AttentionShape s, Axis... axes) {
    return TensorSpec.input(name, "N(0,1)", Draws::gaussian, s, axes);
  }

  private Axis packed() {
    return Axis.of("packed", packLength);
  }

  /// Names of the linear maps; the untied ones cover both forms.
  List<String> maps() {
    return tieKeyValue
        ? List.of("pack_query", "pack_context", "context", "query", "output")
        : List.of(
            "pack_query",
            "pack_key",
            "pack_value",
            "pack_context",
            "key",
            "value",
            "query",
            "output");
  }

  @Override
  public List<TensorSpec> results(AttentionShape s) {
    return List.of(
        TensorSpec.result("out_pack", "the packed sequence", s, BATCH, packed(), MODEL_DIM));
  }

  @Override
  public List<Axis> outputAxes() {
    return List.of(BATCH, QUERY, MODEL_DIM);
  }

  @Override
  public AttentionShape shapeOf(Tensors inputs) {
    Tensor x = inputs.get("x");
    if (x.rank() != 3) {
      throw new IllegalArgumentException("x must have shape [batch, seqLen, width], but was " + x);
    }
    int given = heads.orElse(1);
    if (x.extent(2) % given != 0) {
      throw new IllegalArgumentException(
          "luna: heads must divide the width of x (" + x.extent(2) + "), but was " + given);
    }
    int nk = inputs.has("context") ? inputs.get("context").extent(1) : x.extent(1);
    return AttentionShape.of(x.extent(0), given, x.extent(1), x.extent(2) / given)
        .withSeqLens(x.extent(1), nk);
  }

  /// Queries become x, heads side by side; where the lengths differ, keys become the context.
  @Override
  public Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    Tensors given = qkv;
    if (qkv.has("q") && !qkv.has("x")) {
      given = Tensors.NONE.with("x", MultiHeadLayer.headsSideBySide(qkv.get("q")));
      if (shape.querySeqLen() != shape.keySeqLen()) {
        given = given.with("context", MultiHeadLayer.headsSideBySide(qkv.get("k")));
      }
    }
    return AttentionInputs.complete(this, shape, given, seed);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double b = s.batchSize();
    double nq = s.querySeqLen();
    double nk = s.keySeqLen();
    double l = packLength;
    double width = width(s);
    double keyMaps = tieKeyValue ? 1 : 2;
    double maps;
    double core;
    if (mask.isCausal()) {
      AttentionShape behind = headed(s);
      maps = l + nk * (1 + keyMaps) + 2 * nq;
      core = Luna.flops(packLength, behind, behind.headDim(), behind.valueDim());
    } else {
      maps = (l + nk) * keyMaps + l + 2 * nq;
      core = b * (4 * l * width * (nq + nk) + 5 * l * (nq * heads(s) + nk * packHeads(s)));
    }
    double flops = 2 * b * width * width * maps + core;
    return new Cost(flops, Cost.tensorBytes(s), LunaLayerPlan.scratchBytes(this, s, mask, threads));
  }

  /// The problem of the unpack stage's heads behind the maps.
  AttentionShape headed(AttentionShape s) {
    return AttentionShape.of(s.batchSize(), heads(s), s.querySeqLen(), width(s) / heads(s))
        .withSeqLens(s.querySeqLen(), s.keySeqLen());
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireHeads(request.shape());
    return new LunaLayerPlan(this, request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireHeads(request.shape());
    return new LunaLayerGradient(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return LunaLayerGradient.cost(this, s, mask, threads);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    requireHeads(shape);
    return new LunaLayerSession(this, shape);
  }

  private void requireHeads(AttentionShape s) {
    if (width(s) % heads(s) != 0 || width(s) % packHeads(s) != 0) {
      throw new IllegalArgumentException(
          "luna: heads and pack_heads must divide the width ("
              + width(s)
              + "), but were "
              + heads(s)
              + " and "
              + packHeads(s));
    }
  }

  private static void requirePositive(String name, int value) {
    if (value < 1) {
      throw new IllegalArgumentException(name + " must be >= 1, but was " + value);
    }
  }

  /// Model width D.
  static int width(AttentionShape s) {
    return s.numHeads() * s.headDim();
  }

  /// Heads of the unpack stage.
  int heads(AttentionShape s) {
    return heads.orElse(s.numHeads());
  }

  /// Heads of the pack stage.
  int packHeads(AttentionShape s) {
    return packHeads.orElse(heads(s));
  }
}
