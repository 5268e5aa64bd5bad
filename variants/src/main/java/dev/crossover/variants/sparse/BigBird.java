// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static dev.crossover.attention.Axis.HEADS;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.mechanism.Branch;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.select.IntervalTile;
import dev.crossover.attention.select.StridedPanels;
import java.util.ArrayList;
import java.util.List;

/// Block-sparse attention: every block of queries sees the first and last block, its neighbours and
/// a few random blocks; the first and last block see everything.
///
/// Zaheer et al., "Big Bird: Transformers for Longer Sequences", NeurIPS 2020, arXiv:2007.14062,
/// section 2 and appendix D (internal transformer construction).
///
/// ```
/// blocks(0) = blocks(K−1) = all K        blocks(I) = 0, I−1, I, I+1, K−1 and r random ones
/// out_i = Σ_{j in blocks(i div b)} softmax_j(q_i·k_j/√d) v_j
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | Q, K, V | `q`, `k`, `v` | `[B,H,n,d]`, `[B,Hkv,n,d]`, `[B,Hkv,n,dv]` |
/// | b, r | `block_size`, `num_random_blocks` | |
/// | random blocks | `random_blocks`, block numbers for query blocks 1..K−2; −1 is no block | `[H,K−2,r]` |
///
/// Gradients, with G = ∂out, zero at padded rows, L a row's log-sum-exp and D its G·out:
///
/// ```
/// p_ij = exp(s_ij − L_i)      ds_ij = p_ij (G_i·v_j − D_i)      s_ij = q_i·k_j/√d
/// ∂q_i = Σ_j ds_ij k_j/√d     ∂k_j = Σ_i ds_ij q_i/√d           ∂v_j = Σ_i p_ij G_i
/// ```
///
/// over the slots of blocks(i div b), each repetition of a block adding its own: softmax's backward
/// pass (Dao et al., arXiv:2205.14135, appendix B.2). The random blocks are constants. Kept: L;
/// weights are computed again.
///
/// Time about `4·n·(5+r)·b·d + 8·b·n·d`; scratch one packed copy of the keys. K = ⌈n/b⌉, the last
/// block may be short. Never causal. Honours any key padding; padded query rows are zero; the
/// blocks are those of the padded length, so that padding takes useful keys from the last, global
/// block. For n < 4·b every token sees every token, as for K = 4 without duplicates; exact also
/// when the random blocks complete every list.
///
/// @param blockSize b, at least 1
/// @param numRandomBlocks r, at least 0
/// @param duplicatePolicy what a block that is listed twice counts
/// @param randomPlan where random blocks are drawn from when none are given
/// @param seed seed of the random blocks
@Mechanism(
    name = "bigbird",
    title = "BigBird",
    paper = "Zaheer et al., Big Bird: Transformers for Longer Sequences, NeurIPS 2020",
    arxiv = "2007.14062",
    family = Mechanism.Family.SPARSE,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "n < 4 block_size, or num_random_blocks >= n / block_size - 4",
    time = "4 n (7 + r) b d",
    memory = "n d",
    exponent = 1,
    decoding =
        "none: global and random blocks lie on both sides of a query, and the authors' "
            + "decoder attends in full, so it is not causal",
    bound =
        "the two products over the gathered blocks, 72 % of the time; packing takes 9 %,"
            + " exponentials 8 %",
    differences = {
      @Mechanism.Difference(
          what = "A key listed twice",
          paper = "an edge of a graph: counts once",
          code = "the kernel counts it twice, the dense simulation once",
          paperOption = "duplicate_policy=once",
          codeOption = "duplicate_policy=count",
          defaultIs = "count, the kernel that was measured; blocks drawn here never repeat",
          test = "BigBirdTest.duplicatesCountTwiceOrOnce"),
      @Mechanism.Difference(
          what = "Where random blocks are drawn from",
          paper = "the whole sequence",
          code = "for long sequences the first 2r + 5 blocks only",
          paperOption = "random_plan=sequence",
          codeOption = "random_plan=authors",
          defaultIs = "the paper's: random edges must reach everywhere",
          test = "BigBirdTest.authorsPlanDrawsFromTheFirstBlocksOnly")
    })
