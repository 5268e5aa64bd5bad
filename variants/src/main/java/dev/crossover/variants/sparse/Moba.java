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
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.mechanism.Branch;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.select.BlockMeans;
import dev.crossover.attention.select.KeyValueSession;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.store.SlotStore;
import dev.crossover.attention.store.Storage;
import dev.crossover.attention.tensor.Tensor;

/// Mixture of block attention: every query sees its own block up to itself and, of the blocks
/// before, the few whose mean key has the largest product with it.
///
/// Lu et al., "MoBA: Mixture of Block Attention for Long-Context LLMs", 2025, arXiv:2502.13189,
/// equations (5) to (8) and algorithm 1.
///
/// ```
/// cent_I    = mean of k over block I
/// gate_i,I  = q_i · cent_I                              for blocks I before i's own
/// A(i)      = { j <= i : j in i's own block or one of the top_k − 1 blocks of largest gate }
/// out_i     = Σ_{j∈A(i)} softmax_j(q_i·k_j/√d) v_j
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | Q, K, V | `q`, `k`, `v` | `[B,H,n,d]`, `[B,Hkv,n,d]`, `[B,Hkv,n,dv]` |
/// | B, k | `block_size`; `top_k`, the own block included | |
///
/// Every query head chooses for itself. Queries that chose a block are gathered into dense tiles
/// and take up the sums of the own block. Of equal gates the earlier block wins.
///
/// Gradients, with G = ∂out, zero at padded rows, L a row's log-sum-exp over all its blocks and D
/// its G·out:
///
/// ```
/// p_ij = exp(s_ij − L_i)      ds_ij = p_ij (G_i·v_j − D_i)      s_ij = q_i·k_j/√d
/// ∂q_i = Σ_j ds_ij k_j/√d     ∂k_j = Σ_i ds_ij q_i/√d           ∂v_j = Σ_i p_ij G_i
/// ```
///
/// over j in A(i): softmax's backward pass (Dao et al., arXiv:2205.14135, appendix B.2). The choice
/// of blocks is a constant: no gradient passes through gates and means. Kept: L and the chosen
/// blocks; weights are computed again.
///
/// Time `n²·d/b + 4·n·top_k·b·d`; scratch a packed copy of the keys and the means. Always causal.
/// Honours padding at the end; padded query rows are zero. Exact when `top_k >= n / block_size`.
/// Decodes with a full cache and the sums of the blocks.
///
/// @param blockSize b, at least 1
/// @param topK blocks per query, the own one included, at least 1
@Mechanism(
    name = "moba",
    title = "MoBA (mixture of block attention)",
    paper = "Lu et al., MoBA: Mixture of Block Attention for Long-Context LLMs, 2025",
    arxiv = "2502.13189",
    family = Mechanism.Family.SPARSE,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "top_k >= n / block_size",
    time = "n² d / b + 4 n top_k b d",
    memory = "n d + n d / b",
    exponent = 2,
    bound =
        "the two products over the chosen blocks, 74 % of the time; gathering and packing rows"
            + " takes 8 %, exponentials 7 %, choosing blocks 5 %")
