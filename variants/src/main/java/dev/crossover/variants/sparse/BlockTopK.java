package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Ability;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.select.ChosenBlocks;
import dev.crossover.attention.select.KeyValueSession;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.select.StridedPanels;
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
        @Parameter(
            value = "keys on each side always visible, the own one included; 0: off",
            defaultValue = "0")
        int windowSize,
    @Parameter(value = "first keys always visible, >= 0", defaultValue = "0") int sinkTokens)
    implements Attention {
  private static final int QUERIES = 1024;
  private static final int SCORED = 48;

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
            Ability.CHOOSES_AHEAD);
  }

  private int blocks(int nk) {
    return Math.ceilDiv(nk, blockSize);
  }

  private int chosen(int nk) {
    return Math.min(topK, blocks(nk));
  }

  /// Queries of one task: whole groups.
  private int queries(int nq) {
    long groups = Math.max(1, QUERIES / queryBlock);
    return (int) Math.min(nq, groups * queryBlock);
  }

  private int summaries() {
    return selection == Selection.BOUNDS ? 2 : 1;
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    int nq = s.querySeqLen();
    int nk = s.keySeqLen();
    double visible = (double) chosen(nk) * blockSize + windowSize + sinkTokens;
    visible += mask.isCausal() ? 0 : Math.max(0, windowSize - 1);
    double pairs = 0;
    for (int i = 0; i < nq; i++) {
      pairs += Math.min(visible, mask.causalLimit(i, nq, nk));
    }
    double choice =
        2.0
            * s.headDim()
            * blocks(nk)
            * summaries()
            * Math.ceilDiv(nq, queryBlock)
            * (mask.isCausal() ? 0.5 : 1);
    double flops = s.problems() * (choice + pairs * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5));
    long heads = (long) s.batchSize() * s.numKeyValueHeads();
    long panels = heads * StridedPanels.bytes(nk, 1, s.headDim());
    long shared =
        heads * blocks(nk) * s.headDim() * summaries() * Float.BYTES
            + heads * blocks(nk) * Integer.BYTES
            + (mask.hasKeyPadding() ? (long) s.batchSize() * nk * Integer.BYTES : 0);
    int queries = queries(nq);
    long perThread =
        ChosenBlocks.bytes(blockSize, nk, chosen(nk), queries, s.headDim(), s.valueDim())
            + (4L + chosen(nk)) * queries * Integer.BYTES
            + Float.BYTES
                * (SCORED * ((long) blocks(nk) + (long) summaries() * s.headDim())
                    + Kernels.get().transposedBScratch(blocks(nk), s.headDim()))
            + (long) chosen(nk) * Integer.BYTES;
    return new Cost(
        flops, Cost.tensorBytes(s) + 2.0 * panels, panels + shared + threads * perThread);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new Session(shape, threads);
  }

  private final class Plan extends AttentionPlan {
    private final Kernels kernels = Kernels.get();
    private final int nq = shape.querySeqLen();
    private final int nk = shape.keySeqLen();
    private final int d = shape.headDim();
    private final int dv = shape.valueDim();
    private final int blocks = blocks(nk);
    private final int perQuery = chosen(nk);
    private final int queries = queries(nq);
    private final int parts = queries == 0 ? 0 : Math.ceilDiv(nq, queries);
    private final float factor = (float) Attention.defaultScale(shape);
    private final int heads = shape.batchSize() * shape.numKeyValueHeads();
    private final StridedPanels[] panels = new StridedPanels[heads];

    /// `[heads, N, d]` means, or largest and then smallest keys.
    private final float[] summary = scratch.floats((long) heads * blocks * d * summaries());

    /// `[heads, N]`: real keys of a block.
    private final int[] realKeys = scratch.ints((long) heads * blocks);

    private final int[] real =
        scratch.ints(mask.hasKeyPadding() ? (long) shape.batchSize() * nk : 0);
    private final ChosenBlocks[] engines = new ChosenBlocks[threads()];
    private final ChosenBlocks.Visible[] visible = new ChosenBlocks.Visible[threads()];
    private final float[][] scores = new float[threads()][];
    private final float[][] probes = new float[threads()][];
    private final float[][] transposed = new float[threads()][];
    private final int[][] choice = new int[threads()][];
    private final Workers.Task pack = this::pack;
    private final Workers.Task part = this::part;
    private float[] out = new float[0];

    Plan(PlanRequest request) {
      super(request);
      for (int h = 0; h < heads; h++) {
        panels[h] = new StridedPanels(scratch, nk, 1, d);
      }
      for (int t = 0; t < threads(); t++) {
        engines[t] = new ChosenBlocks(scratch, blockSize, nk, perQuery, queries, d, dv);
        visible[t] =
            new ChosenBlocks.Visible(
                scratch.ints(queries),
                scratch.ints(queries),
                scratch.ints(queries),
                scratch.ints(queries),
                scratch.ints((long) queries * perQuery));
        scores[t] = scratch.floats((long) SCORED * blocks);
        probes[t] = scratch.floats((long) SCORED * d * summaries());
        transposed[t] = scratch.floats(kernels.transposedBScratch(blocks, d));
        choice[t] = scratch.ints(perQuery);
      }
      for (int j = 0; j < real.length; j++) {
        real[j] = mask.isRealKey(j / nk, j % nk) ? 1 : 0;
      }
    }

    @Override
    protected void compute(Tensor output) {
      out = output.data();
      workers.run(heads, pack);
      workers.run(shape.problems() * parts, part);
    }

    /// Packs the keys of a head and summarises its blocks.
    private void pack(int worker, int head) {
      int batch = head / shape.numKeyValueHeads();
      float[] k = input("k");
      panels[head].pack(k, head * nk * d);
      for (int block = 0; block < blocks; block++) {
        summarise(k, head, batch, block);
      }
    }

    private void summarise(float[] k, int head, int batch, int block) {
      int at = (head * blocks + block) * d;
      int lowest = heads * blocks * d + at;
      int count = 0;
      for (int j = block * blockSize; j < Math.min(nk, (block + 1) * blockSize); j++) {
        if (!mask.isRealKey(batch, j)) {
          continue;
        }
        int row = (head * nk + j) * d;
        for (int c = 0; c < d; c++) {
          float x = k[row + c];
          if (count == 0) {
            summary[at + c] = x;
          } else if (selection == Selection.MEAN) {
            summary[at + c] += x;
          } else {
            summary[at + c] = Math.max(summary[at + c], x);
          }
          if (selection == Selection.BOUNDS) {
            summary[lowest + c] = count == 0 ? x : Math.min(summary[lowest + c], x);
          }
        }
        count++;
      }
      realKeys[head * blocks + block] = count;
      if (selection == Selection.MEAN && count > 0) {
        kernels.scale(d, 1f / count, summary, at, summary, at);
      }
    }

    /// Some groups of queries of one head: choose blocks, attend.
    private void part(int worker, int index) {
      int problem = index / parts;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int head = batch * shape.numKeyValueHeads() + h / shape.groupSize();
      int first = index % parts * queries;
      int count = Math.min(queries, nq - first);
      ChosenBlocks.Visible sees = visible[worker];
      for (int r = 0; r < count; r++) {
        see(sees, r, first + r);
      }
      int groups = Math.ceilDiv(count, queryBlock);
      int q = shape.queryOffset(batch, h) + first * d;
      for (int g = 0; g < groups && perQuery > 0; g += SCORED) {
        choose(worker, head, q, first, g, Math.min(SCORED, groups - g), count);
      }
      int o = shape.outputOffset(batch, h) + first * dv;
      engines[worker].attend(
          sees,
          count,
          input("q"),
          q,
          factor,
          panels[head].panels(),
          input("v"),
          shape.valueOffset(batch, h),
          mask.hasKeyPadding() ? real : null,
          batch * nk,
          out,
          o);
      for (int r = 0; r < count; r++) {
        int row = o + r * dv;
        kernels.scale(dv, engines[worker].inverse(r), out, row, out, row);
      }
    }

    /// The window of query i, joined with the sinks where they touch, and the sinks.
    private void see(ChosenBlocks.Visible sees, int r, int i) {
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

    /// Scores of the blocks for some groups, as two products at most; the largest are chosen.
    private void choose(
        int worker, int head, int q, int first, int firstGroup, int groups, int count) {
      float[] probe = probes[worker];
      for (int g = 0; g < groups; g++) {
        probe(worker, q, firstGroup + g, g, count);
      }
      for (int half = 0; half < summaries(); half++) {
        kernels.multiplyTransposedB(
            groups,
            blocks,
            d,
            probe,
            half * SCORED * d,
            d,
            summary,
            (half * heads + head) * blocks * d,
            d,
            scores[worker],
            0,
            blocks,
            half > 0,
            transposed[worker],
            0);
      }
      int[] chosen = visible[worker].chosen();
      for (int g = 0; g < groups; g++) {
        int from = (firstGroup + g) * queryBlock;
        int to = Math.min(count, from + queryBlock);
        int limit = mask.causalLimit(first + to - 1, nq, nk);
        int candidates = Math.ceilDiv(limit, blockSize);
        for (int x = 0; x < candidates; x++) {
          if (realKeys[head * blocks + x] == 0) {
            scores[worker][g * blocks + x] = Float.NEGATIVE_INFINITY;
          }
        }
        SelectedBlocks.choose(scores[worker], g * blocks, candidates, perQuery, choice[worker], 0);
        for (int r = from; r < to; r++) {
          System.arraycopy(choice[worker], 0, chosen, r * perQuery, perQuery);
        }
      }
    }

    /// The mean query of a group, or of its positive and negative parts: scores are linear in them.
    private void probe(int worker, int q, int group, int g, int count) {
      float[] rows = input("q");
      float[] probe = probes[worker];
      int from = group * queryBlock;
      int to = Math.min(count, from + queryBlock);
      for (int c = 0; c < d; c++) {
        double positive = 0;
        double negative = 0;
        for (int r = from; r < to; r++) {
          float x = rows[q + r * d + c];
          if (selection == Selection.MEAN || !(x < 0)) {
            positive += x;
          } else {
            negative += x;
          }
        }
        probe[g * d + c] = (float) (positive / (to - from));
        if (selection == Selection.BOUNDS) {
          probe[(SCORED + g) * d + c] = (float) (negative / (to - from));
        }
      }
    }
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

    Session(AttentionShape shape, int threads) {
      super(BlockTopK.this, shape, threads, shape.keySeqLen());
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
        int row = keyRow(g, position);
        for (int c = 0; c < d; c++) {
          float x = keys()[row + c];
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
