package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.KeyPanels;
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

/// Sliding-window attention with optional dilation and global tokens: every token sees `window`
/// neighbours on each side and all global tokens; a global token sees everything.
///
/// Beltagy, Peters, Cohan, "Longformer: The Long-Document Transformer", 2020, arXiv:2004.05150,
/// section 3.
///
/// ```
/// W(i) = { i + D·t : |t| <= w }                                          causal: −w <= t <= 0
/// A(i) = (W(i) ∪ G) ∩ V                                                  each key once
/// out_i = Σ_{j∈A(i)} softmax_j(q_i·k_j/√d) v_j                           i not global
/// out_i = Σ_{j∈V} softmax_j(q_global_i·k_global_j/√d) v_global_j         i global
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | w | `window`, one radius on each side (the paper counts both sides) | |
/// | d | `dilation`, D, one for all heads or one per head | |
/// | Q_s, K_s, V_s | `q`, `k`, `v` | `[B,H,n,d]`, `[B,Hkv,n,d]`, `[B,Hkv,n,dv]` |
/// | Q_g, K_g, V_g | `q_global`, `k_global`, `v_global`; the local ones where absent | the same |
/// | G | `global_mask`, 1 = global; no global tokens where absent | `[B,n]` |
/// | V | real keys of the mask | |
///
/// A dilated window is a plain window in its residue class modulo D, so that all windows are
/// contiguous runs of packed keys. Global keys are left out of the windows and gathered into tiles
/// of their own.
///
/// Time `4·n·(2w+1)·d` and `8·g·n·d` more for g global tokens; scratch one packed copy of the keys.
/// Honours causal order and any key padding; padded query rows are zero. Exact when `window >= n −
/// 1` with `dilation` 1 and no global tokens, and, with the global projections, when every token is
/// global. Decodes with a ring of `window · D + 1` keys and values and those of the global tokens;
/// see [LongformerSession] for what a later global token needs.
///
/// @param window neighbours on each side, at least 1; causal: on the left only
/// @param dilation step between neighbours, at least 1: one for all heads or one per head
@Mechanism(
    name = "longformer",
    title = "Longformer",
    paper = "Beltagy, Peters, Cohan, Longformer: The Long-Document Transformer, 2020",
    arxiv = "2004.05150",
    family = Mechanism.Family.SPARSE,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness = "window >= n - 1 with dilation 1",
    time = "4 n (2 w + 1) d",
    memory = "n d",
    exponent = 1,
    bound =
        "the two products of each window, 65 % of the time; exponentials take 16 %, packing keys"
            + " and queries 9 %",
    differences =
        @Mechanism.Difference(
            what = "Width of the window",
            paper = "w counts both sides together: 512 means 256 on each",
            code =
                "attention_window is one radius: 256 means 256 on each side and the query itself",
            paperOption = "window=128",
            codeOption = "window=256",
            defaultIs = "the code's meaning, with the released model's value",
            test = "LongformerTest.windowIsARadiusAndCountsTheQueryItself"))
