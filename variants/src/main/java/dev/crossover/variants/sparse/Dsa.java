// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.KEY;

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
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// DeepSeek sparse attention: a small indexer scores all earlier tokens, and softmax attention goes
/// over the k best, the same ones for all heads.
///
/// DeepSeek-AI: "DeepSeek-V3.2-Exp", 2025; "DeepSeek-V3.2", arXiv:2512.02556. Code: fla-org's
/// ops/dsa/naive.py on grouped queries, deepseek-ai/DeepSeek-V3.2-Exp inference/model.py on
/// latents.
///
/// ```
/// I_ts  = Σ_j index_weight_jt relu(index_scale index_query_jt · index_key_s)
/// S_t   = the k allowed s ≤ t of the largest I_ts, of equal ones the earlier; all if there are fewer
/// out_t = Σ_{s ∈ S_t} softmax_s(scale q_t · k_s) v_s
/// ```
///
/// | paper   | here                    | shape                                               |
/// |---------|-------------------------|-----------------------------------------------------|
/// | Q, K, V | `q`, `k`, `v`           | `[B,H,n,d]`, `[B,Hkv,n,d]`, `[B,Hkv,n,dv]`          |
/// | q^I     | `index_query`           | `[B,HI,n,dI]`                                       |
/// | k^I     | `index_key`             | `[B,n,dI]`, one for all index heads                 |
/// | w^I     | `index_weight`          | `[B,HI,n]`, of any sign                             |
///
/// Equal keys get equal scores, whatever their position. Scores of zero are common, as of every
/// relu, and rank above negative ones.
///
/// The first rows, which see no more than k keys, need no indexer and go through the fused softmax.
/// Time of the indexer `(2·dI + 3)·HI` per pair, still n²/2 pairs, once for all heads; of the
/// attention `2·n·k·(d + dv)` per head. Scratch the packed index keys, the first k keys packed, the
/// chosen positions, n · k, and some rows of scores per thread. Any key padding: a padded key is
/// not allowed; a row without keys is zero. Exact for top_k ≥ n. Decodes with all keys, values and
/// index keys cached.
///
/// Backward: S_t is a constant. With G = ∂out and p the softmax over S_t:
///
/// ```
/// ds_ts = p_ts (G_t · v_s − Σ_l p_tl G_t · v_l)
/// ∂q_t = scale Σ_s ds_ts k_s      ∂k_s = scale Σ_t ds_ts q_t      ∂v_s = Σ_t p_ts G_t
/// ```
///
/// The indexer gets no gradient from the output: it is trained apart, to match the summed attention
/// weights. The chosen positions are kept.
///
/// torch.topk breaks ties arbitrarily, here the earlier key wins. V3.2 masks after its top-k of the
/// first rows, to the same effect; its fp8 indexer with a Hadamard rotation chooses other keys near
/// ties.
///
/// @param topK k, at least 1
/// @param indexNHeads HI; half of the query heads, as in V3.2, when absent
/// @param indexHeadDim dI; the width of q when absent
/// @param scale factor on q · k; 1/√d when absent
/// @param indexScale factor on index_query · index_key; 1/√dI when absent
@Mechanism(
    name = "dsa",
    title = "DeepSeek sparse attention",
    paper = "DeepSeek-AI, DeepSeek-V3.2, 2025",
    arxiv = "2512.02556",
    family = Mechanism.Family.SPARSE,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "top_k >= n",
    time = "n² d / 2 + 4 n k d",
    memory = "n d + n k",
    exponent = 2)
