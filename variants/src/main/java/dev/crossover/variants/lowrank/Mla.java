// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.QUERY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.FittedAttention;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.ScoreOptions.Rope;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.exact.TiledBackward;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Multi-head latent attention: exact attention whose keys and values are linear functions of one
/// short latent per token, and of one rotated key that all heads share.
///
/// DeepSeek-AI: "DeepSeek-V2", 2024, arXiv:2405.04434, section 2.1; "DeepSeek-V3",
/// arXiv:2412.19437. Code: deepseek-ai/DeepSeek-V3, inference/model.py, class MLA.
///
/// ```
/// c_j = latent_j / √(mean latent_j² + eps) ∘ latent_norm_weight          without a weight: latent_j
/// q_i = [qn_i ; R(p_i) qr_i],   t_j = R(j) key_rope_j                     p_i = i + nk − nq
///
/// naive:     k_hj = [key_up_h c_j ; t_j],   v_hj = value_up_h c_j,   s_hij = scale q_hi · k_hj
///            o_hi = Σ_j softmax_j(s_hij) v_hj
/// absorbed:  u_hi = key_up_hᵀ qn_hi,   s_hij = scale (u_hi · c_j + R qr_hi · t_j)
///            y_hi = Σ_j softmax_j(s_hij) c_j,   o_hi = value_up_h y_hi
/// ```
///
/// Both forms are one function; absorbed it is multi-query attention with the key `[c ; t]` and the
/// value c.
///
/// | paper       | here                   | shape                                       |
/// |-------------|------------------------|---------------------------------------------|
/// | [q^C; q^R]  | `q`, last dr not rotated | `[batch, heads, nq, dn + dr]`             |
/// | c^KV        | `latent`, before its norm | `[batch, nk, r]`                         |
/// | k^R         | `key_rope`, not rotated | `[batch, nk, dr]`                          |
/// | W^UK        | `key_up`               | `[heads, dn, r]`                            |
/// | W^UV        | `value_up`             | `[heads, dv, r]`                            |
/// | RMSNorm     | `latent_norm_weight`, optional | `[r]`                               |
/// | angles      | `rope_frequencies`, optional, instead of rope_base | `[dr / 2]`      |
///
/// Time of one head, naive `2·nk·(dn + dv)·r` and `2·(dn + dr + dv)` per pair, absorbed `2·nq·(dn +
/// dv)·r` and `2·(2·r + dr)` per pair; scratch the queries, keys and values of the form, which go
/// through the same fused softmax as those of exact attention. `attn_impl=auto` takes the form of
/// fewer FLOPs for whole sequences, the naive one where queries are many, and decodes absorbed, as
/// V3.2 does. A session caches r + dr numbers per token and layer absorbed, heads · (dn + dr + dv)
/// naive. Any mask; rows without a key are zero. Grouped heads do not apply.
///
/// Backward, with g = ∂out and the softmax's D_i = g_i · o_i (the fused one's), in the absorbed
/// form:
///
/// ```
/// dy_hi = value_up_hᵀ g_hi,   ∂value_up_h = Σ g_hi y_hiᵀ,   ds = scale w (dy_hi · c_j − D_hi)
/// du_hi = Σ_j ds_hij c_j,     ∂qn_hi = key_up_h du_hi,      ∂key_up_h = Σ qn_hi du_hiᵀ
/// ∂qr_hi = R(−p_i) Σ_j ds_hij t_j,   ∂key_rope_j = R(−j) Σ_h,i ds_hij R qr_hi
/// dc_j = Σ_h,i (w_hij dy_hi + ds_hij u_hi)
/// ∂latent_j = (e − x mean(e ∘ x)) / root,   e = dc_j ∘ weight,   x = latent_j / root,   ∂weight = Σ dc_j ∘ x
/// ```
///
/// and in the naive one, from the gradients of keys and values:
///
/// ```
/// dc_j = Σ_h (key_up_hᵀ ∂kn_hj + value_up_hᵀ ∂v_hj),   ∂key_up_h = Σ_j ∂kn_hj c_jᵀ,   ∂value_up_h = Σ_j ∂v_hj c_jᵀ
/// ```
///
/// Queries, keys, values and log-sum-exps are kept.
///
/// V2's equations have no norm on the latent, its text has one and so has the code: without
/// `latent_norm_weight` there is none here.
///
/// With a key of full rank and no norm it is ordinary attention; n = 1 returns value_up c. A YaRN
/// factor mscale² goes into `scale`.
///
/// @param attnImpl the form that is computed
/// @param kvLoraRank r, at least 1; 4 · dv when absent, as in V2 and V3
/// @param qkRopeHeadDim dr, even; a third of the width of q when absent, as in V2 and V3
/// @param rope pairs that are rotated together
/// @param ropeBase frequency base
/// @param eps inside the root of the norm
/// @param scale factor on the scores; 1/√(dn + dr) when absent
/// @param seed seed of the drawn parameters
@Mechanism(
    name = "mla",
    title = "Multi-head latent attention",
    paper = "DeepSeek-AI, DeepSeek-V2, 2024",
    arxiv = "2405.04434",
    family = Mechanism.Family.LOW_RANK,
    approximates = Mechanism.Approximates.NONE,
    exactness = "always softmax, over keys and values made of latents",
    time = "4 n² d + 4 n r d",
    memory = "3 n d + n r",
    exponent = 2,
    differences = {
      @Mechanism.Difference(
          what = "form",
          paper = "up-projections are absorbed into those of queries and outputs",
          code = "naive or absorbed, one per process; V3.2 reads prompts naive, decodes absorbed",
          paperOption = "attn_impl=absorb",
          codeOption = "",
          defaultIs = "the cheaper form of each call, as V3.2; the function is the same",
          test = "MlaTest.bothFormsAreOneFunction"),
      @Mechanism.Difference(
          what = "pairs of a rotation",
          paper = "does not say; ports permute the weights and rotate halves",
          code = "(2a, 2a + 1)",
          paperOption = "rope=half",
          codeOption = "",
          defaultIs = "the authors' code",
          test = "MlaTest.halvesRotateWhatPairsDoAfterAPermutation")
    })
