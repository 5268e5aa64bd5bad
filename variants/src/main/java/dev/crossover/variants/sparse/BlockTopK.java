// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Ability;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.mechanism.Branch;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.select.ChosenBlocks;
import dev.crossover.attention.select.KeyValueSession;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.store.SlotStore;
import dev.crossover.attention.store.Storage;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// Selected key blocks with a window and sinks: the general form behind MoBA, Quest and MInference,
/// for causal and bidirectional attention, cross-attention and decoding.
///
/// Means of blocks: Lu et al., MoBA, 2025, arXiv:2502.13189; bounds of a page: Tang et al., Quest,
/// ICML 2024, arXiv:2406.10774; groups of queries: Jiang et al., MInference, NeurIPS 2024,
/// arXiv:2407.02490.
///
/// ```
/// score_ix  = q_i · mean of block x's keys                       selection=mean
///           = Σ_c max(q_ic min_c, q_ic max_c) = q⁺·max + q⁻·min   selection=bounds, ≥ q_i · k_j
/// score_gx  = mean of score_ix over the queries of group g
/// chosen    = the top_k candidates x of largest score_gx; of equal ones the lower
/// visible   j in a chosen block, or │p_i − j│ < window_size, or j < sink_tokens; each key once
/// out_i     = Σ_j softmax_j(q_i · k_j / √d) v_j
/// ```
///
/// | symbol | here | shape |
/// |---|---|---|
/// | q, k, v | `q`, `k`, `v` | `[B,H,nq,d]`, `[B,Hkv,nk,d]`, `[B,Hkv,nk,dv]` |
/// | b, N | `block_size`, ⌈nk / b⌉ blocks | |
/// | g | `query_block` consecutive queries choose together | |
/// | p_i | i + nk − nq | |
///
/// Candidates have a real key and, in causal order, start no later than the group's last query.
/// Only real keys count in means and bounds. A query's own block is chosen only if its score is
/// among the largest: the window is for the neighbourhood. Scores that choose are not scaled.
///
/// Gradients, with G = ∂out, L a row's log-sum-exp over all that it sees and D its G·out:
///
/// ```
/// p_ij = exp(s_ij − L_i)      ds_ij = p_ij (G_i·v_j − D_i)      s_ij = q_i·k_j/√d
/// ∂q_i = Σ_j ds_ij k_j/√d     ∂k_j = Σ_i ds_ij q_i/√d           ∂v_j = Σ_i p_ij G_i
/// ```
///
/// over the visible j of each i: softmax's backward pass (Dao et al., arXiv:2205.14135, appendix
/// B.2). The choice of blocks is a constant: no gradient passes through scores, means and bounds.
/// Kept: L and the chosen blocks of every group; weights are computed again.
///
/// Time `2·n·N·d / query_block` for the choice and `4·n·(top_k·b + window + sinks)·d`; scratch a
/// packed copy of the keys and the blocks' summaries. Honours every mask. Exact when `top_k >= N`.
/// Decodes with a full cache and running summaries; a session's queries choose one by one. In
/// causal order a block's summary holds later keys of the block, and a group's score later queries:
/// what a row attends to is never later than itself, but its choice may depend on what is, so that
/// decoding chooses otherwise.
///
/// @param blockSize b, at least 1
/// @param topK blocks a group chooses, at least 0
/// @param selection what a block is summarised by
/// @param queryBlock queries that choose together, at least 1
/// @param windowSize keys on each side that are always visible, the own one included; 0 is off
/// @param sinkTokens first keys that are always visible
@Mechanism(
    name = "block_topk",
    title = "Selected key blocks with window and sinks",
    paper = "after Lu et al. 2025 (MoBA), Tang et al. 2024 (Quest), Jiang et al. 2024 (MInference)",
    family = Mechanism.Family.SPARSE,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "top_k >= n / block_size",
    time = "2 n² d / (b query_block) + 4 n (top_k b + window + sinks) d",
    memory = "n d + n d / b",
    exponent = 2)
