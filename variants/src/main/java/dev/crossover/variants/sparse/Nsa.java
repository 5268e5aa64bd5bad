// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.QUERY;

import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/// Native sparse attention: three softmaxes per query, over block means, over the blocks those
/// means select, and over a window, added with gates.
///
/// Yuan et al., "Native Sparse Attention: Hardware-Aligned and Natively Trainable Sparse
/// Attention", 2025, arXiv:2502.11089, equations (5) to (11), with the published reference's
/// simplifications (fla-org, native-sparse-attention): the authors have released no code.
///
/// ```
/// k̄_I, v̄_I = mean of k, v over block I                 m_i = (i + 1) div b whole blocks at query i
/// p_i = softmax_{I<m_i}(q_i·k̄_I/√d)                     oc_i = Σ_I p_iI v̄_I, 0 if m_i = 0
/// imp_iI = Σ p_iI over the query heads of a key head; blocks: own and the num_selected − 1 largest
/// os_i = softmax attention over j <= i in these blocks   ow_i = the same over i − window_size < j <= i
/// out_i = gate_compression·oc_i + gate_selection·os_i + gate_window·ow_i
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | q, k, v | `q`, `k`, `v` | `[B,H,n,d]`, `[B,Hkv,n,d]`, `[B,Hkv,n,dv]` |
/// | g^cmp, g^slc, g^win | `gate_compression`, `gate_selection`, `gate_window`, in (0, 1) | `[B,H,n]` |
/// | l = l', n, w | `block_size`, `num_selected_blocks` (the own one included), `window_size` | |
///
/// The query heads of one key head choose together; selection reuses the gathered tiles of [Moba].
/// Of equal importances the earlier block wins, after the own one.
///
/// Gradients, with G = ∂out, per branch x with its gate g, output o, keys and log-sum-exp L:
///
/// ```
/// D_i = G_i·o_i = ∂g_i        p_ij = exp(q_i·k_j/√d − L_i)      ds_ij = p_ij g_i (G_i·v_j − D_i)
/// ∂q_i = Σ_j ds_ij k_j/√d     ∂k_j = Σ_i ds_ij q_i/√d           ∂v_j = Σ_i p_ij g_i G_i
/// ```
///
/// for compression with k̄ and v̄, of which every key and value of block I then gets 1/b: softmax's
/// backward pass (Dao et al., arXiv:2205.14135, appendix B.2) three times. Importance and choice of
/// blocks are constants. Kept: o and L of each branch and the chosen blocks.
///
/// Time `4·n·d·(n/(2b) + S·b + W)`: still quadratic, with a small constant. Scratch a packed copy
/// of the keys, the means, and S block numbers per position. Always causal, without padding.
/// Approximates nothing by itself, because its gates do not sum to 1; with gates (0, 1, 0) and
/// `num_selected_blocks >= n / block_size` it is exact causal attention. Decodes with a full cache
/// and the sums of the blocks.
///
/// @param blockSize b, of compression and selection, at least 1
/// @param numSelectedBlocks S, the own block included, at least 1
/// @param windowSize W, keys of the window, the query's own included, at least 1
/// @param compression how a block becomes one key and value
@Mechanism(
    name = "nsa",
    title = "NSA (native sparse attention)",
    paper = "Yuan et al., Native Sparse Attention, 2025",
    arxiv = "2502.11089",
    family = Mechanism.Family.SPARSE,
    approximates = Mechanism.Approximates.NONE,
    exactness = "gates (0, 1, 0) and num_selected_blocks >= n / block_size",
    time = "4 n d (n / (2 b) + S b + W)",
    memory = "n d + n S",
    exponent = 2,
    bound =
        "small blocks, each met by few queries: the two products are half of the time; gathering "
            + "queries and taking up their sums 13 %, compression 12 %, choosing blocks 6 %",
    gatedBranches = {"compression", "selection", "window"})
public record Nsa(
    @Parameter(value = "keys per block b, >= 1", defaultValue = "64") int blockSize,
    @Knob(
            values = {4, 8, 16, 32},
            costs = "selected keys per query")
        @Parameter(value = "blocks per query S, its own included, >= 1", defaultValue = "16")
        int numSelectedBlocks,
    @Parameter(value = "keys of the window W, the query's own included, >= 1", defaultValue = "512")
        int windowSize,
    @Parameter(value = "how a block becomes one key and value", defaultValue = "block_mean")
        Compression compression)
    implements CachingAttention {

  private static final List<String> BRANCHES =
      List.of(Objects.requireNonNull(Nsa.class.getAnnotation(Mechanism.class)).gatedBranches());

  /// How a block becomes one key and value.
  public enum Compression {
    /// The mean of its keys and the mean of its values.
    BLOCK_MEAN
  }

  /// Validates the sizes.
  public Nsa {
    require(blockSize >= 1, "block_size must be >= 1", blockSize);
    require(numSelectedBlocks >= 1, "num_selected_blocks must be >= 1", numSelectedBlocks);
    require(windowSize >= 1, "window_size must be >= 1", windowSize);
  }

  /// With block means.
  public Nsa(int blockSize, int numSelectedBlocks, int windowSize) {
    this(blockSize, numSelectedBlocks, windowSize, Compression.BLOCK_MEAN);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.ALWAYS)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    for (String branch : BRANCHES) {
      specs.add(
          TensorSpec.input(
              "gate_" + branch,
              "gate of the " + branch + " branch, uniform in (0, 1)",
              Nsa::gate,
              s,
              BATCH,
              HEADS,
              QUERY));
    }
    return List.copyOf(specs);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double flops = pairs(s) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    double panels =
        2.0 * s.batchSize() * s.numKeyValueHeads() * s.keySeqLen() * s.headDim() * Float.BYTES;
    return new Cost(flops, Cost.tensorBytes(s) + panels, NsaPlan.scratchBytes(this, s, threads));
  }

  /// Pairs of all heads and branches.
  private double pairs(AttentionShape s) {
    int n = s.keySeqLen();
    double pairs = 0;
    for (int i = 0; i < n; i++) {
      int own = i / blockSize;
      double compressed = (i + 1) / blockSize;
      double selected = i % blockSize + 1 + (double) Math.min(own, chosenBefore(n)) * blockSize;
      pairs += compressed + selected + Math.min(windowSize, i + 1);
    }
    return s.problems() * pairs;
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new NsaPlan(request, this, null);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new NsaGradient(request, this);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return NsaGradient.cost(this, s, pairs(s), threads);
  }

  @Override
  public Caching caching() {
    return Caching.APPENDED;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    return new NsaSession(this, shape, threads, cache.requireWhole(this));
  }

  /// Number of blocks, the last one short if b does not divide n.
  int blocks(int n) {
    return Math.ceilDiv(n, blockSize);
  }

  /// Blocks a query may choose besides its own.
  int chosenBefore(int n) {
    return Math.max(0, Math.min(numSelectedBlocks, blocks(n)) - 1);
  }

  private static Tensor gate(long seed, int... shape) {
    return Draws.uniform(seed, 0, 1, shape);
  }

  private static void require(boolean holds, String rule, int value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }
}
