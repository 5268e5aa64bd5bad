// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

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
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.store.SlotCache;
import dev.crossover.attention.store.SlotStore;
import dev.crossover.attention.store.Storage;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Forgetting attention: softmax attention whose scores fall by the logarithms of the forget gates
/// that lie between a key and the query.
///
/// Lin, Nikishin, He and Courville, "Forgetting Transformer: Softmax Attention with a Forget Gate",
/// ICLR 2025, arXiv:2503.02130, equations (5) to (9); a window as in fla-org/
/// flash-linear-attention.
///
/// ```
/// c_t   = log f_0 + … + log f_t                                     log f <= 0, one per query head
/// s_ij  = scale q_i·k_j + c_p(i) − c_j,   j <= p(i)                 window: and j > p(i) − W
/// out_i = Σ_j softmax_j(s_ij) v_j
/// ```
///
/// | paper   | here        | shape                              |
/// |---------|-------------|------------------------------------|
/// | Q       | `q`         | `[batch, heads, nq, d]`            |
/// | K, V    | `k`, `v`    | `[batch, kvHeads, nk, d]`, `[…, dv]` |
/// | log f   | `log_decay` | `[batch, heads, nk]`, drawn as log σ(3 + N(0,1)) |
/// | p(i)    | –           | i + nk − nq, or i + the mask's offset |
///
/// The gates of the positions j + 1 … p(i) act on key j, its own does not. The mechanism is causal.
/// Behind padding there are neither keys nor gates. Rows that may see no key are zero. All gates 1:
/// softmax attention; all gates e^−m: ALiBi with slope m; a gate of 0 hides everything before it.
///
/// Time `4·pairs·d` and a subtraction per pair; scratch the packed keys, c and a tile of
/// differences per thread. c is summed in double precision and only differences are rounded: of
/// sums in the thousands, float32 would leave differences with errors of 1e-4.
///
/// Backward, with L the row's log-sum-exp; the gradient of exact attention and
///
/// ```
/// p_ij = exp(s_ij − L_i)      ds_ij = p_ij (∂out_i·v_j − ∂out_i·out_i)
/// ∂c_t = Σ_j ds_ij with p(i) = t  −  Σ_i ds_it      ∂log f_t = Σ_{u >= t} ∂c_u
/// ```
///
/// With `prune_tolerance` > 0 a row skips the oldest keys, `c_p − c_j < ln tolerance − ln n − 2 │q│
/// max │k│ scale`: no score is further from another than the last term, so that the skipped weights
/// together are at most the tolerance ("Adaptive Computation Pruning", arXiv:2504.06949). Under
/// strong decay that is most of the work; it is not taken off the counted operations, as it depends
/// on the data. The backward pass skips nothing.
///
/// Paper and code are the same function; the naive code sums c in float32. What surrounds it in the
/// authors' models (norms of q and k, an output gate, shifted keys) belongs to the layer.
///
/// @param windowSize W, the visible keys, the query's own included; all when absent
/// @param scale factor on the dot products, 1/√d when absent
/// @param pruneTolerance weight that the skipped keys of a row may have together; 0 skips none
@Mechanism(
    name = "fox",
    title = "Forgetting attention",
    paper = "Lin et al., Forgetting Transformer: Softmax Attention with a Forget Gate, ICLR 2025",
    arxiv = "2503.02130",
    family = Mechanism.Family.SCORE,
    approximates = Mechanism.Approximates.NONE,
    exactness = "all gates 1: softmax; skipped weights sum to prune_tolerance at most",
    time = "4 n min(n, W) d",
    memory = "n d",
    exponent = 2,
    padding = "neither a key nor a gate")
