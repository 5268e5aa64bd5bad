// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.QUERY;

import dev.crossover.attention.Attention;
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
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;

/// Stick-breaking attention: weights without a softmax. From the newest key to the oldest, each
/// breaks a share off what is left of a stick; recency is built in, no positions are needed.
///
/// Tan, Yang, Courville, Panda and Shen, "Scaling Stick-Breaking Attention: An Efficient
/// Implementation and In-depth Study", ICLR 2025, arXiv:2410.17980, equations (1) to (4).
///
/// ```
/// s_ij        = scale q_i·k_j,   b_ij = σ(s_ij)            j < p(i), with attend_current j <= p(i)
/// w_ij        = b_ij Π_{l > j} (1 − b_il)
/// remainder_i = Π_l (1 − b_il) = 1 − Σ_j w_ij
/// out_i       = Σ_j w_ij v_j         remainder_to_current: + remainder_i v_p(i)
/// ```
///
/// | paper | here           | shape                                        |
/// |-------|----------------|----------------------------------------------|
/// | q     | `q`            | `[batch, heads, nq, d]`                      |
/// | k, v  | `k`, `v`       | `[batch, kvHeads, nk, d]`, `[…, dv]`         |
/// | –     | `remainder`    | `[batch, heads, nq]`, what is left of the stick |
/// | i     | –              | p(i) = i + nk − nq, or i + the mask's offset |
///
/// As logarithms, `log w_ij = −softplus(−s_ij) − Σ_{l > j} softplus(s_il)`: tiles of keys are
/// visited from the newest to the oldest with one number carried per row, without a maximum and a
/// division. Nothing is left to add once that number is below the logarithm of the smallest float:
/// the remaining tiles are skipped, which changes no bit.
///
/// Time `4·pairs·d`, two exponentials and a logarithm per pair; scratch one tile per thread. The
/// mechanism is causal: it needs an order. Keys behind padding break nothing off. A row that sees
/// no key is zero, or its own value, and its remainder is 1. All s = 0: w halves from key to key.
///
/// Backward, with D_i = ∂out_i·out_i and a_ij = w_ij ∂out_i·v_j:
///
/// ```
/// ds_ij = a_ij (1 − b_ij) − b_ij (Σ_{l < j} a_il + remainder_i ∂out_i·v_p(i))
///       = a_ij − b_ij (D_i − Σ_{l > j} a_il)
/// ∂q_i = scale Σ_j ds_ij k_j      ∂k_j = scale Σ_i ds_ij q_i
/// ∂v_j = Σ_i w_ij ∂out_i (+ remainder_i ∂out_i where p(i) = j)
/// ```
///
/// The second form needs only what keys after j gave, so that one walk from the newest key is
/// enough; the remainder's term is in D_i. No gradient flows from `remainder`.
///
/// Paper and code agree: j < i. The authors' kernels return the remainder apart; their tests add it
/// to the own value, which is `remainder_to_current`.
///
/// @param attendCurrent whether the query's own key takes part
/// @param remainderToCurrent whether the own value gets what is left
/// @param scale factor on the dot products, 1/√d when absent
@Mechanism(
    name = "stick_breaking",
    title = "Stick-breaking attention",
    paper = "Tan et al., Scaling Stick-Breaking Attention, ICLR 2025",
    arxiv = "2410.17980",
    family = Mechanism.Family.SCORE,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no softmax; skipped keys have weights below every float",
    time = "4 n² d",
    memory = "d",
    exponent = 2)