public record Moba(
    @Knob(
            values = {32, 64, 128, 256},
            costs = "keys per block; fewer blocks to choose from",
            accuracy = Knob.Accuracy.DEPENDS)
        @Parameter(value = "keys per block b, >= 1", defaultValue = "512")
        int blockSize,
    @Knob(
            values = {3, 5, 9, 17, 33},
            costs = "b keys per block and query")
        @Branch(value = "chosen", off = "1")
        @Parameter(value = "blocks per query, its own included, >= 1", defaultValue = "3")
        int topK)
    implements CachingAttention {

  /// Validates the sizes.
  public Moba {
    if (blockSize < 1) {
      throw new IllegalArgumentException("block_size must be >= 1, but was " + blockSize);
    }
    if (topK < 1) {
      throw new IllegalArgumentException("top_k must be >= 1, but was " + topK);
    }
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.ALWAYS)
        .keyPadding(Padding.AT_END)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(true)
        .zeroesPaddedQueries(true)
        .gradients(true);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    int n = s.keySeqLen();
    double gates = 0;
    for (int i = 0; i < n; i++) {
      gates += chosenBefore(n) > 0 ? i / blockSize : 0;
    }
    double flops =
        s.problems() * 2.0 * gates * s.headDim()
            + pairs(s) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    double panels = 2.0 * s.batchSize() * s.numKeyValueHeads() * n * s.headDim() * Float.BYTES;
    return new Cost(flops, Cost.tensorBytes(s) + panels, MobaPlan.scratchBytes(this, s, threads));
  }

  /// Pairs of all heads.
  private double pairs(AttentionShape s) {
    int n = s.keySeqLen();
    double pairs = 0;
    for (int i = 0; i < n; i++) {
      int chosen = Math.min(i / blockSize, chosenBefore(n));
      pairs += i % blockSize + 1 + (double) chosen * blockSize;
    }
    return s.problems() * pairs;
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return MobaGradient.cost(this, s, pairs(s), threads);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new MobaGradient(request, this);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new MobaPlan(request, this, null, null);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    return new Session(shape, threads, SlotStore.storageOf(this, cache));
  }

  private int blocks(int n) {
    return Math.ceilDiv(n, blockSize);
  }

  /// Rows set aside for the means of a head.
  int pitch(int n) {
    return BlockMeans.pitch(blocks(n));
  }

  /// Blocks a query may choose besides its own.
  int chosenBefore(int n) {
    return Math.max(0, Math.min(topK, blocks(n)) - 1);
  }

  private final class Session extends KeyValueSession {
    private final Kernels kernels = Kernels.get();
    private final double[] sums;
    private final float[][] means;
    private final float[][] gates;
    private final int[][] chosen;
    private final int chosenBefore;
    private final int blocks;

    Session(AttentionShape shape, int threads, Storage storage) {
      super(Moba.this, shape, threads, shape.keySeqLen(), storage);
      blocks = blocks(shape.keySeqLen());
      chosenBefore = chosenBefore(shape.keySeqLen());
      int groups = shape.batchSize() * shape.numKeyValueHeads();
      sums = new double[Tensor.sizeOf(groups, blocks, shape.headDim())];
      means = new float[threads][shape.headDim()];
      gates = new float[threads][blocks];
      chosen = new int[threads][chosenBefore];
    }

    @Override
    protected void stored(int position) {
      int d = shape.headDim();
      for (int g = 0; g < shape.batchSize() * shape.numKeyValueHeads(); g++) {
        int at = (g * blocks + position / blockSize) * d;
        float[] key = cachedKey(g, position);
        for (int c = 0; c < d; c++) {
          double before = position % blockSize == 0 ? 0 : sums[at + c];
          sums[at + c] = before + key[c];
        }
      }
    }

    @Override
    protected int see(int worker, int problem, int position, int[] into) {
      int d = shape.headDim();
      int own = position / blockSize;
      for (int block = 0; block < own; block++) {
        int at = (keyHead(problem) * blocks + block) * d;
        for (int c = 0; c < d; c++) {
          means[worker][c] = (float) (sums[at + c] / blockSize);
        }
        gates[worker][block] = kernels.dot(d, input("q"), problem * d, means[worker], 0);
      }
      SelectedBlocks.choose(gates[worker], 0, own, chosenBefore, chosen[worker], 0);
      int count = 0;
      for (int block : chosen[worker]) {
        for (int j = 0; block >= 0 && j < blockSize; j++) {
          into[count++] = block * blockSize + j;
        }
      }
      for (int j = own * blockSize; j <= position; j++) {
        into[count++] = j;
      }
      return count;
    }

    @Override
    public long stateBytes() {
      long groups = (long) shape.batchSize() * shape.numKeyValueHeads();
      return super.stateBytes() + groups * blocks(position()) * shape.headDim() * Double.BYTES;
    }
  }
}
