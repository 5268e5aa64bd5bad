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
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.RowSelection;
import dev.crossover.attention.kernel.ScoreTile;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.select.KeyValueSession;
import dev.crossover.attention.select.LargestScores;
import dev.crossover.attention.tensor.Tensor;
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
/// Time `2·n²·d` for the scores, all of which are needed, one pass over them for the selection, and
/// `2·n·k·d` for the values: at best half of exact attention, never less. Scratch a packed copy of
/// the keys and a few rows of scores. Honours every mask; a row with fewer than k visible keys
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
        "all n² scores, 54 % of the time, at the speed of any product; choosing the k largest takes"
            + " 28 %, the values 3 %",
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
    @Parameter(value = "keys k kept per row, >= 1; 8 without a divisor", defaultValue = "")
        OptionalInt topK,
    @Parameter(value = "keeps ceil(nk / divisor) keys instead, >= 1", defaultValue = "")
        OptionalInt topKDivisor,
    @Parameter(value = "fewest keys kept with a divisor, >= 0", defaultValue = "0") int topKMinimum)
    implements Attention {
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
        .decoding(true);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double pairs = s.problems() * Cost.pairs(s, mask);
    double kept =
        Math.min(pairs, (double) s.problems() * s.querySeqLen() * keysKept(s.keySeqLen()));
    double flops = pairs * (2.0 * s.headDim() + 1) + kept * (2.0 * s.valueDim() + 5);
    int nk = s.keySeqLen();
    long panels = (long) s.batchSize() * s.numKeyValueHeads() * KeyPanels.bytes(nk, s.headDim());
    long perThread =
        LargestScores.bytes(nk)
            + ScoreTile.bytes(nk, s.headDim())
            + (long) nk * (Integer.BYTES + Float.BYTES);
    return new Cost(flops, Cost.tensorBytes(s) + 2.0 * panels, panels + threads * perThread);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    return new Session(shape, threads);
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

  private final class Plan extends AttentionPlan {
    private final Kernels kernels = Kernels.get();
    private final int nq = shape.querySeqLen();
    private final int nk = shape.keySeqLen();
    private final int d = shape.headDim();
    private final int dv = shape.valueDim();
    private final int rows = ScoreTile.rows(nk);
    private final int blocks = Math.ceilDiv(nq, rows);
    private final int k = keysKept(nk);
    private final float factor = (float) Attention.defaultScale(shape);
    private final KeyPanels[] panels = new KeyPanels[shape.batchSize() * shape.numKeyValueHeads()];
    private final ScoreTile[] tiles = new ScoreTile[threads()];
    private final LargestScores[] largest = new LargestScores[threads()];
    private final int[][] kept = new int[threads()][];
    private final float[][] weights = new float[threads()][];
    private final Workers.Task pack = this::pack;
    private final Workers.Task block = this::block;
    private float[] out = new float[0];

    Plan(PlanRequest request) {
      super(request);
      for (int p = 0; p < panels.length; p++) {
        panels[p] = new KeyPanels(scratch, nk, d);
      }
      for (int t = 0; t < threads(); t++) {
        tiles[t] = new ScoreTile(scratch, nk, d);
        largest[t] = new LargestScores(scratch, nk);
        kept[t] = scratch.ints(nk);
        weights[t] = scratch.floats(nk);
      }
    }

    @Override
    protected void compute(Tensor output) {
      out = output.data();
      workers.run(panels.length, pack);
      workers.run(shape.problems() * blocks, block);
    }

    private void pack(int worker, int group) {
      panels[group].pack(input("k"), group * nk * d, d, nk, 0);
    }

    /// P for some rows, with the keys that the last of them may see; then row by row.
    private void block(int worker, int index) {
      int problem = index / blocks;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int first = index % blocks * rows;
      int count = Math.min(rows, nq - first);
      int group = batch * shape.numKeyValueHeads() + h / shape.groupSize();
      int query = shape.queryOffset(batch, h) + first * d;
      int least = mask.causalLimit(first, nq, nk);
      int most = mask.causalLimit(first + count - 1, nq, nk);
      int groups = LargestScores.block(least, k);
      int whole = mask.hasKeyPadding() ? 0 : least / ScoreTile.SEGMENT * ScoreTile.SEGMENT;
      tiles[worker].compute(input("q"), query, d, count, panels[group], most, groups, whole);
      for (int r = 0; r < count; r++) {
        row(worker, batch, h, first + r, r, groups, whole);
      }
    }

    /// Hides, selects, normalises and mixes the values of one row.
    private void row(int worker, int batch, int h, int i, int inBlock, int groups, int grouped) {
      ScoreTile tile = tiles[worker];
      float[] scores = tile.scores();
      int at = tile.start(inBlock);
      int limit = mask.causalLimit(i, nq, nk);
      for (int j = 0; mask.hasKeyPadding() && j < limit; j++) {
        if (!mask.isRealKey(batch, j)) {
          int segment = j / ScoreTile.SEGMENT * tile.stride();
          scores[at + segment + j % ScoreTile.SEGMENT] = Float.NEGATIVE_INFINITY;
        }
      }
      float[] weight = weights[worker];
      int count =
          largest[worker].keep(
              scores,
              at,
              tile.stride(),
              limit,
              k,
              groups,
              tile.maxima(),
              tile.maximaStart(inBlock),
              grouped,
              kept[worker],
              weight);
      kernels.scale(count, factor, weight, 0, weight, 0);
      kernels.softmax(count, weight, 0);
      int o = shape.outputOffset(batch, h) + i * dv;
      int values = shape.valueOffset(batch, h);
      RowSelection.mix(dv, count, weight, kept[worker], input("v"), values, out, o);
    }
  }

  private final class Session extends KeyValueSession {
    private final int k;
    private final LargestScores[] largest;

    Session(AttentionShape shape, int threads) {
      super(TopK.this, shape, threads, shape.keySeqLen());
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