public record BlockTopK(
    @Knob(
            values = {32, 64, 128},
            costs = "keys per block; fewer blocks to choose from",
            accuracy = Knob.Accuracy.DEPENDS)
        @Parameter(value = "keys per block b, >= 1", defaultValue = "64")
        int blockSize,
    @Knob(
            values = {2, 4, 8, 16, 32},
            costs = "b keys per block and query")
        @Branch("chosen")
        @Parameter(value = "blocks chosen, >= 0", defaultValue = "8")
        int topK,
    @Parameter(value = "what a block is summarised by", defaultValue = "mean") Selection selection,
    @Knob(
            values = {1, 16, 64},
            costs = "cheaper choice, dense tiles",
            accuracy = Knob.Accuracy.FALLS)
        @Parameter(value = "queries that choose together, >= 1", defaultValue = "1")
        int queryBlock,
    @Knob(
            values = {0, 64, 256},
            costs = "keys on each side")
        @Branch("window")
        @Parameter(
            value = "keys on each side always visible, the own one included; 0: off",
            defaultValue = "0")
        int windowSize,
    @Branch("sinks") @Parameter(value = "first keys always visible, >= 0", defaultValue = "0")
        int sinkTokens)
    implements CachingAttention {
  private static final int QUERIES = 1024;

  /// What a block is summarised by.
  public enum Selection {
    /// The mean of its keys.
    MEAN,
    /// The smallest and largest key of each channel, which bound its scores from above.
    BOUNDS
  }

  /// Validates the sizes.
  public BlockTopK {
    require(blockSize >= 1, "block_size must be >= 1", blockSize);
    require(topK >= 0, "top_k must be >= 0", topK);
    require(queryBlock >= 1, "query_block must be >= 1", queryBlock);
    require(windowSize >= 0, "window_size must be >= 0", windowSize);
    require(sinkTokens >= 0, "sink_tokens must be >= 0", sinkTokens);
  }

  private static void require(boolean holds, String rule, int value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .with(
            Ability.CROSS_ATTENTION,
            Ability.GROUPED_QUERIES,
            Ability.VALUE_DIM,
            Ability.DECODING,
            Ability.CHOOSES_AHEAD,
            Ability.GRADIENTS);
  }

  int blocks(int nk) {
    return Math.ceilDiv(nk, blockSize);
  }

  /// Blocks a query chooses.
  int chosen(int nk) {
    return Math.min(topK, blocks(nk));
  }

  /// Queries of one task: whole groups.
  int queries(int nq) {
    long groups = Math.max(1, QUERIES / queryBlock);
    return (int) Math.min(nq, groups * queryBlock);
  }

  /// Rows that summarise a block.
  int summaries() {
    return selection == Selection.BOUNDS ? 2 : 1;
  }

  /// The window of query i, joined with the sinks where they touch, and the sinks, as row r.
  void see(Mask mask, AttentionShape s, int i, ChosenBlocks.Visible sees, int r) {
    int nq = s.querySeqLen();
    int nk = s.keySeqLen();
    int limit = mask.causalLimit(i, nq, nk);
    int position = mask.isCausal() ? limit - 1 : i + nk - nq;
    int sink = Math.min(sinkTokens, limit);
    int low = Math.clamp((long) position - windowSize + 1, 0, limit);
    int high = Math.clamp((long) position + windowSize, 0, limit);
    if (windowSize == 0 || low >= high) {
      low = limit;
      high = limit;
    } else if (low <= sink) {
      low = 0;
      high = Math.max(high, sink);
      sink = 0;
    }
    sees.limit()[r] = limit;
    sees.low()[r] = low;
    sees.high()[r] = high;
    sees.sink()[r] = sink;
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double choice =
        2.0
            * s.headDim()
            * blocks(s.keySeqLen())
            * summaries()
            * Math.ceilDiv(s.querySeqLen(), queryBlock)
            * (mask.isCausal() ? 0.5 : 1);
    double pairs = pairs(s, mask);
    double flops = s.problems() * choice + pairs * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    long heads = (long) s.batchSize() * s.numKeyValueHeads();
    long panels = heads * StridedPanels.bytes(s.keySeqLen(), 1, s.headDim());
    return new Cost(
        flops,
        Cost.tensorBytes(s) + 2.0 * panels,
        BlockTopKPlan.scratchBytes(this, s, mask, threads));
  }

  /// Pairs of all heads, at most.
  private double pairs(AttentionShape s, Mask mask) {
    int nq = s.querySeqLen();
    int nk = s.keySeqLen();
    double visible = (double) chosen(nk) * blockSize + windowSize + sinkTokens;
    visible += mask.isCausal() ? 0 : Math.max(0, windowSize - 1);
    double pairs = 0;
    for (int i = 0; i < nq; i++) {
      pairs += Math.min(visible, mask.causalLimit(i, nq, nk));
    }
    return s.problems() * pairs;
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return BlockTopKGradient.cost(this, s, mask, pairs(s, mask), threads);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new BlockTopKGradient(request, this);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new BlockTopKPlan(request, this, null, null);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    return new Session(shape, threads, SlotStore.storageOf(this, cache));
  }

  private final class Session extends KeyValueSession {
    private final Kernels kernels = Kernels.get();
    private final int blocks = blocks(shape.keySeqLen());
    private final double[] sums;
    private final float[] highest;
    private final float[] lowest;
    private final float[][] scores;
    private final float[][] mean;
    private final int[][] choice;

    Session(AttentionShape shape, int threads, Storage storage) {
      super(BlockTopK.this, shape, threads, shape.keySeqLen(), storage);
      int size =
          Tensor.sizeOf(shape.batchSize() * shape.numKeyValueHeads(), blocks, shape.headDim());
      boolean bounds = selection == Selection.BOUNDS;
      sums = new double[bounds ? 0 : size];
      highest = new float[bounds ? size : 0];
      lowest = new float[bounds ? size : 0];
      scores = new float[threads][blocks];
      mean = new float[threads][shape.headDim()];
      choice = new int[threads][chosen(shape.keySeqLen())];
    }

    @Override
    protected void stored(int position) {
      int d = shape.headDim();
      boolean fresh = position % blockSize == 0;
      for (int g = 0; g < shape.batchSize() * shape.numKeyValueHeads(); g++) {
        int at = (g * blocks + position / blockSize) * d;
        float[] key = cachedKey(g, position);
        for (int c = 0; c < d; c++) {
          float x = key[c];
          if (selection == Selection.MEAN) {
            sums[at + c] = (fresh ? 0 : sums[at + c]) + x;
          } else {
            highest[at + c] = fresh ? x : Math.max(highest[at + c], x);
            lowest[at + c] = fresh ? x : Math.min(lowest[at + c], x);
          }
        }
      }
    }

    @Override
    protected int see(int worker, int problem, int position, int[] into) {
      int cached = position + 1;
      int candidates = blocks(cached);
      for (int block = 0; block < candidates && topK > 0; block++) {
        scores[worker][block] = score(worker, problem, block, cached);
      }
      int[] chosen = choice[worker];
      SelectedBlocks.choose(scores[worker], 0, candidates, chosen.length, chosen, 0);
      Arrays.sort(chosen);
      int low = windowSize > 0 ? Math.max(0, position - windowSize + 1) : cached;
      int sink = Math.min(sinkTokens, low);
      int count = 0;
      for (int j = 0; j < sink; j++) {
        into[count++] = j;
      }
      for (int block : chosen) {
        int end = block < 0 ? 0 : Math.min(low, (block + 1) * blockSize);
        for (int j = Math.max(sink, block * blockSize); j < end; j++) {
          into[count++] = j;
        }
      }
      for (int j = low; j < cached; j++) {
        into[count++] = j;
      }
      return count;
    }

    private float score(int worker, int problem, int block, int cached) {
      int d = shape.headDim();
      int at = (keyHead(problem) * blocks + block) * d;
      int count = Math.min(blockSize, cached - block * blockSize);
      if (selection == Selection.MEAN) {
        for (int c = 0; c < d; c++) {
          mean[worker][c] = (float) (sums[at + c] / count);
        }
        return kernels.dot(d, input("q"), problem * d, mean[worker], 0);
      }
      float bound = 0;
      for (int c = 0; c < d; c++) {
        float x = input("q")[problem * d + c];
        bound += Math.max(x * highest[at + c], x * lowest[at + c]);
      }
      return bound;
    }

    @Override
    public long stateBytes() {
      long groups = (long) shape.batchSize() * shape.numKeyValueHeads();
      long summaries = groups * blocks(position()) * shape.headDim() * Double.BYTES;
      return super.stateBytes() + summaries;
    }
  }
}
