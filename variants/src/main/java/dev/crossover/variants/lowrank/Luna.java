// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.MODEL_DIM;
import static dev.crossover.attention.Axis.QUERY;

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
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/// Attention in two linear steps: a short extra sequence reads the context (pack), then every query
/// reads the packed sequence (unpack).
///
/// Ma, Kong, Wang, Zhou, May, Ma and Zettlemoyer, "Luna: Linear Unified Nested Attention", NeurIPS
/// 2021, arXiv:2106.01540, equations (4) to (7), causal form equations (8) to (11).
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
/// | P     | `pack`     | `[batch, pack_length, D]`; head level `[batch, heads, pack_length, d]` |
/// | Y_P   | `out_pack` | `[batch, pack_length, D]`, before any output map; causal: `pack` as it was |
/// | W     | `NAME_weight`, `NAME_bias` | `[D out, D in]`, `[D]`; y = x wᵀ + b       |
///
/// Maps: `pack_query`, `query`, `output`; tied `pack_context` (keys = values of pack) and `context`
/// (of unpack); untied `pack_key`, `pack_value`, `key`, `value`, and `pack_context` for the causal
/// form. Head level is the causal core alone: `q`, `k`, `v`, `pack_keys` `[batch, heads, nk, d]`
/// and `pack`, unscaled.
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
///
/// causal, r_t = 1/t, c = 1/√d, Ê_t = c r_t B_t ∘ (∂B_t − ⟨∂B_t, B_t⟩), ∂B_t = r_t ∂y_t (Σ_{j≤t} A_jᵀ v_j)ᵀ
/// ∂q_t = Ê_t (Σ_{j≤t} k_jᵀ A_j)ᵀ      ∂k_j = A_j (Σ_{t≥j} q_tᵀ Ê_t)ᵀ      ∂v_j = A_j Σ_{t≥j} r_t B_tᵀ ∂y_t
/// ∂A_j = v_j (Σ_{t≥j} r_t B_tᵀ ∂y_t)ᵀ + k_j Σ_{t≥j} q_tᵀ Ê_t      ∂a = ∂A ∘ ω'(a)
/// ∂K_p = c ∂a p_q      ∂p_q = c ∂aᵀ K_p
/// ```
///
/// Counts of tokens are constants. The packed sequence, log-sum-exps and the rows before the output
/// map are kept.
///
/// @param level a layer with its maps, or the causal core
/// @param heads heads of the unpack stage (causal: of everything); absent: the shape's
/// @param packHeads heads of the pack stage; absent: the unpack stage's
/// @param packLength l, at least 1
/// @param tieKeyValue whether keys are the values
/// @param activation ω, causal form
/// @param seed seed of the drawn weights
@Mechanism(
    name = "luna",
    title = "Luna",
    paper = "Ma et al., Luna: Linear Unified Nested Attention, NeurIPS 2021",
    arxiv = "2106.01540",
    family = Mechanism.Family.LOW_RANK,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no pack_length gives softmax attention",
    time = "8 n l d",
    memory = "2 l d",
    exponent = 1,
    bound = "the linear maps of its module, 61 % of the time; packing and unpacking are the rest",
    differences = {
      @Mechanism.Difference(
          what = "activation of the pack weights in the causal form",
          paper = "elu + 1",
          code = "log2(1 + 2^a)",
          paperOption = "activation=elu_plus_one",
          codeOption = "activation=softplus2",
          defaultIs = "the code's, because published results were made with it",
          test = "LunaHeadTest.activationsDifferInTheCausalForm")
    })
