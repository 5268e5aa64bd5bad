// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

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
import dev.crossover.attention.Scratch;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.select.KeyValueSession;
import dev.crossover.attention.select.LargestScores;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.store.Storage;
import java.util.OptionalInt;

/// Softmax over the k largest scores of each row: explicit selection.
///
/// Zhao et al., "Explicit Sparse Transformer: Concentrated Attention Through Explicit Selection",
/// 2019, arXiv:1912.11637, equations (3) to (5).
///
/// ```
/// P_ij = q_i·k_j/√d                 hidden pairs −∞ before the selection
/// t_i  = k-th largest of P_i
/// out_i = Σ_{j: P_ij >= t_i} softmax_j(P_ij) v_j          all ties with t_i stay
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | Q, K, V | `q`, `k`, `v` | `[B,H,nq,d]`, `[B,Hkv,nk,d]`, `[B,Hkv,nk,dv]` |
/// | P | a block of rows, never all | `[rows, nk]` |
/// | k | `top_k`, or `max(⌈nk / top_k_divisor⌉, min(top_k_minimum, nk))` | |
///
/// Gradients, with G = ∂out and p the softmax over the kept keys of a row:
///
/// ```
/// dp_ij = G_i·v_j      ds_ij = p_ij (dp_ij − Σ_l p_il dp_il)
/// ∂q_i = Σ_j ds_ij k_j/√d      ∂k_j = Σ_i ds_ij q_i/√d      ∂v_j = Σ_i p_ij G_i
/// ```
///
/// over the kept pairs, softmax's backward pass (Dao et al., arXiv:2205.14135, appendix B.2). Which
/// keys are kept is a constant: neither a dropped key nor the threshold gets a gradient. Nothing is
/// kept for the backward pass: scores are computed and selected again.
///
/// Time `2·n²·d` for the scores, all of which are needed, two passes over them for the selection,
/// and `2·n·k·d` for the values: at best half of exact attention, never less. Scratch a packed copy
/// of the keys and a few rows of scores. Honours every mask; a row with fewer than k visible keys
/// keeps them all, one without any is zero. Exact when `top_k >= nk`. Decodes with a full cache,
/// because any old key may be selected later.
///
/// Equal keys get equal scores, whatever their position, so that ties are ties.
///
/// @param topK keys kept per row, at least 1; 8, the paper's, when neither this nor a divisor is
///     given
/// @param topKDivisor keeps ⌈nk / divisor⌉ keys instead, at least 1
/// @param topKMinimum smallest number of keys kept with a divisor, at least 0
@Mechanism(
    name = "topk",
    title = "Explicit Sparse Transformer (top-k)",
    paper = "Zhao et al., Explicit Sparse Transformer, 2019",
    arxiv = "1912.11637",
    family = Mechanism.Family.SPARSE,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "top_k >= n",
    time = "2 n² d + n² + 2 n k d",
    memory = "n d + 24 n",
    exponent = 2,
    bound =
        "all n² scores, at the speed of any product; choosing the k largest reads each of them"
            + " twice more, and the values of k keys are few",
    differences =
        @Mechanism.Difference(
            what = "Number of keys kept",
            paper = "a constant k",
            code = "a constant, or a ratio of the keys with a lower bound",
            paperOption = "top_k=8",
            codeOption = "top_k_divisor=4",
            defaultIs = "the paper's constant",
            test = "TopKTest.divisorKeepsAShareOfTheKeysWithALowerBound"))
public record TopK(
    @Knob(
            values = {16, 32, 64, 128, 256},
            costs = "values per query; every score is computed in any case")
        @Parameter(value = "keys k kept per row, >= 1; 8 without a divisor", defaultValue = "")
        OptionalInt topK,
    @Parameter(value = "keeps ceil(nk / divisor) keys instead, >= 1", defaultValue = "")
        OptionalInt topKDivisor,
    @Parameter(value = "fewest keys kept with a divisor, >= 0", defaultValue = "0") int topKMinimum)
    implements CachingAttention {
  private static final int PAPERS_TOP_K = 8;

  /// Validates that one rule is given.
  public TopK {
    require(topK.orElse(1) >= 1, "top_k must be >= 1", topK);
    require(topKDivisor.orElse(1) >= 1, "top_k_divisor must be >= 1", topKDivisor);
    require(
        topK.isEmpty() || topKDivisor.isEmpty(),
        "top_k must be absent where top_k_divisor is given",
        topK);
    require(topKMinimum >= 0, "top_k_minimum must be >= 0", topKMinimum);
  }

  /// A constant number of keys.
  public TopK(int topK) {
    this(OptionalInt.of(topK), OptionalInt.empty(), 0);
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
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double pairs = s.problems() * Cost.pairs(s, mask);
    double flops = pairs * (2.0 * s.headDim() + 1) + kept(s, mask) * (2.0 * s.valueDim() + 5);
    double panels = 2.0 * s.batchSize() * s.numKeyValueHeads() * s.keySeqLen() * s.headDim();
    return new Cost(flops, Cost.tensorBytes(s) + Float.BYTES * panels, TopKRows.bytes(s, threads));
  }

  /// Pairs that are kept, without ties.
  private double kept(AttentionShape s, Mask mask) {
    double rows = (double) s.problems() * s.querySeqLen();
    return Math.min(s.problems() * Cost.pairs(s, mask), rows * keysKept(s.keySeqLen()));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new TopKPlan(request, this);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new TopKGradient(request, this);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    double pairs = s.problems() * Cost.pairs(s, mask);
    double flops =
        pairs * (2.0 * s.headDim() + 1) + kept(s, mask) * (4.0 * s.headDim() + 4.0 * s.valueDim());
    long scratch = TopKRows.bytes(s, threads) + TopKGradient.scratchBytes(s, threads);
    return new GradientCost(flops, 0, scratch);
  }

  @Override
  public Caching caching() {
    return Caching.COMPRESSED;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    return cache.suitSlots()
        ? new Session(shape, threads, cache.storage())
        : new TopKCompressed(this, shape, threads, cache);
  }

  /// The number of keys kept out of nk.
  int keysKept(int nk) {
    if (topKDivisor.isPresent()) {
      return Math.max(Math.ceilDiv(nk, topKDivisor.getAsInt()), Math.min(topKMinimum, nk));
    }
    return Math.min(topK.orElse(PAPERS_TOP_K), nk);
  }

  private static void require(boolean holds, String rule, Object value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }

  private final class Session extends KeyValueSession {
    private final int k;
    private final LargestScores[] largest;

    Session(AttentionShape shape, int threads, Storage storage) {
      super(TopK.this, shape, threads, shape.keySeqLen(), storage);
      k = keysKept(shape.keySeqLen());
      largest = new LargestScores[threads];
      Scratch scratch = new Scratch();
      for (int t = 0; t < threads; t++) {
        largest[t] = new LargestScores(scratch, shape.keySeqLen());
      }
    }

    @Override
    protected int see(int worker, int problem, int position, int[] into) {
      for (int j = 0; j <= position; j++) {
        into[j] = j;
      }
      return position + 1;
    }

    @Override
    protected int select(int worker, int count, int[] positions, float[] scores) {
      return largest[worker].keep(scores, count, k, positions, scores);
    }
  }
}