public record Fox(
    @Parameter(value = "W: visible keys, the own one included; all when absent", defaultValue = "")
        OptionalInt windowSize,
    @Parameter(value = "factor on q·k, 1/√d when absent", defaultValue = "") OptionalDouble scale,
    @Parameter(value = "weight that a row may skip, from 0 to 1", defaultValue = "0")
        double pruneTolerance)
    implements CachingAttention {

  /// Keys whose differences to a block of rows are formed at a time.
  private static final int COLUMNS = 256;

  private static final int KEYS_PER_PACKING = 512;

  /// What the logarithm of a gate of 0 counts as: far below every score, and a sum of many still
  /// leaves differences exact.
  static final double LEAST_LOG = -1e6;

  private static final float[] NO_LSE = new float[0];

  /// Validates the parameters.
  public Fox {
    if (windowSize.orElse(1) < 1) {
      throw new IllegalArgumentException(
          "window_size must be >= 1, but was " + windowSize.getAsInt());
    }
    if (!Double.isFinite(scale.orElse(1))) {
      throw new IllegalArgumentException("scale must be finite, but was " + scale.getAsDouble());
    }
    if (!(pruneTolerance >= 0 && pruneTolerance < 1)) {
      throw new IllegalArgumentException(
          "prune_tolerance must be >= 0 and < 1, but was " + pruneTolerance);
    }
  }

  /// Without skipping.
  public Fox(OptionalInt windowSize, OptionalDouble scale) {
    this(windowSize, scale, 0);
  }

  /// Without a window, with the usual scale.
  public Fox() {
    this(OptionalInt.empty(), OptionalDouble.empty());
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.ALWAYS)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.input(
            "log_decay",
            "logarithm of the forget gate, <= 0, log σ(3 + N(0,1))",
            Fox::logGates,
            s,
            Axis.BATCH,
            Axis.HEADS,
            Axis.KEY));
    return List.copyOf(specs);
  }

  private static Tensor logGates(long seed, int... shape) {
    Tensor gates = Draws.gaussian(seed, shape);
    for (int e = 0; e < gates.size(); e++) {
      gates.data()[e] = (float) -Math.log1p(Math.exp(-3 - gates.data()[e]));
    }
    return gates;
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double flops =
        s.problems()
            * (pairs(s, mask) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 6) + s.keySeqLen());
    long panels =
        (long) s.batchSize() * s.numKeyValueHeads() * KeyPanels.bytes(s.keySeqLen(), s.headDim());
    long sums = Double.BYTES * (long) s.problems() * s.keySeqLen();
    int rows = SoftmaxTile.preferredRows();
    long perThread =
        SoftmaxTile.bytes(rows, s.headDim(), s.valueDim())
            + Integer.BYTES * 2L * rows
            + Float.BYTES * (long) rows * COLUMNS;
    return new Cost(
        flops,
        Cost.tensorBytes(s) + 2.0 * panels + 1.5 * sums,
        panels + sums + Float.BYTES * reachFloats(s) + threads * perThread);
  }

  private long reachFloats(AttentionShape s) {
    return pruneTolerance > 0 ? (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen() : 0;
  }

  /// Pairs of a head that order and window allow.
  double pairs(AttentionShape s, Mask mask) {
    double pairs = 0;
    for (int i = 0; i < s.querySeqLen(); i++) {
      int end = mask.causalLimit(i, s.querySeqLen(), s.keySeqLen());
      pairs += Math.max(0, end - firstKey(s, mask, i));
    }
    return pairs;
  }

  /// First key that the window lets query i see.
  int firstKey(AttentionShape s, Mask mask, int i) {
    if (windowSize.isEmpty()) {
      return 0;
    }
    long position = (long) i + mask.causalOffset(s.querySeqLen(), s.keySeqLen());
    return Math.clamp(position - windowSize.getAsInt() + 1, 0, s.keySeqLen());
  }

  /// The place among the keys whose c query i takes, p(i) where it is one of them. Which one does
  /// not matter: it is the same for all scores of the row.
  static int place(AttentionShape s, Mask mask, int i) {
    return Math.max(0, mask.causalLimit(i, s.querySeqLen(), s.keySeqLen()) - 1);
  }

  float scaleFor(AttentionShape s) {
    return (float) scale.orElse(Attention.defaultScale(s));
  }

  /// Writes c of one head.
  static void sum(
      AttentionShape s, Mask mask, int problem, float[] logDecay, double[] sums, int to) {
    double c = 0;
    for (int j = 0; j < s.keySeqLen(); j++) {
      boolean real = mask.isRealKey(problem / s.numHeads(), j);
      c += real ? Math.max(LEAST_LOG, logDecay[problem * s.keySeqLen() + j]) : 0;
      sums[to + j] = c;
    }
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request, NO_LSE);
  }

  /// A plan that writes every row's log-sum-exp too.
  AttentionPlan planWithLse(PlanRequest request, float[] lse) {
    return new Plan(request, lse);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new FoxDifferentiable(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return FoxDifferentiable.cost(this, s, mask, threads);
  }

  @Override
  public Caching caching() {
    return Caching.COMPRESSED;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    return windowSize.isPresent() || cache.suitSlots()
        ? new Session(shape, SlotStore.storageOf(this, cache))
        : new FoxCompressed(this, shape, threads, cache);
  }

  private final class Plan extends AttentionPlan {
    private final Kernels kernels = Kernels.get();
    private final int rows = SoftmaxTile.preferredRows();
    private final int blocks = Math.ceilDiv(shape.querySeqLen(), rows);
    private final int nk = shape.keySeqLen();
    private final int packings = Math.ceilDiv(nk, KEYS_PER_PACKING);
    private final KeyPanels[] panels = new KeyPanels[shape.batchSize() * shape.numKeyValueHeads()];
    private final double[] sums = scratch.doubles((long) shape.problems() * nk);
    /// Largest length of a real key up to each position, `[batch, kvHeads, nk]`.
    private final float[] reach = scratch.floats(reachFloats(shape));

    private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
    private final float[][] differences = new float[threads()][];
    private final int[][] low = new int[threads()][];
    private final int[][] high = new int[threads()][];
    private final Workers.Task keys = this::keys;
    private final Workers.Task sum = this::sum;
    private final Workers.Task reaches = this::reaches;
    private final Workers.Task block = this::block;
    private final float[] lse;

    Plan(PlanRequest request, float[] lse) {
      super(request);
      this.lse = lse;
      for (int p = 0; p < panels.length; p++) {
        panels[p] = new KeyPanels(scratch, nk, shape.headDim());
      }
      for (int t = 0; t < threads(); t++) {
        tiles[t] = new SoftmaxTile(scratch, rows, shape.headDim(), shape.valueDim());
        differences[t] = scratch.floats((long) rows * COLUMNS);
        low[t] = scratch.ints(rows);
        high[t] = scratch.ints(rows);
      }
    }

    @Override
    protected void compute(Tensor output) {
      workers.run(panels.length * packings, keys);
      workers.run(shape.problems(), sum);
      if (pruneTolerance > 0) {
        workers.run(panels.length, reaches);
      }
      workers.run(shape.problems() * blocks, block);
    }

    private void keys(int worker, int index) {
      int head = index / packings;
      int first = index % packings * KEYS_PER_PACKING;
      int d = shape.headDim();
      int count = Math.min(KEYS_PER_PACKING, nk - first);
      panels[head].pack(input("k"), (head * nk + first) * d, d, count, first);
    }

    private void sum(int worker, int problem) {
      Fox.sum(shape, mask, problem, input("log_decay"), sums, problem * nk);
    }

    private void reaches(int worker, int head) {
      int d = shape.headDim();
      float largest = 0;
      for (int j = head * nk; j < (head + 1) * nk; j++) {
        if (mask.isRealKey(head / shape.numKeyValueHeads(), j - head * nk)) {
          float squares = kernels.dot(d, input("k"), j * d, input("k"), j * d);
          largest = Math.max(largest, (float) Math.sqrt(squares));
        }
        reach[j] = largest;
      }
    }

    /// First key that a row looks at, of those that the window shows: older ones are forgotten.
    private int firstKept(int problem, int i, int low, int end) {
      if (pruneTolerance == 0 || end == 0) {
        return low;
      }
      int d = shape.headDim();
      int head = problem / shape.groupSize();
      int q = (problem * shape.querySeqLen() + i) * d;
      double length = Math.sqrt(kernels.dot(d, input("q"), q, input("q"), q));
      double apart = 2 * length * reach[head * nk + end - 1] * Math.abs(scaleFor(shape));
      double most = sums[problem * nk + end - 1] + apart + Math.log(end / pruneTolerance);
      int from = low;
      for (int to = end - 1; from < to; ) {
        int middle = (from + to) >>> 1;
        if (sums[problem * nk + middle] > most) {
          from = middle + 1;
        } else {
          to = middle;
        }
      }
      return from;
    }

    /// Online softmax of a block of rows over the runs of real keys that it sees, the newest first:
    /// theirs tend to be the largest scores, to which all others are then taken relative.
    private void block(int worker, int index) {
      int problem = index / blocks;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int first = index % blocks * rows;
      int count = Math.min(rows, shape.querySeqLen() - first);
      int d = shape.headDim();
      int dv = shape.valueDim();
      int start = nk;
      for (int r = 0; r < count; r++) {
        int limit = mask.causalLimit(first + r, shape.querySeqLen(), nk);
        int least = firstKey(shape, mask, first + r);
        high[worker][r] = limit;
        low[worker][r] = firstKept(problem, first + r, least, limit);
        start = Math.min(start, low[worker][r]);
      }
      SoftmaxTile tile = tiles[worker];
      tile.begin(input("q"), shape.queryOffset(batch, h) + first * d, d, count, scaleFor(shape));
      for (int to = mask.lastReal(batch, start, high[worker][count - 1]); to > start; ) {
        int from = mask.runStart(batch, Math.max(start, (to - 1) / COLUMNS * COLUMNS), to);
        differences(worker, problem, first, count, from, to);
        tile.attendBiased(
            panels[batch * shape.numKeyValueHeads() + h / shape.groupSize()],
            input("v"),
            shape.valueOffset(batch, h),
            dv,
            from,
            to,
            low[worker],
            0,
            high[worker],
            0,
            differences[worker],
            0,
            COLUMNS);
        to = mask.lastReal(batch, start, from);
      }
      int row = problem * shape.querySeqLen() + first;
      if (lse.length == 0) {
        tile.finish(out, row * dv, dv);
      } else {
        tile.finish(out, row * dv, dv, lse, row);
      }
    }

    /// c_p(i) − c_j for some rows and the keys `from … to - 1`.
    private void differences(int worker, int problem, int first, int count, int from, int to) {
      for (int r = 0; r < count; r++) {
        double own = sums[problem * nk + place(shape, mask, first + r)];
        kernels.differences(
            to - from, own, sums, problem * nk + from, differences[worker], r * COLUMNS);
      }
    }
  }

  /// Caches keys, values and c; a window keeps a ring of W positions.
  private final class Session extends TokenSession {
    private final Kernels kernels = Kernels.get();
    private final int slots = Math.min(shape.keySeqLen(), windowSize.orElse(Integer.MAX_VALUE));
    private final SlotCache cache;
    private final SoftmaxTile tile;

    /// c of the newest position of a head, and `[batch, heads, slots]`: of the cached ones.
    private final double[] newest = new double[shape.problems()];

    private final double[] sums = new double[shape.problems() * slots];
    private final float[] differences = new float[shape.groupSize() * slots];

    Session(AttentionShape shape, Storage storage) {
      super(Fox.this, shape);
      Scratch scratch = new Scratch();
      int heads = shape.batchSize() * shape.numKeyValueHeads();
      cache = new SlotCache(storage, scratch, heads, slots, shape.headDim(), shape.valueDim());
      tile = new SoftmaxTile(scratch, shape.groupSize(), shape.headDim(), shape.valueDim());
    }

    @Override
    protected void take(int t, int tokens) {
      int slot = position() % slots;
      for (int head = 0; head < shape.batchSize() * shape.numKeyValueHeads(); head++) {
        int row = head * tokens + t;
        cache.put(
            head, slot, input("k"), row * shape.headDim(), input("v"), row * shape.valueDim());
      }
      for (int problem = 0; problem < newest.length; problem++) {
        newest[problem] += Math.max(LEAST_LOG, input("log_decay")[problem * tokens + t]);
        sums[problem * slots + slot] = newest[problem];
      }
    }

    @Override
    protected void answer(float[] out) {
      int group = shape.groupSize();
      int d = shape.headDim();
      int dv = shape.valueDim();
      int count = Math.min(position() + 1, slots);
      for (int head = 0; head < shape.batchSize() * shape.numKeyValueHeads(); head++) {
        for (int r = 0; r < group; r++) {
          int problem = head * group + r;
          kernels.differences(
              count, newest[problem], sums, problem * slots, differences, r * slots);
        }
        tile.begin(input("q"), head * group * d, d, group, scaleFor(shape));
        int own = position() % slots; // first, because scores are taken relative to it
        attend(head, own, own + 1);
        attend(head, 0, own);
        attend(head, own + 1, count);
        tile.finish(out, head * group * dv, dv);
      }
    }

    private void attend(int head, int from, int to) {
      cache.attendBiased(tile, head, from, to, differences, from, slots);
    }

    @Override
    protected void forget() {
      Arrays.fill(newest, 0);
    }

    @Override
    public long stateBytes() {
      int used = Math.min(position(), slots);
      return cache.bytes(used) + (long) Double.BYTES * newest.length * (used + 1);
    }
  }
}