public record Longformer(
    @Parameter(
            value = "neighbours w on each side (causal: on the left), >= 1",
            defaultValue = "256")
        int window,
    @Parameter(
            value = "step between neighbours, >= 1: one for all heads or one per head",
            defaultValue = "1")
        List<Integer> dilation)
    implements Attention {
  private static final int HIDDEN = 0;
  private static final int LOCAL = 1;
  private static final int GLOBAL = 2;
  private static final int GATHERED = 256;

  /// Validates the window and every dilation.
  public Longformer {
    if (window < 1) {
      throw new IllegalArgumentException("window must be >= 1, but was " + window);
    }
    dilation = List.copyOf(dilation);
    if (dilation.isEmpty() || dilation.stream().anyMatch(step -> step < 1)) {
      throw new IllegalArgumentException(
          "dilation must be one or more integers >= 1, but was " + dilation);
    }
  }

  /// A plain window without dilation.
  public Longformer(int window) {
    this(window, List.of(1));
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .groupedQueries(true)
        .valueDim(true)
        .decoding(true)
        .zeroesPaddedQueries(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.add(
        TensorSpec.optional(
            "global_mask",
            "1 = global token; drawn: the first token",
            Longformer::firstToken,
            s.batchSize(),
            s.keySeqLen()));
    String[] names = {"q_global", "k_global", "v_global"};
    for (int i = 0; i < names.length; i++) {
      specs.add(
          TensorSpec.optional(
              names[i],
              "second projection for global queries, N(0,1)",
              Draws::gaussian,
              specs.get(i).shape().toArray()));
    }
    return List.copyOf(specs);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double flops = pairs(s, mask) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    long panels = 0;
    for (int p = 0; p < panelCount(s); p++) {
      panels += StridedPanels.bytes(s.keySeqLen(), dilationOf(p, s), s.headDim());
    }
    int rows = SoftmaxTile.preferredRows();
    long perThread =
        IntervalTile.bytes(rows, s.headDim(), s.valueDim())
            + KeyPanels.bytes(GATHERED, s.headDim())
            + (long) Float.BYTES * (GATHERED + rows) * s.valueDim();
    long indices = (2L * s.batchSize() * s.keySeqLen() + s.batchSize()) * Integer.BYTES;
    return new Cost(
        flops, Cost.tensorBytes(s) + 2.0 * panels, panels + indices + threads * perThread);
  }

  /// Pairs of all heads without global tokens, which a plan learns of only when it runs.
  private double pairs(AttentionShape s, Mask mask) {
    int n = s.keySeqLen();
    double pairs = 0;
    for (int h = 0; h < s.numHeads(); h++) {
      int step = dilationOf(h);
      for (int i = 0; i < n; i++) {
        long before = Math.min(window, i / step);
        long after = Math.min(window, (n - 1 - i) / step);
        pairs += before + 1 + (mask.isCausal() ? 0 : after);
      }
    }
    return s.batchSize() * pairs;
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireDilations(request.shape());
    return new Plan(request);
  }

  @Override
  public DecodeSession decode(AttentionShape shape, int threads) {
    requireDilations(shape);
    return new LongformerSession(this, shape, threads);
  }

  int dilationOf(int head) {
    return dilation.size() == 1 ? dilation.getFirst() : dilation.get(head);
  }

  /// Heads of one dilation share packed keys like they share keys; with several, each head has its
  /// own.
  private int panelCount(AttentionShape s) {
    return s.batchSize() * (dilation.size() == 1 ? s.numKeyValueHeads() : s.numHeads());
  }

  private int dilationOf(int panel, AttentionShape s) {
    return dilationOf(dilation.size() == 1 ? 0 : panel % s.numHeads());
  }

  private void requireDilations(AttentionShape shape) {
    if (dilation.size() != 1 && dilation.size() != shape.numHeads()) {
      throw new IllegalArgumentException(
          name()
              + ": dilation must be one integer or one per head ("
              + shape.numHeads()
              + "), but was "
              + dilation);
    }
  }

  private static Tensor firstToken(long seed, int... shape) {
    Tensor mask = Tensor.zeros(shape);
    for (int b = 0; b < shape[0] && shape[1] > 0; b++) {
      mask.data()[b * shape[1]] = 1;
    }
    return mask;
  }

  private final class Plan extends AttentionPlan {
    private final int rows = SoftmaxTile.preferredRows();
    private final int n = shape.keySeqLen();
    private final int d = shape.headDim();
    private final int dv = shape.valueDim();
    private final float factor = (float) Attention.defaultScale(shape);
    private final StridedPanels[] panels = new StridedPanels[panelCount(shape)];
    private final int[] kind;
    private final int[] globals;
    private final int[] globalCount;
    private final IntervalTile[] tiles = new IntervalTile[threads()];
    private final KeyPanels[] gatheredKeys = new KeyPanels[threads()];
    private final float[][] gatheredValues = new float[threads()][];
    private final float[][] part = new float[threads()][];
    private final int blocks;
    private final Workers.Task classify = this::classify;
    private final Workers.Task pack = this::pack;
    private final Workers.Task local = this::localBlock;
    private final Workers.Task global = this::globalBlock;
    private int globalBlocks;
    private float[] out = new float[0];

    Plan(PlanRequest request) {
      super(request);
      kind = scratch.ints((long) shape.batchSize() * n);
      globals = scratch.ints((long) shape.batchSize() * n);
      globalCount = scratch.ints(shape.batchSize());
      for (int p = 0; p < panels.length; p++) {
        panels[p] = new StridedPanels(scratch, n, dilationOf(p, shape), d);
      }
      for (int t = 0; t < tiles.length; t++) {
        tiles[t] = new IntervalTile(scratch, rows, d, dv);
        gatheredKeys[t] = new KeyPanels(scratch, GATHERED, d);
        gatheredValues[t] = scratch.floats((long) GATHERED * dv);
        part[t] = scratch.floats((long) rows * dv);
      }
      int most = 0;
      for (int step : dilation) {
        int classes = StridedPanels.classes(n, step);
        most = Math.max(most, classes * Math.ceilDiv(Math.ceilDiv(n, classes), rows));
      }
      blocks = most;
    }

    @Override
    protected void compute(Tensor output) {
      out = output.data();
      workers.run(shape.batchSize(), classify);
      workers.run(panels.length, pack);
      workers.run(shape.problems() * blocks, local);
      int most = 0;
      for (int count : globalCount) {
        most = Math.max(most, count);
      }
      globalBlocks = Math.ceilDiv(most, rows);
      workers.run(shape.problems() * globalBlocks, global);
    }

    /// Sorts the keys of a batch entry into hidden, local and global ones.
    private void classify(int worker, int batch) {
      boolean given = hasInput("global_mask");
      int count = 0;
      for (int j = batch * n; j < (batch + 1) * n; j++) {
        kind[j] = mask.isRealKey(batch, j - batch * n) ? LOCAL : HIDDEN;
        if (given && kind[j] == LOCAL && input("global_mask")[j] != 0) {
          kind[j] = GLOBAL;
          globals[batch * n + count++] = j - batch * n;
        }
      }
      globalCount[batch] = count;
    }

    private void pack(int worker, int panel) {
      int heads = panels.length / shape.batchSize();
      int head = panel % heads * (shape.numHeads() / heads);
      panels[panel].pack(input("k"), shape.keyOffset(panel / heads, head));
    }

    /// A block of rows of one residue class: its window W(i), then the global keys.
    private void localBlock(int worker, int index) {
      int problem = index / blocks;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int heads = panels.length / shape.batchSize();
      StridedPanels keys = panels[batch * heads + h / (shape.numHeads() / heads)];
      int step = keys.stride();
      int classBlocks = Math.ceilDiv(Math.ceilDiv(n, step), rows);
      int c = index % blocks / classBlocks;
      int first = index % blocks % classBlocks * rows;
      int count = c < step ? Math.min(rows, keys.size(c) - first) : 0;
      if (count <= 0) {
        return;
      }
      int row = c + first * step;
      IntervalTile tile = tiles[worker];
      tile.begin(input("q"), shape.queryOffset(batch, h) + row * d, step * d, count, factor);
      for (int r = 0; r < count; r++) {
        window(tile, keys, c, first, r);
      }
      int start = keys.start(c);
      tile.attend(
          keys.panels(),
          input("v"),
          keys.valueOffset(c, shape.valueOffset(batch, h), dv),
          step * dv,
          kind,
          batch * n + c - start * step,
          step,
          LOCAL);
      globalKeys(worker, batch, h, row, step);
      int o = shape.outputOffset(batch, h) + row * dv;
      tile.finish(out, o, step * dv);
      for (int r = 0; r < count; r++) {
        if (kind[batch * n + row + r * step] == HIDDEN) {
          Arrays.fill(out, o + r * step * dv, o + r * step * dv + dv, 0);
        }
      }
    }

    /// W(i) in positions of the residue class of i.
    private void window(IntervalTile tile, StridedPanels keys, int c, int first, int r) {
      int p = first + r;
      int limit = keys.sizeWithin(c, mask.causalLimit(c + p * keys.stride(), n, n));
      int to = (int) Math.min(limit, p + (long) window + 1);
      int start = keys.start(c);
      tile.see(r, start + Math.max(0, p - window), start + to);
    }

    /// G, gathered tile by tile, with the local projections.
    private void globalKeys(int worker, int batch, int h, int row, int step) {
      IntervalTile tile = tiles[worker];
      float[] values = gatheredValues[worker];
      int valueOffset = shape.valueOffset(batch, h);
      for (int from = 0; from < globalCount[batch]; from += GATHERED) {
        int count = Math.min(GATHERED, globalCount[batch] - from);
        int at = batch * n + from;
        gatheredKeys[worker].gather(
            input("k"), shape.keyOffset(batch, h), d, globals, at, count, 0);
        for (int g = 0; g < count; g++) {
          System.arraycopy(input("v"), valueOffset + globals[at + g] * dv, values, g * dv, dv);
        }
        for (int r = 0; r < tile.rows(); r++) {
          int limit = mask.causalLimit(row + r * step, n, n);
          int seen = count;
          while (seen > 0 && globals[at + seen - 1] >= limit) {
            seen--;
          }
          tile.see(r, 0, seen);
        }
        tile.attend(gatheredKeys[worker], values, 0, dv);
      }
    }

    /// A block of global rows over all real keys, with the global projections.
    private void globalBlock(int worker, int index) {
      int problem = index / globalBlocks;
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int first = index % globalBlocks * rows;
      int count = Math.min(rows, globalCount[batch] - first);
      if (count <= 0) {
        return;
      }
      float[] query = input(hasInput("q_global") ? "q_global" : "q");
      float[] key = input(hasInput("k_global") ? "k_global" : "k");
      float[] value = input(hasInput("v_global") ? "v_global" : "v");
      int at = batch * n + first;
      IntervalTile tile = tiles[worker];
      tile.begin(query, shape.queryOffset(batch, h), d, globals, at, count, factor);
      for (int from = 0; from < n; from += GATHERED) {
        int length = Math.min(GATHERED, n - from);
        gatheredKeys[worker].pack(key, shape.keyOffset(batch, h) + from * d, d, length, 0);
        for (int r = 0; r < count; r++) {
          tile.see(r, 0, Math.min(length, mask.causalLimit(globals[at + r], n, n) - from));
        }
        int values = shape.valueOffset(batch, h) + from * dv;
        tile.attend(
            gatheredKeys[worker], value, values, dv, kind, batch * n + from, 1, LOCAL | GLOBAL);
      }
      tile.finish(part[worker], 0, dv);
      for (int r = 0; r < count; r++) {
        int o = shape.outputOffset(batch, h) + globals[at + r] * dv;
        System.arraycopy(part[worker], r * dv, out, o, dv);
      }
    }
  }

  /// How far back the widest window reaches.
  long reach() {
    return (long) window * dilation.stream().mapToInt(Integer::intValue).max().orElseThrow();
  }
}