public record BigBird(
    @Knob(
            values = {32, 64, 128},
            costs = "keys per block",
            accuracy = Knob.Accuracy.DEPENDS)
        @Parameter(value = "block size b, >= 1", defaultValue = "64")
        int blockSize,
    @Knob(
            values = {1, 3, 6, 12, 24},
            costs = "b keys per block and query")
        @Branch("random")
        @Parameter(value = "random blocks per query block r, >= 0", defaultValue = "3")
        int numRandomBlocks,
    @Parameter(value = "what a block listed twice counts", defaultValue = "count")
        DuplicatePolicy duplicatePolicy,
    @Parameter(value = "where random blocks are drawn from", defaultValue = "sequence")
        RandomBlocks.Plan randomPlan,
    @Parameter(value = "seed of the random blocks", defaultValue = "42") long seed)
    implements Attention {

  /// What a block that is listed twice counts.
  public enum DuplicatePolicy {
    /// Each key twice, as in the authors' kernel.
    COUNT,
    /// Each key once.
    ONCE
  }

  /// Validates the sizes.
  public BigBird {
    if (blockSize < 1) {
      throw new IllegalArgumentException("block_size must be >= 1, but was " + blockSize);
    }
    if (numRandomBlocks < 0) {
      throw new IllegalArgumentException(
          "num_random_blocks must be >= 0, but was " + numRandomBlocks);
    }
  }

  /// With the default policies.
  public BigBird(int blockSize, int numRandomBlocks) {
    this(
        blockSize,
        numRandomBlocks,
        DuplicatePolicy.COUNT,
        RandomBlocks.Plan.SEQUENCE,
        Draws.DEFAULT_SEED);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .keyPadding(Padding.ANY)
        .groupedQueries(true)
        .valueDim(true)
        .zeroesPaddedQueries(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.parameter(
                "random_blocks",
                "key-block numbers of query blocks 1 to K - 2, distinct, none listed otherwise",
                randomPlan::draw,
                s,
                HEADS,
                Axis.of("query_blocks", Math.max(0, blocks(s.keySeqLen()) - 2)),
                Axis.of("random_blocks", numRandomBlocks))
            .constant());
    return List.copyOf(specs);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    int n = s.keySeqLen();
    double flops = pairs(s) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    long panels =
        (long) s.batchSize() * s.numKeyValueHeads() * StridedPanels.bytes(n, 1, s.headDim());
    long real = mask.hasKeyPadding() ? (long) s.batchSize() * n * Integer.BYTES : 0;
    int rows = rows(SoftmaxTile.preferredRows());
    long tiles = threads * IntervalTile.bytes(rows, s.headDim(), s.valueDim());
    return new Cost(flops, Cost.tensorBytes(s) + 2.0 * panels, panels + real + tiles);
  }

  /// Pairs of all heads.
  private double pairs(AttentionShape s) {
    int n = s.keySeqLen();
    double pairs = (double) n * n;
    if (!isDense(n)) {
      pairs = 0;
      for (int i = 0; i < n; i++) {
        pairs += slots(n, i / blockSize);
      }
    }
    return s.problems() * pairs;
  }

  /// Keys that a row of a query block sees, if every random slot is used.
  private double slots(int n, int block) {
    int last = blocks(n) - 1;
    double lastSize = n - (double) last * blockSize;
    if (block == 0 || block == last) {
      return n;
    }
    double full = block == 1 || block == last - 1 ? 3 : 4;
    return (full + numRandomBlocks) * blockSize + lastSize;
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new BigBirdPlan(request, this, null);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new BigBirdGradient(request, this);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    long forward = cost(s, mask, threads).scratchBytes();
    return BigBirdGradient.cost(this, s, pairs(s), threads, forward);
  }

  /// K, the number of blocks.
  int blocks(int n) {
    return Math.ceilDiv(n, blockSize);
  }

  /// Whether every token sees every token.
  boolean isDense(int n) {
    return n < 4L * blockSize;
  }

  /// First key of blocks I−1, I, I+1 with the global ones next to them, of everything for global
  /// rows.
  int windowStart(int n, int block) {
    return seesAll(n, block) ? 0 : (block - 1) * blockSize;
  }

  /// One past the last of these keys.
  int windowEnd(int n, int block) {
    return seesAll(n, block) ? n : Math.min(n, (block + 2) * blockSize);
  }

  private boolean seesAll(int n, int block) {
    return block == 0 || block == blocks(n) - 1 || isDense(n);
  }

  /// The key block in a random slot of a query block; −1 where there is none, or where it is listed
  /// already and counts once.
  ///
  /// @param listed `random_blocks`
  int randomBlock(float[] listed, int n, int head, int block, int slot) {
    int last = blocks(n) - 1;
    int row = (head * (last - 1) + block - 1) * numRandomBlocks;
    int key = (int) listed[row + slot];
    if (key < -1 || key > last) {
      throw new IllegalArgumentException(
          "random_blocks must be from -1 to " + last + ", but was " + key);
    }
    if (duplicatePolicy == DuplicatePolicy.COUNT || key < 0) {
      return key;
    }
    boolean isListed = key == 0 || key == last || Math.abs(key - block) <= 1;
    for (int s = 0; s < slot; s++) {
      isListed |= (int) listed[row + s] == key;
    }
    return isListed ? -1 : key;
  }

  /// Rows of a tile: whole blocks, as many as fill one, or a part of one.
  int rows(int preferred) {
    return blockSize < preferred ? preferred / blockSize * blockSize : preferred;
  }
}
