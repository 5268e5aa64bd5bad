// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.ONE;
import static dev.crossover.attention.Axis.QUERY;

import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
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
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.attention.store.SlotCache;
import dev.crossover.attention.store.Storage;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;

/// Softmax attention whose scores are cosines times a temperature.
///
/// Graves, Wayne and Danihelka, "Neural Turing Machines", arXiv:1410.5401, equations (5) and (6):
/// content addressing with a key strength per query. Liu et al., "Swin Transformer V2", CVPR 2022,
/// arXiv:2111.09883, equation (2): scaled cosine attention with a learned scale per head.
///
/// ```
/// nrm(x) = x / max(|x|, eps)
/// s_ij   = scale_i · nrm(q_i)·nrm(k_j) + bias_ij        no 1/√d
/// out_i  = Σ_j softmax_j(s_ij) v_j
/// scale  = exp(min(logit_scale_h, ln max_scale))  or  key_strength_i
/// ```
///
/// | paper  | here           | shape                                                  |
/// |--------|----------------|--------------------------------------------------------|
/// | log 1/τ | `logit_scale` | `[numHeads]`, mode `logit_scale`; ln 10 when absent    |
/// | β      | `key_strength` | `[batch, numHeads, nq]`, mode `key_strength`           |
/// | B      | `bias`         | `[1, numHeads, nq, nk]`, added to the scores, optional |
///
/// Time that of exact attention plus `3·(nq+nk)·d`; scratch one packed copy of the normalised keys
/// and one tile per thread. Honours every [Mask]. Rows that may see no key are zero. A zero query
/// weighs all visible keys alike, a zero key scores 0. Equals softmax attention with scale s where
/// all queries and keys have norm 1 and the scale is s.
///
/// Backward, with n(x) = max(|x|, eps), unit vectors u and w of query and key, c_ij = u_i·w_j and L
/// the row's log-sum-exp, all derived from the equations:
///
/// ```
/// p_ij = exp(s_ij − L_i)      ds_ij = p_ij (∂out_i·v_j − ∂out_i·out_i)      ∂bias = ds
/// ∂u_i = scale_i Σ_j ds_ij w_j      ∂w_j = Σ_i scale_i ds_ij u_i
/// ∂q_i = (∂u_i − (∂u_i·u_i) u_i) / n(q_i)      ∂k_j alike; below eps n is constant: ∂q_i = ∂u_i/eps
/// ∂key_strength_i = Σ_j ds_ij c_ij      ∂logit_scale_h = scale Σ_{b,i,j} ds_ij c_ij
/// ```
///
/// A scale at its upper bound is constant. A zero vector with `eps=0` sends no gradient.
///
/// The norm is bounded from below by eps, as the Swin code does; the Turing machine paper has no
/// bound, which is `eps=0` here (a zero vector then still gives scores of 0).
///
/// @param scaleMode where the scale comes from
/// @param maxScale upper bound of the scale; absent: 100 with `logit_scale`, none with
///     `key_strength`
/// @param eps lower bound of each norm, at least 0
@Mechanism(
    name = "cosine",
    title = "Cosine attention",
    paper =
        "Liu et al., Swin Transformer V2, CVPR 2022; Graves et al., Neural Turing Machines, 2014",
    arxiv = "2111.09883",
    family = Mechanism.Family.SCORE,
    approximates = Mechanism.Approximates.NONE,
    exactness = "unit-norm queries and keys: softmax with that scale",
    time = "4 n² d",
    memory = "n d",
    exponent = 2,
    bound =
        "the two products, more than two thirds of the time, as in tiled softmax; the norms take 1"
            + " %",
    differences = {
      @Mechanism.Difference(
          what = "lower bound of a norm",
          paper = "none: plain cosine",
          code = "norms below 1e-12 count as 1e-12, so that such vectors stay short",
          paperOption = "eps=0",
          codeOption = "eps=1e-12",
          defaultIs = "the code's, because a zero vector has no direction",
          test = "CosineTest.lowerBoundOfTheNormLeavesTinyVectorsShort")
    })
