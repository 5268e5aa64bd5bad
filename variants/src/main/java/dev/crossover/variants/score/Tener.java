// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;

import dev.crossover.attention.AttentionInputs;
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
import java.util.List;

/// Attention with signed relative positions, which tell direction as well as distance, and sharp
/// because it is not divided by √d.
///
/// Yan, Deng, Li and Qiu, "TENER: Adapting Transformer Encoder for Named Entity Recognition", 2019,
/// arXiv:1911.04474, equations (15) to (19); the code's form is that of the authors' code.
///
/// ```
/// P(x)  = [sin(x f_0) … sin(x f_{p−1}), cos(x f_0) …],  p = ⌊d/2⌋,  f_t = 10000^(−t/(p−1))
/// code:  s_ij = (q_i + u)·k_j + (q_i + w)·P(j−i) + k_j·P(i−j)
/// paper: s_ij = (q_i + u)·k_j + (q_i + w)·P(i−j)
/// out_i = Σ_j softmax_j(s_ij) v_j                          scaled: softmax of s/√d
/// ```
///
/// | paper | here            | shape            |
/// |-------|-----------------|------------------|
/// | u     | `content_bias`  | `[numHeads, d]`  |
/// | v     | `position_bias` | `[numHeads, d]`, w above |
/// | R     | –               | P, shared by all heads, not learned |
///
/// P(j − i) is a rotation of P(j), so that all terms are one dot product of length about 3d (paper:
/// 2d), `[q + u, q', P(i)] · [k, P(j), k']` with q' and k' rotated by their own positions; any
/// exact softmax kernel does the rest. Angles are taken in double precision.
///
/// Time `8·n²·d` (paper: 6); scratch the packed keys of that width and the table of P. Honours
/// every [Mask]; causal order is an extension. Rows that may see no key are zero. Needs d ≥ 4,
/// because the frequency rule divides by p − 1. Equals softmax attention with scale 1 where q + w
/// meets P at right angles and u is zero, paper's form. Shifting the whole sequence changes
/// nothing.
///
/// Backward, with c = 1 (scaled: 1/√d), L the row's log-sum-exp and P constant; derived from the
/// equations:
///
/// ```
/// p_ij = exp(c s_ij − L_i)      ds_ij = c p_ij (∂out_i·v_j − ∂out_i·out_i)
/// code:  ∂q_i = Σ_j ds_ij (k_j + P(j−i))      ∂k_j = Σ_i ds_ij (q_i + u + P(i−j))
/// paper: ∂q_i = Σ_j ds_ij (k_j + P(i−j))      ∂k_j = Σ_i ds_ij (q_i + u)
/// ∂u = Σ_{b,i,j} ds_ij k_j      ∂w = Σ_{b,i,j} ds_ij P(j−i), paper P(i−j)
/// ```
///
/// It is the backward pass of exact attention over the long rows, followed by the rotations turned
/// back; the parts P(i) and P(j) need no gradient.
///
/// The paper interleaves sines and cosines with exponent 2t/d; both forms here take the code's
/// order and frequencies, so that they differ by sign and key term only.
///
/// @param variant which position terms
/// @param scaled whether scores are divided by √d
/// @param seed seed of the drawn biases
@Mechanism(
    name = "tener",
    title = "TENER",
    paper = "Yan et al., TENER: Adapting Transformer Encoder for Named Entity Recognition, 2019",
    arxiv = "1911.04474",
    family = Mechanism.Family.SCORE,
    approximates = Mechanism.Approximates.NONE,
    exactness = "no position terms, no biases, scaled: softmax",
    time = "8 n² d",
    memory = "4 n d",
    exponent = 2,
    bound =
        "a dot product of length 3 d per pair, 63 % of the time, where softmax has d; the product "
            + "with the values takes 23 %",
    differences = {
      @Mechanism.Difference(
          what = "position terms",
          paper = "(q + w)·P(i−j), no key term",
          code = "(q + w)·P(j−i) + k·P(i−j)",
          paperOption = "variant=paper",
          codeOption = "variant=code",
          defaultIs = "the code's, because the published scores are its",
          test = "TenerTest.paperAndCodeDifferInDirectionAndKeyTerm")
    })