public record Luna(
    @Parameter(value = "layer with its maps, or causal core", defaultValue = "module") Level level,
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
    implements Attention {

  /// What is computed.
  public enum Level {
    /// A layer: maps, pack and unpack.
    MODULE,
    /// The causal core per head.
    HEAD
  }

  /// ω.
  public enum Activation {
    /// log2(1 + 2^a).
    SOFTPLUS2,
    /// elu(a) + 1.
    ELU_PLUS_ONE
  }

  /// Validates the parameters.
  public Luna {
    requirePositive("heads", heads.orElse(1));
    requirePositive("pack_heads", packHeads.orElse(1));
    requirePositive("pack_length", packLength);
  }

  /// The authors' setting at a level.
  public Luna(Level level, int packLength) {
    this(
        level,
        OptionalInt.empty(),
        OptionalInt.empty(),
        packLength,
        true,
        Activation.SOFTPLUS2,
        Draws.DEFAULT_SEED);
  }

  @Override
  public Capabilities capabilities() {
    boolean module = level == Level.MODULE;
    return Capabilities.MINIMAL
        .causal(module ? Causality.OPTIONAL : Causality.ALWAYS)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .valueDim(!module)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>();
    if (level == Level.HEAD) {
      specs.addAll(AttentionInputs.qkv(s));
      specs.add(sequence("pack_keys", s, BATCH, HEADS, KEY, HEAD_DIM));
      specs.add(sequence("pack", s, BATCH, HEADS, packed(), HEAD_DIM));
      return List.copyOf(specs);
    }
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

  /// Names of the linear maps of the module level; the untied ones cover both forms.
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
    return level == Level.HEAD
        ? List.of()
        : List.of(
            TensorSpec.result("out_pack", "the packed sequence", s, BATCH, packed(), MODEL_DIM));
  }

  @Override
  public List<Axis> outputAxes() {
    return level == Level.HEAD ? Attention.super.outputAxes() : List.of(BATCH, QUERY, MODEL_DIM);
  }

  @Override
  public AttentionShape shapeOf(Tensors inputs) {
    if (level == Level.HEAD) {
      return AttentionInputs.shapeOf(inputs);
    }
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
    if (level == Level.MODULE && qkv.has("q") && !qkv.has("x")) {
      given = Tensors.NONE.with("x", headsSideBySide(qkv.get("q")));
      if (shape.querySeqLen() != shape.keySeqLen()) {
        given = given.with("context", headsSideBySide(qkv.get("k")));
      }
    }
    return AttentionInputs.complete(this, shape, given, seed);
  }

  private static Tensor headsSideBySide(Tensor perHead) {
    int heads = perHead.extent(1);
    int n = perHead.extent(2);
    int d = perHead.extent(3);
    Tensor rows = Tensor.zeros(perHead.extent(0), n, heads * d);
    for (int row = 0; row < perHead.extent(0) * heads * n; row++) {
      int to = ((row / n / heads * n + row % n) * heads + row / n % heads) * d;
      System.arraycopy(perHead.data(), row * d, rows.data(), to, d);
    }
    return rows;
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
      double d = s.headDim();
      double dv = s.valueDim();
      double chunk = LunaChunk.ROWS;
      maps = 2 * width * width * (l + nk * (1 + keyMaps) + 2 * nq);
      core =
          s.numHeads()
              * (nk * l * (4 * d + 2 * dv + 5)
                  + nq * (l * (2 * d + 2 * dv + 5) + chunk * (2 * d + 3 * l + dv)));
    } else {
      maps = 2 * width * width * ((l + nk) * keyMaps + l + 2 * nq);
      core = 4 * l * width * (nq + nk) + 5 * l * (nq * heads(s) + nk * packHeads(s));
    }
    double flops = b * (core + (level == Level.MODULE ? maps : 0));
    return new Cost(flops, Cost.tensorBytes(s), LunaPlan.scratchBytes(this, s, mask, threads));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireHeads(request.shape());
    return new LunaPlan(this, request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireHeads(request.shape());
    return new LunaDifferentiable(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return LunaDifferentiable.cost(this, s, mask, threads);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    requireHeads(shape);
    return new LunaSession(this, shape);
  }

  private void requireHeads(AttentionShape s) {
    if (level == Level.HEAD && heads(s) != s.numHeads()) {
      throw new IllegalArgumentException(
          "luna: heads must be numHeads (" + s.numHeads() + ") at head level, but was " + heads(s));
    }
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