public record StickBreaking(
    @Parameter(value = "the query's own key takes part", defaultValue = "false")
        boolean attendCurrent,
    @Parameter(value = "the own value gets what is left of the stick", defaultValue = "false")
        boolean remainderToCurrent,
    @Parameter(value = "factor on q·k, 1/√d when absent", defaultValue = "") OptionalDouble scale)
    implements CachingAttention {

  /// Operations of a pair besides the products: scaling, two logarithms with their exponential, a
  /// sum along the keys, the weight.
  private static final double PER_PAIR = 9;

  /// Validates the parameters.
  public StickBreaking {
    if (!Double.isFinite(scale.orElse(1))) {
      throw new IllegalArgumentException("scale must be finite, but was " + scale.getAsDouble());
    }
  }

  /// The authors' form: keys before the query, nothing for the own value.
  public StickBreaking() {
    this(false, false, OptionalDouble.empty());
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
  public List<TensorSpec> results(AttentionShape s) {
    return List.of(
        TensorSpec.result("remainder", "what is left of the stick", s, BATCH, HEADS, QUERY)
            .constant());
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double rows = (double) s.problems() * s.querySeqLen();
    double flops =
        s.problems() * pairs(s, mask) * (2.0 * s.headDim() + 2.0 * s.valueDim() + PER_PAIR)
            + rows * (remainderToCurrent ? 1 + 2.0 * s.valueDim() : 1);
    return new Cost(flops, Cost.tensorBytes(s), threads * blockBytes(s));
  }

  private static long blockBytes(AttentionShape s) {
    return StickBlock.bytes(StickBlock.ROWS, s.headDim(), s.valueDim())
        + Integer.BYTES * (long) StickBlock.ROWS;
  }

  /// Pairs of a head that break something off.
  double pairs(AttentionShape s, Mask mask) {
    double pairs = 0;
    for (int i = 0; i < s.querySeqLen(); i++) {
      pairs += limit(s, mask, i);
    }
    return pairs;
  }

  /// Number of leading keys that query i sees.
  int limit(AttentionShape s, Mask mask, int i) {
    long own = (long) i + mask.causalOffset(s.querySeqLen(), s.keySeqLen());
    return Math.clamp(own + (attendCurrent ? 1 : 0), 0, s.keySeqLen());
  }

  /// Position of the own value that query i gets the remainder of; −1 where there is none.
  int own(AttentionShape s, Mask mask, int batch, int i) {
    long own = (long) i + mask.causalOffset(s.querySeqLen(), s.keySeqLen());
    boolean exists = own >= 0 && own < s.keySeqLen() && mask.isRealKey(batch, (int) own);
    return remainderToCurrent && exists ? (int) own : -1;
  }

  double scaleFor(AttentionShape s) {
    return scale.orElse(Attention.defaultScale(s));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new StickBreakingDifferentiable(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return StickBreakingDifferentiable.cost(this, s, mask, threads);
  }

  @Override
  public Caching caching() {
    return Caching.COMPRESSED;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    return cache.changesOutputs()
        ? new StickCompressed(this, shape, threads, cache)
        : new Session(shape);
  }

  private final class Plan extends AttentionPlan {
    private final Kernels kernels = Kernels.get();
    private final int blocks = Math.ceilDiv(shape.querySeqLen(), StickBlock.ROWS);
    private final StickBlock[] sticks = new StickBlock[threads()];
    private final int[][] limits = new int[threads()][];
    private final Workers.Task block = this::block;

    Plan(PlanRequest request) {
      super(request);
      for (int t = 0; t < threads(); t++) {
        sticks[t] = new StickBlock(scratch, StickBlock.ROWS, shape.headDim(), shape.valueDim());
        limits[t] = scratch.ints(StickBlock.ROWS);
      }
    }

    @Override
    protected void compute(Tensor output) {
      workers.run(shape.problems() * blocks, block);
    }

    /// A block of rows, its tiles of real keys from the newest to the oldest.
    private void block(int worker, int index) {
      int problem = index / blocks;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int first = index % blocks * StickBlock.ROWS;
      int rows = Math.min(StickBlock.ROWS, shape.querySeqLen() - first);
      int dv = shape.valueDim();
      int row = problem * shape.querySeqLen() + first;
      int ko = shape.keyOffset(batch, h);
      int vo = shape.valueOffset(batch, h);
      for (int r = 0; r < rows; r++) {
        limits[worker][r] = limit(shape, mask, first + r);
      }
      Arrays.fill(out, row * dv, (row + rows) * dv, 0);
      StickBlock stick = sticks[worker];
      stick.begin(input("q"), row * shape.headDim(), rows, scaleFor(shape));
      int to = mask.lastReal(batch, 0, limits[worker][rows - 1]);
      while (to > 0 && !stick.spent()) {
        int from = mask.runStart(batch, (to - 1) / StickBlock.KEYS * StickBlock.KEYS, to);
        stick.attend(input("k"), ko, input("v"), vo, from, to, limits[worker], out, row * dv);
        to = mask.lastReal(batch, 0, from);
      }
      for (int r = 0; r < rows; r++) {
        int own = own(shape, mask, batch, first + r);
        if (own >= 0) {
          kernels.axpy(dv, stick.remainder(r), input("v"), vo + own * dv, out, (row + r) * dv);
        }
        if (wantsResult("remainder")) {
          result("remainder")[row + r] = stick.remainder(r);
        }
      }
    }
  }

  /// Caches keys and values; a step walks from the newest key and stops where nothing is left.
  private final class Session extends TokenSession {
    private final Kernels kernels = Kernels.get();
    private final int heads = shape.batchSize() * shape.numKeyValueHeads();
    private final int slots = shape.keySeqLen();
    private final float[] keys = new float[heads * slots * shape.headDim()];
    private final float[] values = new float[heads * slots * shape.valueDim()];
    private final int[] limits = new int[shape.groupSize()];
    private final StickBlock stick =
        new StickBlock(new Scratch(), shape.groupSize(), shape.headDim(), shape.valueDim());

    Session(AttentionShape shape) {
      super(StickBreaking.this, shape);
    }

    @Override
    protected void take(int t, int tokens) {
      int d = shape.headDim();
      int dv = shape.valueDim();
      for (int head = 0; head < heads; head++) {
        int from = head * tokens + t;
        int to = head * slots + position();
        System.arraycopy(input("k"), from * d, keys, to * d, d);
        System.arraycopy(input("v"), from * dv, values, to * dv, dv);
      }
    }

    @Override
    protected void answer(float[] out) {
      int group = shape.groupSize();
      int d = shape.headDim();
      int dv = shape.valueDim();
      Arrays.fill(out, 0);
      Arrays.fill(limits, position() + (attendCurrent ? 1 : 0));
      for (int head = 0; head < heads; head++) {
        int row = head * group;
        int vo = head * slots * dv;
        stick.begin(input("q"), row * d, group, scaleFor(shape));
        for (int to = limits[0]; to > 0 && !stick.spent(); ) {
          int from = (to - 1) / StickBlock.KEYS * StickBlock.KEYS;
          stick.attend(keys, head * slots * d, values, vo, from, to, limits, out, row * dv);
          to = from;
        }
        for (int r = 0; remainderToCurrent && r < group; r++) {
          kernels.axpy(dv, stick.remainder(r), values, vo + position() * dv, out, (row + r) * dv);
        }
      }
    }

    @Override
    public long stateBytes() {
      return (long) heads * position() * (shape.headDim() + shape.valueDim()) * Float.BYTES;
    }
  }
}