public record Cosine(
    @Parameter(value = "which tensor scales the cosine", defaultValue = "logit_scale")
        ScaleMode scaleMode,
    @Parameter(
            value =
                "upper bound of the scale; absent: 100 with logit_scale, none with key_strength",
            defaultValue = "")
        OptionalDouble maxScale,
    @Parameter(value = "lower bound of each norm, >= 0", defaultValue = "1e-12") double eps)
    implements CachingAttention {

  private static final int BIAS_KEYS = 256;
  private static final double DEFAULT_MAX_SCALE = 100;
  private static final float[] NO_LSE = new float[0];

  /// Where the scale comes from.
  public enum ScaleMode {
    /// The exponential of one learned number per head.
    LOGIT_SCALE,
    /// One positive number per query.
    KEY_STRENGTH
  }

  /// Validates the parameters.
  public Cosine {
    if (maxScale.isPresent() && !(maxScale.getAsDouble() > 0)) {
      throw new IllegalArgumentException(
          "max_scale must be > 0, but was " + maxScale.getAsDouble());
    }
    if (!(eps >= 0)) {
      throw new IllegalArgumentException("eps must be >= 0, but was " + eps);
    }
  }

  /// Swin V2's setting: a learned scale per head of at most 100.
  public Cosine() {
    this(ScaleMode.LOGIT_SCALE, OptionalDouble.empty(), 1e-12);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
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
    if (scaleMode == ScaleMode.LOGIT_SCALE) {
      specs.add(
          TensorSpec.parameter(
              "logit_scale",
              "logarithm of the scale, ln 10",
              (_, shape) -> Draws.constant(Math.log(10), shape),
              s,
              HEADS));
    } else {
      specs.add(
          TensorSpec.input(
              "key_strength",
              "scale per query, uniform from 1 to 10",
              (seed, shape) -> Draws.uniform(seed, 1, 10, shape),
              s,
              BATCH,
              HEADS,
              QUERY));
    }
    specs.add(
        TensorSpec.optional(
            "bias",
            "added to the scaled cosines, N(0,1)",
            Draws::gaussian,
            s,
            ONE,
            HEADS,
            QUERY,
            KEY));
    return List.copyOf(specs);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double d = s.headDim();
    double rows =
        (double) s.problems() * s.querySeqLen()
            + (double) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
    double flops =
        3 * rows * d + s.problems() * Cost.pairs(s, mask) * (2 * d + 2.0 * s.valueDim() + 5);
    long panels =
        (long) s.batchSize() * s.numKeyValueHeads() * KeyPanels.bytes(s.keySeqLen(), s.headDim());
    int rowsPerTile = SoftmaxTile.preferredRows();
    long perThread =
        SoftmaxTile.bytes(rowsPerTile, s.headDim(), s.valueDim())
            + (long) Integer.BYTES * 2 * rowsPerTile
            + (long) Float.BYTES * (rowBlock() * (long) s.headDim() + rowsPerTile * BIAS_KEYS);
    return new Cost(flops, Cost.tensorBytes(s) + 2.0 * panels, panels + threads * perThread);
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
    return new CosineDifferentiable(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return CosineDifferentiable.cost(s, mask, threads, cost(s, mask, threads).scratchBytes());
  }

  @Override
  public Caching caching() {
    return Caching.COMPRESSED;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    return cache.suitSlots()
        ? new Session(shape, cache.storage())
        : new CosineCompressed(this, shape, threads, cache);
  }

  /// Factor on a query's cosines.
  ///
  /// @param row of the tensor that is bound: head h of `logit_scale`, a row of `key_strength`
  double scaleOf(BoundTensors inputs, int h, int row) {
    return scaleMode == ScaleMode.LOGIT_SCALE
        ? bounded(Math.exp(inputs.get("logit_scale")[h]))
        : bounded(inputs.get("key_strength")[row]);
  }

  /// nrm(x) · factor.
  void normalise(float[] x, int xo, int d, double factor, float[] y, int yo) {
    double square = 0;
    for (int c = 0; c < d; c++) {
      square += (double) x[xo + c] * x[xo + c];
    }
    double norm = Math.max(Math.sqrt(square), eps);
    double scaled = norm == 0 ? 0 : factor / norm;
    for (int c = 0; c < d; c++) {
      y[yo + c] = (float) (x[xo + c] * scaled);
    }
  }

  /// The scale of a given one.
  double bounded(double scale) {
    return Math.min(scale, largestScale());
  }

  /// Upper bound of the scale.
  double largestScale() {
    return maxScale.orElse(
        scaleMode == ScaleMode.LOGIT_SCALE ? DEFAULT_MAX_SCALE : Double.POSITIVE_INFINITY);
  }

  /// Rows normalised at a time: a block of queries, or keys up to a position where packing may
  /// start.
  private static int rowBlock() {
    int alignment = KeyPanels.alignment();
    return Math.ceilDiv(SoftmaxTile.preferredRows(), alignment) * alignment;
  }

  private final class Plan extends AttentionPlan {
    private final int rows = SoftmaxTile.preferredRows();
    private final int queryBlocks = Math.ceilDiv(shape.querySeqLen(), rows);
    private final int keyBlocks = Math.ceilDiv(shape.keySeqLen(), rowBlock());
    private final KeyPanels[] panels = new KeyPanels[shape.batchSize() * shape.numKeyValueHeads()];
    private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
    private final float[][] unit = new float[threads()][];
    private final float[][] shifts = new float[threads()][];
    private final int[][] low = new int[threads()][];
    private final int[][] high = new int[threads()][];
    private final Workers.Task keys = this::keys;
    private final Workers.Task queries = this::queries;
    private final float[] lse;

    Plan(PlanRequest request, float[] lse) {
      super(request);
      this.lse = lse;
      for (int p = 0; p < panels.length; p++) {
        panels[p] = new KeyPanels(scratch, shape.keySeqLen(), shape.headDim());
      }
      for (int t = 0; t < tiles.length; t++) {
        tiles[t] = new SoftmaxTile(scratch, rows, shape.headDim(), shape.valueDim());
        unit[t] = scratch.floats((long) rowBlock() * shape.headDim());
        shifts[t] = scratch.floats((long) rows * BIAS_KEYS);
        low[t] = scratch.ints(rows);
        high[t] = scratch.ints(rows);
      }
    }

    @Override
    protected void compute(Tensor output) {
      workers.run(panels.length * keyBlocks, keys);
      workers.run(shape.problems() * queryBlocks, queries);
    }

    /// nrm(k) of one block of keys, packed.
    private void keys(int worker, int index) {
      int d = shape.headDim();
      int panel = index / keyBlocks;
      int first = index % keyBlocks * rowBlock();
      int count = Math.min(rowBlock(), shape.keySeqLen() - first);
      int source = (panel * shape.keySeqLen() + first) * d;
      for (int r = 0; r < count; r++) {
        normalise(input("k"), source + r * d, d, 1, unit[worker], r * d);
      }
      panels[panel].pack(unit[worker], 0, d, count, first);
    }

    /// scale_i · nrm(q_i) of one block of queries, against the normalised keys.
    private void queries(int worker, int index) {
      int d = shape.headDim();
      int dv = shape.valueDim();
      int problem = index / queryBlocks;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int first = index % queryBlocks * rows;
      int count = Math.min(rows, shape.querySeqLen() - first);
      int source = shape.queryOffset(batch, h) + first * d;
      for (int r = 0; r < count; r++) {
        int row = problem * shape.querySeqLen() + first + r;
        normalise(input("q"), source + r * d, d, scaleOf(inputs(), h, row), unit[worker], r * d);
        high[worker][r] = mask.causalLimit(first + r, shape.querySeqLen(), shape.keySeqLen());
      }
      SoftmaxTile tile = tiles[worker];
      tile.begin(unit[worker], 0, d, count, 1);
      int end = count == 0 ? 0 : high[worker][count - 1];
      for (int from = mask.nextReal(batch, 0, end); from < end; ) {
        int to = mask.nextPadding(batch, from, end);
        attend(worker, batch, h, first, count, from, Math.min(to, end));
        from = mask.nextReal(batch, to, end);
      }
      int o = shape.outputOffset(batch, h) + first * dv;
      if (lse.length == 0) {
        tile.finish(out, o, dv);
      } else {
        tile.finish(out, o, dv, lse, problem * shape.querySeqLen() + first);
      }
    }

    private void attend(int worker, int batch, int h, int first, int count, int from, int to) {
      int dv = shape.valueDim();
      KeyPanels keys = panels[batch * shape.numKeyValueHeads() + h / shape.groupSize()];
      int values = shape.valueOffset(batch, h);
      if (!hasInput("bias")) {
        tiles[worker].attend(
            keys, input("v"), values, dv, from, to, low[worker], 0, high[worker], 0);
        return;
      }
      for (int j = from; j < to; j += BIAS_KEYS) {
        int width = Math.min(BIAS_KEYS, to - j);
        for (int r = 0; r < count; r++) {
          shift(worker, (h * shape.querySeqLen() + first + r) * shape.keySeqLen(), r, j, width);
        }
        tiles[worker].attendBiased(
            keys, input("v"), values, dv, j, j + width, shifts[worker], 0, BIAS_KEYS);
      }
    }

    /// bias_ij of one row, −∞ beyond the causal limit.
    private void shift(int worker, int biasRow, int r, int j, int width) {
      int visible = Math.clamp((long) high[worker][r] - j, 0, width);
      System.arraycopy(input("bias"), biasRow + j, shifts[worker], r * BIAS_KEYS, visible);
      Arrays.fill(
          shifts[worker], r * BIAS_KEYS + visible, r * BIAS_KEYS + width, Float.NEGATIVE_INFINITY);
    }
  }

  /// Caches nrm(k) and v.
  private final class Session extends TokenSession {
    private final SlotCache cache;
    private final SoftmaxTile tile;
    private final float[] unit;

    Session(AttentionShape shape, Storage storage) {
      super(Cosine.this, shape);
      Scratch scratch = new Scratch();
      cache =
          new SlotCache(
              storage,
              scratch,
              shape.batchSize() * shape.numKeyValueHeads(),
              shape.keySeqLen(),
              shape.headDim(),
              shape.valueDim());
      tile = new SoftmaxTile(scratch, shape.groupSize(), shape.headDim(), shape.valueDim());
      unit = scratch.floats((long) shape.groupSize() * shape.headDim());
    }

    @Override
    protected void take(int t, int tokens) {
      int d = shape.headDim();
      for (int p = 0; p < shape.batchSize() * shape.numKeyValueHeads(); p++) {
        int row = p * tokens + t;
        normalise(input("k"), row * d, d, 1, unit, 0);
        cache.put(p, position(), unit, 0, input("v"), row * shape.valueDim());
      }
    }

    @Override
    protected void answer(float[] out) {
      if (hasInput("bias")) {
        throw new IllegalArgumentException("cosine: bias must be absent while decoding");
      }
      int d = shape.headDim();
      int dv = shape.valueDim();
      int group = shape.groupSize();
      for (int p = 0; p < shape.batchSize() * shape.numKeyValueHeads(); p++) {
        for (int r = 0; r < group; r++) {
          int row = p * group + r;
          double scale = scaleOf(inputs(), row % shape.numHeads(), row);
          normalise(input("q"), row * d, d, scale, unit, r * d);
        }
        tile.begin(unit, 0, d, group, 1);
        cache.attend(tile, p, 0, position() + 1);
        tile.finish(out, p * group * dv, dv);
      }
    }

    @Override
    public long stateBytes() {
      return cache.bytes(position());
    }
  }
}
