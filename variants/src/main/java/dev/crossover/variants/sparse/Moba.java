package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.select.BlockMeans;
import dev.crossover.attention.select.KeyValueSession;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

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
    @Parameter(value = "keys per block b, >= 1", defaultValue = "512") int blockSize,
    @Parameter(value = "blocks per query, its own included, >= 1", defaultValue = "3") int topK)
    implements Attention {
  private static final int GATE_ROWS = 48;

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
        .zeroesPaddedQueries(true);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    int n = s.keySeqLen();
    double gates = 0;
    double pairs = 0;
    for (int i = 0; i < n; i++) {
      int own = i / blockSize;
      gates += chosenBefore(n) > 0 ? own : 0;
      pairs += i % blockSize + 1 + (double) Math.min(own, chosenBefore(n)) * blockSize;
    }
    double flops =
        s.problems()
            * (2.0 * gates * s.headDim() + pairs * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5));
    long groups = (long) s.batchSize() * s.numKeyValueHeads();
    long panels = groups * StridedPanels.bytes(n, 1, s.headDim());
    long means = groups * pitch(n) * s.headDim() * Float.BYTES;
    int chosen = chosenBefore(n);
    int queries = SelectedBlocks.queriesAtOnce(blockSize, n, chosen);
    long perThread =
        SelectedBlocks.bytes(blockSize, n, chosen, s.headDim(), s.valueDim())
            + (long) queries * (1 + chosen) * Integer.BYTES
            + Float.BYTES * ((long) GATE_ROWS * pitch(n) + transposeScratch(s));
    return new Cost(
        flops, Cost.tensorBytes(s) + 2.0 * panels, panels + means + threads * perThread);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new Session(shape, threads);
  }

  private int blocks(int n) {
    return Math.ceilDiv(n, blockSize);
  }

  private int pitch(int n) {
    return BlockMeans.pitch(blocks(n));
  }

  /// Blocks a query may choose besides its own.
  private int chosenBefore(int n) {
    return Math.max(0, Math.min(topK, blocks(n)) - 1);
  }

  private int transposeScratch(AttentionShape s) {
    return Kernels.get().transposedBScratch(pitch(s.keySeqLen()), s.headDim());
  }

  private final class Plan extends AttentionPlan {
    private final Kernels kernels = Kernels.get();
    private final int n = shape.keySeqLen();
    private final int d = shape.headDim();
    private final int dv = shape.valueDim();
    private final int pitch = pitch(n);
    private final int chosenBefore = chosenBefore(n);
    private final int queries = SelectedBlocks.queriesAtOnce(blockSize, n, chosenBefore);
    private final int parts = queries == 0 ? 0 : Math.ceilDiv(n, queries);
    private final float factor = (float) Attention.defaultScale(shape);
    private final int groups = shape.batchSize() * shape.numKeyValueHeads();
    private final StridedPanels[] panels = new StridedPanels[groups];
    private final float[] means = scratch.floats((long) groups * pitch * d);
    private final SelectedBlocks[] selected = new SelectedBlocks[threads()];
    private final int[][] limit = new int[threads()][];
    private final int[][] chosen = new int[threads()][];
    private final float[][] gates = new float[threads()][];
    private final float[][] transposed = new float[threads()][];
    private final Workers.Task pack = this::pack;
    private final Workers.Task part = this::part;
    private float[] out = new float[0];

    Plan(PlanRequest request) {
      super(request);
      for (int g = 0; g < groups; g++) {
        panels[g] = new StridedPanels(scratch, n, 1, d);
      }
      for (int t = 0; t < threads(); t++) {
        selected[t] = new SelectedBlocks(scratch, blockSize, n, chosenBefore, d, dv);
        limit[t] = scratch.ints(queries);
        chosen[t] = scratch.ints((long) queries * chosenBefore);
        gates[t] = scratch.floats((long) GATE_ROWS * pitch);
        transposed[t] = scratch.floats(transposeScratch(shape));
      }
    }

    @Override
    protected void compute(Tensor output) {
      out = output.data();
      workers.run(groups, pack);
      workers.run(shape.problems() * parts, part);
    }

    /// Packs the keys of a head and takes the means of their blocks, padding left out.
    private void pack(int worker, int group) {
      panels[group].pack(input("k"), group * n * d);
      int real = mask.realKeys(group / shape.numKeyValueHeads(), n);
      BlockMeans.of(blockSize, real, d, input("k"), group * n * d, means, group * pitch * d);
    }

    /// Some consecutive queries of one head: choose blocks, attend, zero the padded rows.
    private void part(int worker, int index) {
      int problem = index / parts;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int group = batch * shape.numKeyValueHeads() + h / shape.groupSize();
      int first = index % parts * queries;
      int count = Math.min(queries, n - first);
      int real = mask.realKeys(batch, n);
      for (int r = 0; r < count; r++) {
        limit[worker][r] = Math.min(real, mask.causalLimit(first + r, n, n));
      }
      int q = shape.queryOffset(batch, h) + first * d;
      for (int from = 0; from < count && chosenBefore > 0; from += GATE_ROWS) {
        choose(worker, group, q + from * d, from, Math.min(GATE_ROWS, count - from));
      }
      int o = shape.outputOffset(batch, h) + first * dv;
      selected[worker].attend(
          input("q"),
          q,
          count,
          factor,
          panels[group].panels(),
          input("v"),
          shape.valueOffset(batch, h),
          limit[worker],
          0,
          chosen[worker],
          0,
          out,
          o);
      for (int r = 0; r < count; r++) {
        int row = o + r * dv;
        kernels.scale(dv, selected[worker].inverse(r), out, row, out, row);
      }
      int padded = Math.clamp((long) first + count - real, 0, count);
      Arrays.fill(out, o + (count - padded) * dv, o + count * dv, 0);
    }

    /// gate = q · cent over the blocks before each query's own; the largest are chosen.
    private void choose(int worker, int group, int q, int from, int count) {
      int last = Math.max(0, limit[worker][from + count - 1] - 1) / blockSize;
      kernels.multiplyTransposedB(
          count,
          BlockMeans.pitch(last),
          d,
          input("q"),
          q,
          d,
          means,
          group * pitch * d,
          d,
          gates[worker],
          0,
          pitch,
          false,
          transposed[worker],
          0);
      for (int r = 0; r < count; r++) {
        int own = Math.max(0, limit[worker][from + r] - 1) / blockSize;
        SelectedBlocks.choose(
            gates[worker], r * pitch, own, chosenBefore, chosen[worker], (from + r) * chosenBefore);
      }
    }
  }

  private final class Session extends KeyValueSession {
    private final Kernels kernels = Kernels.get();
    private final double[] sums;
    private final float[][] means;
    private final float[][] gates;
    private final int[][] chosen;
    private final int chosenBefore;
    private final int blocks;

    Session(AttentionShape shape, int threads) {
      super(Moba.this, shape, threads, shape.keySeqLen());
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
        for (int c = 0; c < d; c++) {
          double before = position % blockSize == 0 ? 0 : sums[at + c];
          sums[at + c] = before + keys()[keyRow(g, position) + c];
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