public record Tener(
    @Parameter(value = "which position terms", defaultValue = "code") Variant variant,
    @Parameter(value = "divide scores by sqrt(d)", defaultValue = "false") boolean scaled,
    @Parameter(value = "seed of the drawn biases", defaultValue = "42") long seed)
    implements CachingAttention {

  private static final int LEAST_DIM = 4;
  private static final float[] NO_LSE = new float[0];

  /// Position terms.
  public enum Variant {
    /// Of the authors' code.
    CODE,
    /// Of the paper's equation.
    PAPER
  }

  /// The code's form, not scaled.
  public Tener() {
    this(Variant.CODE, false, Draws.DEFAULT_SEED);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(true)
        .gradients(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(bias("content_bias", "added to q against keys", s));
    specs.add(bias("position_bias", "added to q against positions", s));
    return List.copyOf(specs);
  }

  private static TensorSpec bias(String name, String meaning, AttentionShape s) {
    double deviation = Math.sqrt(2.0 / (s.numHeads() + s.headDim()));
    return TensorSpec.parameter(
        name,
        meaning + ", Xavier normal",
        (seed, shape) -> Draws.gaussian(seed, deviation, shape),
        s,
        HEADS,
        HEAD_DIM);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    int width = width(s.headDim());
    double keyRows = (double) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
    double rotations = 8.0 * s.headDim() * ((double) s.problems() * s.querySeqLen() + keyRows);
    double flops =
        rotations + s.problems() * Cost.pairs(s, mask) * (2.0 * width + 2.0 * s.valueDim() + 5);
    int rows = SoftmaxTile.preferredRows();
    long table = Float.BYTES * (long) s.keySeqLen() * waves(s.headDim());
    long panels =
        (long) s.batchSize() * s.numKeyValueHeads() * KeyPanels.bytes(s.keySeqLen(), width);
    long perThread =
        SoftmaxTile.bytes(rows, width, s.valueDim())
            + Integer.BYTES * 2L * rows
            + Float.BYTES * ((long) rowBlock() * width + s.headDim());
    return new Cost(
        flops, Cost.tensorBytes(s) + 2.0 * panels + table, table + panels + threads * perThread);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireDim(request.shape());
    return new Plan(request, NO_LSE);
  }

  /// A plan that writes every row's log-sum-exp too.
  AttentionPlan planWithLse(PlanRequest request, float[] lse) {
    return new Plan(request, lse);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireDim(request.shape());
    return new TenerDifferentiable(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return TenerDifferentiable.cost(this, s, mask, threads);
  }

  @Override
  public Caching caching() {
    return Caching.COMPRESSED;
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache) {
    requireDim(shape);
    return cache.suitSlots()
        ? new Session(shape, cache.storage())
        : new TenerCompressed(this, shape, threads, cache);
  }

  private static void requireDim(AttentionShape s) {
    if (s.headDim() < LEAST_DIM) {
      throw new IllegalArgumentException(
          "tener: headDim must be >= " + LEAST_DIM + ", but was " + s.headDim());
    }
  }

  /// Elements of P that are not zero: 2p.
  static int waves(int d) {
    return d / 2 * 2;
  }

  /// Length of the one dot product.
  int width(int d) {
    return d + (variant == Variant.CODE ? 2 : 1) * waves(d);
  }

  /// Factor on all scores.
  float scale(int d) {
    return scaled ? (float) (1 / Math.sqrt(d)) : 1;
  }

  /// Rows expanded at a time: a block of queries, or keys up to a position where packing may start.
  private static int rowBlock() {
    int alignment = KeyPanels.alignment();
    return Math.ceilDiv(SoftmaxTile.preferredRows(), alignment) * alignment;
  }

  /// P(0), P(1), …
  static void fillTable(int positions, int d, float[] table) {
    int p = d / 2;
    for (int t = 0; t < p; t++) {
      double frequency = Math.pow(10000, -(double) t / (p - 1));
      for (int x = 0; x < positions; x++) {
        table[x * 2 * p + t] = (float) Math.sin(x * frequency);
        table[x * 2 * p + p + t] = (float) Math.cos(x * frequency);
      }
    }
  }

  /// `[k, P(j), k']`; the paper's form ends before k'.
  void expandKey(float[] k, int ko, int d, float[] table, int j, float[] to, int at) {
    int p = d / 2;
    System.arraycopy(k, ko, to, at, d);
    System.arraycopy(table, j * 2 * p, to, at + d, 2 * p);
    if (variant == Variant.CODE) {
      rotate(k, ko, p, table, j * 2 * p, 1, to, at + d + 2 * p);
    }
  }

  /// `[q + u, q', P(i)]`, where q' is q + w rotated; the paper's form ends before P(i).
  ///
  /// @param row scratch for q + w
  void expandQuery(
      float[] q,
      int qo,
      float[] content,
      float[] position,
      int bias,
      int d,
      float[] table,
      int i,
      float[] row,
      float[] to,
      int at) {
    int p = d / 2;
    Kernels.get().add(d, q, qo, content, bias, to, at);
    Kernels.get().add(d, q, qo, position, bias, row, 0);
    if (variant == Variant.CODE) {
      rotate(row, 0, p, table, i * 2 * p, 1, to, at + d);
      System.arraycopy(table, i * 2 * p, to, at + d + 2 * p, 2 * p);
    } else {
      rotate(row, 0, p, table, i * 2 * p, -1, to, at + d);
    }
  }

  /// The halves (a, b) of x that meet sine and cosine, turned by a position's angles: `a cos + b
  /// sin, b cos − a sin`; with sign −1 for the opposite direction: `b sin − a cos, b cos + a sin`.
  private static void rotate(
      float[] x, int xo, int p, float[] table, int at, int sign, float[] to, int o) {
    for (int t = 0; t < p; t++) {
      double a = sign * (double) x[xo + t];
      double b = x[xo + p + t];
      double sin = table[at + t];
      double cos = table[at + p + t];
      to[o + t] = (float) (a * cos + b * sin);
      to[o + p + t] = (float) (b * cos - a * sin);
    }
  }

  /// Adds to `to` the gradient of the vector that [#rotate] turned.
  static void rotateBack(
      float[] gradient, int from, int p, float[] table, int at, int sign, float[] to, int o) {
    for (int t = 0; t < p; t++) {
      double a = gradient[from + t];
      double b = gradient[from + p + t];
      double sin = table[at + t];
      double cos = table[at + p + t];
      to[o + t] += (float) (sign * (a * cos - b * sin));
      to[o + p + t] += (float) (a * sin + b * cos);
    }
  }

  private final class Plan extends AttentionPlan {
    private final int rows = SoftmaxTile.preferredRows();
    private final int d = shape.headDim();
    private final int width = width(d);
    private final int queryBlocks = Math.ceilDiv(shape.querySeqLen(), rows);
    private final int keyBlocks = Math.ceilDiv(shape.keySeqLen(), rowBlock());
    private final float[] table = scratch.floats((long) shape.keySeqLen() * waves(d));
    private final KeyPanels[] panels = new KeyPanels[shape.batchSize() * shape.numKeyValueHeads()];
    private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
    private final float[][] expanded = new float[threads()][];
    private final float[][] rotated = new float[threads()][];
    private final int[][] low = new int[threads()][];
    private final int[][] high = new int[threads()][];
    private final Workers.Task keys = this::keys;
    private final Workers.Task queries = this::queries;
    private final float[] lse;

    Plan(PlanRequest request, float[] lse) {
      super(request);
      this.lse = lse;
      fillTable(shape.keySeqLen(), d, table);
      for (int p = 0; p < panels.length; p++) {
        panels[p] = new KeyPanels(scratch, shape.keySeqLen(), width);
      }
      for (int t = 0; t < threads(); t++) {
        tiles[t] = new SoftmaxTile(scratch, rows, width, shape.valueDim());
        expanded[t] = scratch.floats((long) rowBlock() * width);
        rotated[t] = scratch.floats(d);
        low[t] = scratch.ints(rows);
        high[t] = scratch.ints(rows);
      }
    }

    @Override
    protected void compute(Tensor output) {
      workers.run(panels.length * keyBlocks, keys);
      workers.run(shape.problems() * queryBlocks, queries);
    }

    private void keys(int worker, int index) {
      int panel = index / keyBlocks;
      int first = index % keyBlocks * rowBlock();
      int count = Math.min(rowBlock(), shape.keySeqLen() - first);
      int source = (panel * shape.keySeqLen() + first) * d;
      for (int r = 0; r < count; r++) {
        expandKey(input("k"), source + r * d, d, table, first + r, expanded[worker], r * width);
      }
      panels[panel].pack(expanded[worker], 0, width, count, first);
    }

    private void queries(int worker, int index) {
      int problem = index / queryBlocks;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int dv = shape.valueDim();
      int first = index % queryBlocks * rows;
      int count = Math.min(rows, shape.querySeqLen() - first);
      for (int r = 0; r < count; r++) {
        int q = (problem * shape.querySeqLen() + first + r) * d;
        expandQuery(
            input("q"),
            q,
            input("content_bias"),
            input("position_bias"),
            h * d,
            d,
            table,
            first + r,
            rotated[worker],
            expanded[worker],
            r * width);
        high[worker][r] = mask.causalLimit(first + r, shape.querySeqLen(), shape.keySeqLen());
      }
      SoftmaxTile tile = tiles[worker];
      tile.begin(expanded[worker], 0, width, count, scale(d));
      int end = high[worker][count - 1];
      for (int from = mask.nextReal(batch, 0, end); from < end; ) {
        int to = mask.nextPadding(batch, from, end);
        tile.attend(
            panels[batch * shape.numKeyValueHeads() + h / shape.groupSize()],
            input("v"),
            shape.valueOffset(batch, h),
            dv,
            from,
            to,
            low[worker],
            0,
            high[worker],
            0);
        from = mask.nextReal(batch, to, end);
      }
      int row = problem * shape.querySeqLen() + first;
      if (lse.length == 0) {
        tile.finish(out, row * dv, dv);
      } else {
        tile.finish(out, row * dv, dv, lse, row);
      }
    }
  }

  /// Caches expanded keys and values.
  private final class Session extends TokenSession {
    private final int d = shape.headDim();
    private final int width = width(d);
    private final float[] table;
    private final SlotCache cache;
    private final SoftmaxTile tile;
    private final float[] expanded;
    private final float[] rotated;

    Session(AttentionShape shape, Storage storage) {
      super(Tener.this, shape);
      Scratch scratch = new Scratch();
      int heads = shape.batchSize() * shape.numKeyValueHeads();
      table = scratch.floats((long) shape.keySeqLen() * waves(d));
      fillTable(shape.keySeqLen(), d, table);
      cache = new SlotCache(storage, scratch, heads, shape.keySeqLen(), width, shape.valueDim());
      tile = new SoftmaxTile(scratch, shape.groupSize(), width, shape.valueDim());
      expanded = scratch.floats((long) shape.groupSize() * width);
      rotated = scratch.floats(d);
    }

    @Override
    protected void take(int t, int tokens) {
      for (int p = 0; p < shape.batchSize() * shape.numKeyValueHeads(); p++) {
        int row = p * tokens + t;
        expandKey(input("k"), row * d, d, table, position(), expanded, 0);
        cache.put(p, position(), expanded, 0, input("v"), row * shape.valueDim());
      }
    }

    @Override
    protected void answer(float[] out) {
      int group = shape.groupSize();
      int dv = shape.valueDim();
      for (int p = 0; p < shape.batchSize() * shape.numKeyValueHeads(); p++) {
        for (int r = 0; r < group; r++) {
          int row = p * group + r;
          int bias = row % shape.numHeads() * d;
          expandQuery(
              input("q"),
              row * d,
              input("content_bias"),
              input("position_bias"),
              bias,
              d,
              table,
              position(),
              rotated,
              expanded,
              r * width);
        }
        tile.begin(expanded, 0, width, group, scale(d));
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