public record Mla(
    @Parameter(
            value = "form: fewer FLOPs (decoding: absorbed), full keys and values, or latents",
            defaultValue = "auto")
        Form attnImpl,
    @Parameter(value = "width r of a latent, >= 1; 4 dv when absent", defaultValue = "")
        OptionalInt kvLoraRank,
    @Parameter(
            value = "rotated features dr of a query, even, >= 0; a third of its width when absent",
            defaultValue = "")
        OptionalInt qkRopeHeadDim,
    @Parameter(value = "features that are rotated together", defaultValue = "interleaved")
        Rope rope,
    @Parameter(value = "frequency base, > 0", defaultValue = "10000") double ropeBase,
    @Parameter(value = "added to the mean square in the norm of a latent", defaultValue = "1e-6")
        double eps,
    @Parameter(value = "factor on the scores; 1/sqrt(dn + dr) when absent", defaultValue = "")
        OptionalDouble scale,
    @Parameter(value = "seed of the drawn parameters", defaultValue = "42") long seed)
    implements CachingAttention, FittedAttention {

  /// The form that is computed.
  public enum Form {
    /// The one of fewer FLOPs; a session is absorbed.
    AUTO,
    /// Keys and values of every head.
    NAIVE,
    /// One key and value per token: the latent.
    ABSORB
  }

  /// Validates the parameters.
  public Mla {
    require(kvLoraRank.orElse(1) >= 1, "kv_lora_rank must be >= 1", kvLoraRank.orElse(1));
    int rotated = qkRopeHeadDim.orElse(0);
    require(rotated >= 0 && rotated % 2 == 0, "qk_rope_head_dim must be even and >= 0", rotated);
    require(ropeBase > 0 && Double.isFinite(ropeBase), "rope_base must be > 0", ropeBase);
    require(eps >= 0 && Double.isFinite(eps), "eps must be >= 0", eps);
    require(Double.isFinite(scale.orElse(1)), "scale must be finite", scale.orElse(1));
  }

  private static void require(boolean holds, String rule, Object value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }

  /// V3's settings in one form.
  public Mla(Form form) {
    this(
        form,
        OptionalInt.empty(),
        OptionalInt.empty(),
        Rope.INTERLEAVED,
        10000,
        1e-6,
        OptionalDouble.empty(),
        Draws.DEFAULT_SEED);
  }

  /// V3's settings.
  public Mla() {
    this(Form.AUTO);
  }

  /// The widths that `latent` and `key_rope` have.
  @Override
  public Attention fittedTo(Tensors inputs) {
    if (!inputs.has("latent") || !inputs.has("key_rope")) {
      return this;
    }
    return new Mla(
        attnImpl,
        OptionalInt.of(rank3(inputs, "latent").extent(2)),
        OptionalInt.of(rank3(inputs, "key_rope").extent(2)),
        rope,
        ropeBase,
        eps,
        scale,
        seed);
  }

  private static Tensor rank3(Tensors inputs, String name) {
    Tensor tensor = inputs.get(name);
    require(tensor.rank() == 3, name + " must have three dimensions", tensor);
    return tensor;
  }

  @Override
  public AttentionShape shapeOf(Tensors inputs) {
    Tensor q = inputs.get("q");
    require(q.rank() == 4, "q must have shape [batch, heads, seqLen, dim]", q);
    int values = inputs.has("value_up") ? rank3(inputs, "value_up").extent(1) : q.extent(3);
    int keys = rank3(inputs, "latent").extent(1);
    return new AttentionShape(
        q.extent(0), q.extent(1), q.extent(1), q.extent(2), keys, q.extent(3), q.extent(3), values);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .valueDim(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    int r = rank(s);
    Axis rank = Axis.of("rank", r);
    Axis rotated = Axis.of("rotated", rotated(s));
    TensorSpec.Draw map =
        (seed, shape) -> Draws.gaussian(seed, 1 / Math.sqrt(Math.max(1, r)), shape);
    return List.of(
        TensorSpec.input(
            "q",
            "queries, the last features to be rotated, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            HEADS,
            QUERY,
            HEAD_DIM),
        TensorSpec.input(
            "latent", "latents before the norm, N(0,1)", Draws::gaussian, s, BATCH, KEY, rank),
        TensorSpec.input(
            "key_rope",
            "key shared by all heads, to be rotated, N(0,1)",
            Draws::gaussian,
            s,
            BATCH,
            KEY,
            rotated),
        TensorSpec.parameter(
            "key_up",
            "from latents to keys, N(0,1/r)",
            map,
            s,
            HEADS,
            Axis.of("unrotated", Math.max(0, unrotated(s))),
            rank),
        TensorSpec.parameter(
            "value_up", "from latents to values, N(0,1/r)", map, s, HEADS, VALUE_DIM, rank),
        TensorSpec.optional(
            "latent_norm_weight",
            "weight of the norm of a latent; absent: no norm",
            (seed, shape) -> Draws.uniform(seed, 0.5, 1.5, shape),
            s,
            rank),
        TensorSpec.optional(
                "rope_frequencies",
                "angle per position of each rotated pair, instead of rope_base",
                (seed, shape) -> Draws.uniform(seed, 0, 1, shape),
                s,
                Axis.of("rotated_pairs", rotated(s) / 2))
            .constant());
  }

  /// r.
  int rank(AttentionShape s) {
    return kvLoraRank.orElse(4 * s.valueDim());
  }

  /// dr.
  int rotated(AttentionShape s) {
    return qkRopeHeadDim.orElse(2 * (s.headDim() / 6));
  }

  /// dn.
  int unrotated(AttentionShape s) {
    return s.headDim() - rotated(s);
  }

  /// The sizes of the softmax attention that a form is.
  AttentionShape inner(AttentionShape s, boolean absorbed) {
    if (!absorbed) {
      return s;
    }
    int width = rank(s) + rotated(s);
    return new AttentionShape(
        s.batchSize(), s.numHeads(), 1, s.querySeqLen(), s.keySeqLen(), width, width, rank(s));
  }

  /// The softmax attention that both forms are.
  Tiled softmax(AttentionShape s) {
    return new Tiled(OptionalDouble.of(scaleFor(s)));
  }

  /// Factor on the scores, of either form.
  double scaleFor(AttentionShape s) {
    return scale.orElse(Attention.defaultScale(s));
  }

  /// Whether a problem is computed in the absorbed form.
  boolean absorbed(AttentionShape s, Mask mask) {
    return switch (attnImpl) {
      case NAIVE -> false;
      case ABSORB -> true;
      case AUTO -> flops(s, mask, true) < flops(s, mask, false);
    };
  }

  private double flops(AttentionShape s, Mask mask, boolean absorbed) {
    return maps(s, absorbed) + rows(s) + softmax(s).cost(inner(s, absorbed), mask, 1).flops();
  }

  /// Multiply-adds of the two up-projections, counted as two.
  private double maps(AttentionShape s, boolean absorbed) {
    double positions = absorbed ? s.querySeqLen() : s.keySeqLen();
    return 2 * s.problems() * positions * (unrotated(s) + s.valueDim()) * rank(s);
  }

  /// Norms and rotations.
  private double rows(AttentionShape s) {
    double queries = (double) s.problems() * s.querySeqLen();
    double keys = (double) s.batchSize() * s.keySeqLen();
    return 3.0 * rotated(s) * (queries + keys) + 4.0 * rank(s) * keys;
  }

  private double bytesOfInputs(AttentionShape s) {
    double queries = (double) s.problems() * s.querySeqLen() * (s.headDim() + s.valueDim());
    double keys = (double) s.batchSize() * s.keySeqLen() * (rank(s) + rotated(s));
    double weights = (double) s.numHeads() * (unrotated(s) + s.valueDim()) * rank(s);
    return Float.BYTES * (queries + keys + weights);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    boolean absorbed = absorbed(s, mask);
    Cost inner = softmax(s).cost(inner(s, absorbed), mask, threads);
    return new Cost(
        maps(s, absorbed) + rows(s) + inner.flops(),
        bytesOfInputs(s) + 2 * inner.bytesMoved(),
        MlaMaps.bytes(this, s, absorbed, threads) + inner.scratchBytes());
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    boolean absorbed = absorbed(s, mask);
    AttentionShape inner = inner(s, absorbed);
    return new GradientCost(
        2 * maps(s, absorbed) + rows(s) + TiledBackward.flops(inner, mask),
        MlaMaps.tensorBytes(this, s, absorbed) + MlaGradient.keptBytes(s),
        MlaMaps.workBytes(this, s, threads)
            + softmax(s).cost(inner, mask, threads).scratchBytes()
            + MlaGradient.bytes(this, s, mask, absorbed, threads));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireWidths(request.shape());
    return new Plan(request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireWidths(request.shape());
    return new MlaGradient(this, request);
  }

  @Override
  public Caching caching() {
    return Caching.COMPRESSED;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    requireWidths(shape);
    if (cache.changesOutputs()) {
      return new MlaCompressed(this, shape, threads, cache);
    }
    return attnImpl == Form.NAIVE
        ? new MlaSession.Naive(this, shape, threads)
        : new MlaSession.Absorbed(this, shape, threads);
  }

  private void requireWidths(AttentionShape s) {
    if (unrotated(s) < 1) {
      throw new IllegalArgumentException(
          "mla: headDim must be > qk_rope_head_dim (" + rotated(s) + "), but was " + s.headDim());
    }
  }

  /// Queries, keys and values of the form; softmax attention over them; the outputs' map.
  private final class Plan extends AttentionPlan {
    private final MlaMaps maps;
    private final AttentionPlan softmax;

    Plan(PlanRequest request) {
      super(request);
      boolean absorbed = absorbed(shape, mask);
      maps = new MlaMaps(scratch, scratch, Mla.this, shape, mask, workers, absorbed);
      softmax = part(softmax(shape), inner(shape, absorbed), mask);
    }

    @Override
    protected void compute(Tensor output) {
      maps.expand(inputs());
      softmax.forward(maps.tensors(), maps.softmaxOutput(output));
      maps.project(output);
    }
  }
}