public record Dsa(
    @Knob(
            values = {32, 64, 128, 256, 512, 1024},
            costs = "keys and values per query; the indexer scores every key in any case")
        @Parameter(value = "keys k of a query, >= 1", defaultValue = "2048")
        int topK,
    @Parameter(
            value = "heads of the indexer, >= 1; half of the heads when absent",
            defaultValue = "")
        OptionalInt indexNHeads,
    @Parameter(value = "width of an index key, >= 1; that of q when absent", defaultValue = "")
        OptionalInt indexHeadDim,
    @Parameter(value = "factor on q.k; 1/sqrt(d) when absent", defaultValue = "")
        OptionalDouble scale,
    @Parameter(
            value = "factor on index_query.index_key; 1/sqrt(its width) when absent",
            defaultValue = "")
        OptionalDouble indexScale)
    implements CachingAttention, FittedAttention {

  /// Validates the parameters.
  public Dsa {
    require(topK >= 1, "top_k must be >= 1", topK);
    require(indexNHeads.orElse(1) >= 1, "index_n_heads must be >= 1", indexNHeads.orElse(1));
    require(indexHeadDim.orElse(1) >= 1, "index_head_dim must be >= 1", indexHeadDim.orElse(1));
    require(Double.isFinite(scale.orElse(1)), "scale must be finite", scale.orElse(1));
    require(
        Double.isFinite(indexScale.orElse(1)), "index_scale must be finite", indexScale.orElse(1));
  }

  private static void require(boolean holds, String rule, Object value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }

  /// A number of keys.
  public Dsa(int topK) {
    this(
        topK,
        OptionalInt.empty(),
        OptionalInt.empty(),
        OptionalDouble.empty(),
        OptionalDouble.empty());
  }

  /// V3.2's number of keys.
  public Dsa() {
    this(2048);
  }

  /// With the heads and the width that the indexer's tensors have.
  @Override
  public Attention fittedTo(Tensors inputs) {
    if (!inputs.has("index_query") || inputs.get("index_query").rank() != 4) {
      return this;
    }
    return new Dsa(
        topK,
        OptionalInt.of(inputs.get("index_query").extent(1)),
        OptionalInt.of(inputs.get("index_query").extent(3)),
        scale,
        indexScale);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.ALWAYS)
        .keyPadding(Padding.ANY)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    Axis indexHeads = Axis.of("index_heads", indexHeads(s));
    Axis indexDim = Axis.of("index_dim", indexDim(s));
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.input(
                "index_query",
                "queries of the indexer, N(0,1)",
                Draws::gaussian,
                s,
                BATCH,
                indexHeads,
                KEY,
                indexDim)
            .constant());
    specs.add(
        TensorSpec.input(
                "index_key",
                "keys of the indexer, N(0,1)",
                Draws::gaussian,
                s,
                BATCH,
                KEY,
                indexDim)
            .constant());
    specs.add(
        TensorSpec.input(
                "index_weight",
                "weights of the index heads, N(0,1)",
                Draws::gaussian,
                s,
                BATCH,
                indexHeads,
                KEY)
            .constant());
    return List.copyOf(specs);
  }

  /// HI.
  int indexHeads(AttentionShape s) {
    return indexNHeads.orElse(Math.max(1, s.numHeads() / 2));
  }

  /// dI.
  int indexDim(AttentionShape s) {
    return indexHeadDim.orElse(s.headDim());
  }

  /// Factor on the dot products.
  double scaleFor(AttentionShape s) {
    return scale.orElse(Attention.defaultScale(s));
  }

  /// Factor on the dot products of the indexer.
  double indexScaleFor(AttentionShape s) {
    return indexScale.orElse(1 / Math.sqrt(indexDim(s)));
  }

  /// Most keys of a query.
  int most(AttentionShape s) {
    return Math.min(topK, s.keySeqLen());
  }

  /// First row that sees more than k keys; the rows before it choose all they see.
  int firstSparse(AttentionShape s, Mask mask) {
    int n = s.querySeqLen();
    int t = 0;
    while (t < n && mask.causalLimit(t, n, s.keySeqLen()) <= topK) {
      t++;
    }
    return t;
  }

  @Override
  public ExactTarget exactTarget(AttentionShape shape, Mask mask, Tensors inputs) {
    return new ExactTarget(
        shape, mask, inputs.get("q"), inputs.get("k"), inputs.get("v"), scaleFor(shape));
  }

  /// Chosen pairs of a head, without padding.
  private double chosen(AttentionShape s, Mask mask) {
    double pairs = 0;
    for (int i = 0; i < s.querySeqLen(); i++) {
      pairs += Math.min(topK, mask.causalLimit(i, s.querySeqLen(), s.keySeqLen()));
    }
    return pairs;
  }

  /// The scores of rows that have a choice.
  private double indexer(AttentionShape s, Mask mask) {
    double perPair = (2.0 * indexDim(s) + 3) * indexHeads(s);
    double pairs = 0;
    for (int i = firstSparse(s, mask); i < s.querySeqLen(); i++) {
      pairs += mask.causalLimit(i, s.querySeqLen(), s.keySeqLen());
    }
    return s.batchSize() * pairs * perPair;
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double perPair = 2.0 * s.headDim() + 2.0 * s.valueDim() + 5;
    double index = (double) s.batchSize() * s.keySeqLen() * (indexHeads(s) + 3) * indexDim(s);
    return new Cost(
        indexer(s, mask) + s.problems() * chosen(s, mask) * perPair,
        Cost.tensorBytes(s) + Float.BYTES * index,
        DsaPlan.scratchBytes(this, s, threads) + DsaPlan.chosenBytes(this, s));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new DsaPlan(request, this, null);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new DsaGradient(request, this);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double perPair = 6.0 * s.headDim() + 4.0 * s.valueDim() + 8;
    return new GradientCost(
        s.problems() * chosen(s, mask) * perPair,
        DsaPlan.chosenBytes(this, s),
        DsaPlan.scratchBytes(this, s, threads) + DsaGradient.scratchBytes(this, s, threads));
  }

  @Override
  public Caching caching() {
    return Caching.APPENDED;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    return new DsaSession(this, shape, threads, cache.requireWhole(this));
  }
}
