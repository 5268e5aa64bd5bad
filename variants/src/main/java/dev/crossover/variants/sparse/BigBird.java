package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.select.IntervalTile;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
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
    @Parameter(value = "block size b, >= 1", defaultValue = "64") int blockSize,
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
        .zeroesPaddedQueries(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.parameter(
            "random_blocks",
            "key-block numbers of query blocks 1 to K - 2, distinct, none listed otherwise",
            randomPlan::draw,
            s.numHeads(),
            Math.max(0, blocks(s.keySeqLen()) - 2),
            numRandomBlocks));
    return List.copyOf(specs);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    int n = s.keySeqLen();
    double pairs = (double) n * n;
    if (!isDense(n)) {
      double slots = 0;
      for (int i = 0; i < n; i++) {
        slots += slots(n, i / blockSize);
      }
      pairs = slots;
    }
    double flops = s.problems() * pairs * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    long panels =
        (long) s.batchSize() * s.numKeyValueHeads() * StridedPanels.bytes(n, 1, s.headDim());
    long real = mask.hasKeyPadding() ? (long) s.batchSize() * n * Integer.BYTES : 0;
    long tiles = threads * IntervalTile.bytes(rows(), s.headDim(), s.valueDim());
    return new Cost(flops, Cost.tensorBytes(s) + 2.0 * panels, panels + real + tiles);
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
    return new Plan(request);
  }

  private int blocks(int n) {
    return Math.ceilDiv(n, blockSize);
  }

  private boolean isDense(int n) {
    return n < 4L * blockSize;
  }

  /// Rows of a tile: whole blocks, as many as fill one, or a part of one.
  private int rows() {
    int preferred = SoftmaxTile.preferredRows();
    return blockSize < preferred ? preferred / blockSize * blockSize : preferred;
  }

  private final class Plan extends AttentionPlan {
    private final int rows = rows();
    private final int n = shape.keySeqLen();
    private final int d = shape.headDim();
    private final int dv = shape.valueDim();
    private final int last = blocks(n) - 1;
    private final int tilesPerHead = Math.ceilDiv(n, rows);
    private final float factor = (float) Attention.defaultScale(shape);
    private final StridedPanels[] panels =
        new StridedPanels[shape.batchSize() * shape.numKeyValueHeads()];
    private final int[] real;
    private final IntervalTile[] tiles = new IntervalTile[threads()];
    private final Workers.Task pack = this::pack;
    private final Workers.Task tile = this::queries;
    private float[] out = new float[0];

    Plan(PlanRequest request) {
      super(request);
      real = scratch.ints(mask.hasKeyPadding() ? (long) shape.batchSize() * n : 0);
      for (int j = 0; j < real.length; j++) {
        real[j] = mask.isRealKey(j / n, j % n) ? 1 : 0;
      }
      for (int p = 0; p < panels.length; p++) {
        panels[p] = new StridedPanels(scratch, n, 1, d);
      }
      for (int t = 0; t < tiles.length; t++) {
        tiles[t] = new IntervalTile(scratch, rows, d, dv);
      }
    }

    @Override
    protected void compute(Tensor output) {
      out = output.data();
      workers.run(panels.length, pack);
      workers.run(shape.problems() * tilesPerHead, tile);
    }

    private void pack(int worker, int panel) {
      panels[panel].pack(input("k"), panel * n * d);
    }

    /// Consecutive rows, of one or several query blocks: one softmax over all their slots.
    private void queries(int worker, int index) {
      int problem = index / tilesPerHead;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int first = index % tilesPerHead * rows;
      int count = Math.min(rows, n - first);
      IntervalTile tile = tiles[worker];
      tile.begin(input("q"), shape.queryOffset(batch, h) + first * d, d, count, factor);
      for (int r = 0; r < count; r++) {
        window(tile, r, (first + r) / blockSize);
      }
      int lastBlock = (first + count - 1) / blockSize;
      int from = (first / blockSize - 1) * blockSize;
      int to = Math.min(n, (lastBlock + 2) * blockSize);
      boolean global = isDense(n) || first < blockSize || lastBlock == last;
      attend(tile, batch, h, global ? 0 : from, global ? n : to);
      if (!isDense(n)) {
        for (int r = 0; r < count; r++) {
          int block = (first + r) / blockSize;
          tile.see(r, 0, block > 1 && block < last ? n : 0);
        }
        attend(tile, batch, h, 0, blockSize);
        for (int r = 0; r < count; r++) {
          int block = (first + r) / blockSize;
          tile.see(r, 0, block > 0 && block < last - 1 ? n : 0);
        }
        attend(tile, batch, h, last * blockSize, n);
        int end = Math.min(last - 1, lastBlock);
        for (int block = Math.max(1, first / blockSize); block <= end; block++) {
          random(tile, batch, h, first, block);
        }
      }
      int o = shape.outputOffset(batch, h) + first * dv;
      tile.finish(out, o, dv);
      for (int r = 0; r < count && mask.hasKeyPadding(); r++) {
        if (real[batch * n + first + r] == 0) {
          Arrays.fill(out, o + r * dv, o + r * dv + dv, 0);
        }
      }
    }

    /// Blocks I−1, I, I+1 with the global ones next to them; everything for global rows.
    private void window(IntervalTile tile, int r, int block) {
      if (block == 0 || block == last || isDense(n)) {
        tile.see(r, 0, n);
      } else {
        tile.see(r, (block - 1) * blockSize, Math.min(n, (block + 2) * blockSize));
      }
    }

    /// The random blocks of one query block, one after the other.
    private void random(IntervalTile tile, int batch, int h, int first, int block) {
      float[] listed = input("random_blocks");
      int row = (h * (last - 1) + block - 1) * numRandomBlocks;
      for (int r = 0; r < tile.rows(); r++) {
        tile.see(r, 0, (first + r) / blockSize == block ? n : 0);
      }
      for (int s = 0; s < numRandomBlocks; s++) {
        int key = (int) listed[row + s];
        if (key < -1 || key > last) {
          throw new IllegalArgumentException(
              "random_blocks must be from -1 to " + last + ", but was " + key);
        }
        if (key < 0 || (duplicatePolicy == DuplicatePolicy.ONCE && isListed(row, s, block))) {
          continue;
        }
        attend(tile, batch, h, key * blockSize, Math.min(n, (key + 1) * blockSize));
      }
    }

    /// Whether the block in a random slot is in the list already.
    private boolean isListed(int row, int slot, int block) {
      float[] listed = input("random_blocks");
      int key = (int) listed[row + slot];
      if (key == 0 || key == last || Math.abs(key - block) <= 1) {
        return true;
      }
      for (int s = 0; s < slot; s++) {
        if ((int) listed[row + s] == key) {
          return true;
        }
      }
      return false;
    }

    /// The real keys of a range, as far as the rows see them.
    private void attend(IntervalTile tile, int batch, int h, int from, int to) {
      StridedPanels keys = panels[batch * shape.numKeyValueHeads() + h / shape.groupSize()];
      int values = shape.valueOffset(batch, h);
      if (mask.hasKeyPadding()) {
        tile.attend(keys.panels(), input("v"), values, dv, from, to, real, batch * n, 1, 1);
      } else {
        tile.attend(keys.panels(), input("v"), values, dv, from, to);
      }
    }
  }
}
