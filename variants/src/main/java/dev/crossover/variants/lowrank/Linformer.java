package dev.crossover.variants.lowrank;

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
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;

/// Softmax attention over keys and values projected from n positions to r slots.
///
/// Wang, Li, Khabsa, Fang and Ma, "Linformer: Self-Attention with Linear Complexity", 2020,
/// arXiv:2006.04768, equation (7) and the general projections of section 4.
///
/// ```
/// K̄ = E K      V̄ = F V      out = softmax_rows(Q K̄ᵀ / √d) V̄
/// ```
///
/// | paper | here               | shape                                            |
/// |-------|--------------------|--------------------------------------------------|
/// | k     | `projected_length` | r slots                                          |
/// | E     | `key_projection`   | `[1, 1 or heads, r, max_seq_len]`, learned       |
/// | F     | `value_projection` | the same; sharing `none` and `headwise` only     |
/// | –     | `key_conv_weight`, `key_conv_bias` | `[d, d, kernel_size]`, `[d]`     |
/// | –     | `value_conv_weight`, `value_conv_bias` | `[dv, dv, kernel_size]`, `[dv]` |
///
/// The first nk columns of E and F are used, not rescaled. Pools and convolution have windows of
/// floor(nk / r); a window must hold a row, or the lengths are refused. The convolution gives
/// floor((nk − kernel_size) / stride) + 1 slots and drops a shorter tail.
///
/// Time `4·n·r·d` for the projections and as much for the attention; scratch `r·(d + dv)` per key head.
/// The reductions over n run in blocks of 256 positions. Causal order is refused: a slot mixes all
/// positions. Padded rows of keys and values count as zero before they are projected; the softmax runs
/// over all r slots, so that a wholly padded sequence gives zeros where the projection has no bias.
/// Equals exact attention for r = n with E = F = I, and for pools with r = n. The fairseq code projects the
/// layer's input before the key and value maps, which is the same where these have no bias.
///
/// @param projection how n rows become r
/// @param projectedLength r, at least 1
/// @param sharing which matrices are shared, `learned` only
/// @param maxSeqLen columns of the learned matrices; absent: nk
/// @param poolWindow pooling window and step; absent: floor(nk / r)
/// @param kernelSize taps of the convolution; absent: floor(nk / r)
/// @param stride step of the convolution; absent: the kernel size
/// @param seed seed of the drawn projections
@Mechanism(
    name = "linformer",
    title = "Linformer",
    paper =
        "Wang et al., Linformer: Self-Attention with Linear Complexity, 2020",
    arxiv = "2006.04768",
    family = Mechanism.Family.LOW_RANK,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness =
        "projected_length = n with identity projections, or pools with projected_length = n;"
            + " random projections: relative error of order sqrt(log n / projected_length)",
    time = "8 n r d",
    memory = "2 r d",
    exponent = 1,
    differences = {
      @Mechanism.Difference(
          what = "sharing of the projections",
          paper = "none, by heads, by keys and values too, or by all layers",
          code = "always one E and one F for all heads of a layer",
          paperOption = "sharing=none",
          codeOption = "sharing=headwise",
          defaultIs =
              "key_value, which the paper recommends (layerwise sharing seen from one layer)",
          test = "LinformerTest.sharingDecidesWhichHeadsGetWhichMatrix")
    })
public record Linformer(
    @Parameter(value = "how n rows become projected_length", defaultValue = "learned")
        Projection projection,
    @Parameter(value = "projected length r, >= 1", defaultValue = "256") int projectedLength,
    @Parameter(value = "which matrices are shared (learned only)", defaultValue = "key_value")
        Sharing sharing,
    @Parameter(value = "columns of the learned matrices, nk when absent", defaultValue = "")
        OptionalInt maxSeqLen,
    @Parameter(value = "pooling window, floor(nk / r) when absent", defaultValue = "")
        OptionalInt poolWindow,
    @Parameter(value = "convolution taps, floor(nk / r) when absent", defaultValue = "")
        OptionalInt kernelSize,
    @Parameter(value = "convolution step, kernel_size when absent", defaultValue = "")
        OptionalInt stride,
    @Parameter(value = "seed of the drawn projections", defaultValue = "42") long seed)
    implements Attention {

  private static final int ROWS = 64;
  private static final int POSITIONS = 256;

  /// How the rows are projected.
  public enum Projection {
    /// Dense matrices.
    LEARNED,
    /// The mean of a window.
    MEAN_POOL,
    /// The largest element of a window, per column.
    MAX_POOL,
    /// A convolution with full mixing of columns.
    CONVOLUTION
  }

  /// Which learned matrices are shared.
  public enum Sharing {
    /// E and F of each head's own.
    NONE,
    /// One E and one F for all heads.
    HEADWISE,
    /// One E for all heads, keys and values.
    KEY_VALUE,
    /// One E per head for keys and values.
    KEY_VALUE_PER_HEAD
  }

  /// Validates the parameters.
  public Linformer {
    requirePositive("projected_length", OptionalInt.of(projectedLength));
    requirePositive("max_seq_len", maxSeqLen);
    requirePositive("pool_window", poolWindow);
    requirePositive("kernel_size", kernelSize);
    requirePositive("stride", stride);
  }

  /// Learned projections to a length, shared by heads, keys and values.
  public Linformer(int projectedLength) {
    this(Projection.LEARNED, projectedLength, Sharing.KEY_VALUE);
  }

  /// A projection to a length, windows as the lengths give them.
  public Linformer(Projection projection, int projectedLength, Sharing sharing) {
    this(
        projection,
        projectedLength,
        sharing,
        OptionalInt.empty(),
        OptionalInt.empty(),
        OptionalInt.empty(),
        OptionalInt.empty(),
        Draws.DEFAULT_SEED);
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true);
  }

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    if (projection == Projection.LEARNED) {
      specs.add(matrix("key_projection", s));
      if (ownValueProjection()) {
        specs.add(matrix("value_projection", s));
      }
    } else if (projection == Projection.CONVOLUTION) {
      addConvolution(specs, "key", s.headDim(), taps(s));
      addConvolution(specs, "value", s.valueDim(), taps(s));
    }
    return List.copyOf(specs);
  }

  private TensorSpec matrix(String name, AttentionShape s) {
    return TensorSpec.parameter(
        name,
        "maps positions to slots, N(0,1/r)",
        (seed, shape) -> Draws.gaussian(seed, 1 / Math.sqrt(projectedLength), shape),
        1,
        perHead() ? s.numHeads() : 1,
        projectedLength,
        maxSeqLen.orElse(s.keySeqLen()));
  }

  private static void addConvolution(List<TensorSpec> specs, String of, int width, int taps) {
    specs.add(
        TensorSpec.parameter(
            of + "_conv_weight",
            "convolution [out, in, tap], N(0,1/(in · taps))",
            (seed, shape) -> Draws.gaussian(seed, 1 / Math.sqrt((double) width * taps), shape),
            width,
            width,
            taps));
    specs.add(
        TensorSpec.parameter(
            of + "_conv_bias", "zeros", (_, shape) -> Tensor.zeros(shape), width));
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double r = slots(s);
    double widths = s.headDim() + s.valueDim();
    double perKey =
        switch (projection) {
          case LEARNED -> 2 * r * widths;
          case MEAN_POOL, MAX_POOL -> widths;
          case CONVOLUTION ->
              2.0
                  * taps(s)
                  / step(s)
                  * ((double) s.headDim() * s.headDim() + (double) s.valueDim() * s.valueDim());
        };
    double flops =
        (double) s.batchSize() * owners(s) * s.keySeqLen() * perKey
            + (double) s.problems() * s.querySeqLen() * r * (2 * widths + 5);
    long heads = (long) s.batchSize() * owners(s);
    long projected =
        heads * (slots(s) * (long) (s.headDim() + s.valueDim()) * Float.BYTES)
            + heads * KeyPanels.bytes(slots(s), s.headDim());
    int rowsPerTile = SoftmaxTile.preferredRows();
    long perThread =
        SoftmaxTile.bytes(rowsPerTile, s.headDim(), s.valueDim())
            + (long) Float.BYTES * ROWS * Math.max(s.headDim(), s.valueDim());
    long filters = Float.BYTES * (filterSize(s, s.headDim()) + filterSize(s, s.valueDim()));
    double parameters =
        projection == Projection.LEARNED
            ? (double) Float.BYTES * (perHead() ? s.numHeads() : 1) * r * s.keySeqLen()
            : 0;
    return new Cost(
        flops,
        Cost.tensorBytes(s) + 2.0 * projected + (ownValueProjection() ? 2 : 1) * parameters,
        projected + filters + threads * perThread);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    AttentionShape s = request.shape();
    if (projection == Projection.LEARNED) {
      require(
          maxSeqLen.orElse(s.keySeqLen()) >= s.keySeqLen(),
          "keySeqLen must be at most max_seq_len (" + maxSeqLen.orElse(0) + ")",
          s.keySeqLen());
    } else if (projection == Projection.CONVOLUTION) {
      require(
          taps(s) >= 1 && taps(s) <= s.keySeqLen(),
          "keySeqLen must be at least kernel_size (" + taps(s) + ") and projected_length ("
              + projectedLength + ")",
          s.keySeqLen());
    } else {
      int window = window(s);
      require(
          window >= 1 && (long) window * projectedLength <= s.keySeqLen(),
          "keySeqLen must hold projected_length (" + projectedLength + ") windows",
          s.keySeqLen());
    }
    return new Plan(request);
  }

  private static void require(boolean holds, String rule, int value) {
    if (!holds) {
      throw new IllegalArgumentException("linformer: " + rule + ", but was " + value);
    }
  }

  private static void requirePositive(String name, OptionalInt value) {
    if (value.isPresent() && value.getAsInt() < 1) {
      throw new IllegalArgumentException(name + " must be >= 1, but was " + value.getAsInt());
    }
  }

  private boolean perHead() {
    return projection == Projection.LEARNED
        && (sharing == Sharing.NONE || sharing == Sharing.KEY_VALUE_PER_HEAD);
  }

  private boolean ownValueProjection() {
    return projection == Projection.LEARNED
        && (sharing == Sharing.NONE || sharing == Sharing.HEADWISE);
  }

  /// Heads with projected keys of their own.
  private int owners(AttentionShape s) {
    return perHead() ? s.numHeads() : s.numKeyValueHeads();
  }

  private int window(AttentionShape s) {
    return poolWindow.orElse(s.keySeqLen() / projectedLength);
  }

  private int taps(AttentionShape s) {
    return kernelSize.orElse(s.keySeqLen() / projectedLength);
  }

  private int step(AttentionShape s) {
    return Math.max(1, stride.orElse(taps(s)));
  }

  /// Rows after the projection.
  private int slots(AttentionShape s) {
    return projection == Projection.CONVOLUTION
        ? Math.max(0, Math.floorDiv(s.keySeqLen() - taps(s), step(s)) + 1)
        : projectedLength;
  }

  private long filterSize(AttentionShape s, int width) {
    return projection == Projection.CONVOLUTION ? (long) taps(s) * width * width : 0;
  }

  private final class Plan extends AttentionPlan {
    private final Kernels kernels = Kernels.get();
    private final int rows = SoftmaxTile.preferredRows();
    private final float factor = (float) Attention.defaultScale(shape);
    private final int slots = slots(shape);
    private final int owners = owners(shape);
    private final int slotBlocks = Math.ceilDiv(slots, ROWS);
    private final int queryBlocks = Math.ceilDiv(shape.querySeqLen(), rows);
    private final float[] projectedKeys;
    private final float[] projectedValues;
    private final float[] keyFilter = scratch.floats(filterSize(shape, shape.headDim()));
    private final float[] valueFilter = scratch.floats(filterSize(shape, shape.valueDim()));
    private final KeyPanels[] panels = new KeyPanels[shape.batchSize() * owners];
    private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
    private final float[][] part = new float[threads()][];
    private final Workers.Task project = this::project;
    private final Workers.Task pack = this::pack;
    private final Workers.Task attend = this::attend;
    private float[] out = new float[0];

    Plan(PlanRequest request) {
      super(request);
      long heads = panels.length;
      projectedKeys = scratch.floats(heads * slots * shape.headDim());
      projectedValues = scratch.floats(heads * slots * shape.valueDim());
      for (int p = 0; p < panels.length; p++) {
        panels[p] = new KeyPanels(scratch, slots, shape.headDim());
      }
      for (int t = 0; t < tiles.length; t++) {
        tiles[t] = new SoftmaxTile(scratch, rows, shape.headDim(), shape.valueDim());
        part[t] = scratch.floats((long) ROWS * Math.max(shape.headDim(), shape.valueDim()));
      }
    }

    @Override
    protected void compute(Tensor output) {
      out = output.data();
      if (projection == Projection.CONVOLUTION) {
        tapMajor(input("key_conv_weight"), shape.headDim(), keyFilter);
        tapMajor(input("value_conv_weight"), shape.valueDim(), valueFilter);
      }
      workers.run(2 * panels.length * slotBlocks, project);
      workers.run(panels.length, pack);
      workers.run(shape.problems() * queryBlocks, attend);
    }

    /// K̄ = E K or V̄ = F V, one block of slots of one head.
    private void project(int worker, int index) {
      int first = index % slotBlocks * ROWS;
      int count = Math.min(ROWS, slots - first);
      int head = index / slotBlocks / 2;
      boolean keys = index / slotBlocks % 2 == 0;
      int width = keys ? shape.headDim() : shape.valueDim();
      float[] source = input(keys ? "k" : "v");
      int block =
          (head / owners * shape.numKeyValueHeads()
                  + head % owners / (owners / shape.numKeyValueHeads()))
              * shape.keySeqLen()
              * width;
      float[] target = keys ? projectedKeys : projectedValues;
      int to = (head * slots + first) * width;
      int batch = head / owners;
      switch (projection) {
        case LEARNED ->
            learned(worker, keys, head % owners, first, count, batch, source, block, target, to);
        case MEAN_POOL -> meanPool(first, count, batch, source, block, width, target, to);
        case MAX_POOL -> maxPool(first, count, batch, source, block, width, target, to);
        case CONVOLUTION ->
            convolution(worker, keys, first, count, batch, source, block, target, to);
      }
    }

    /// E[rows, :nk] K over the real positions, in blocks that keep partial sums short.
    private void learned(
        int worker, boolean keys, int owner, int first, int count, int batch,
        float[] source, int block, float[] target, int to) {
      int nk = shape.keySeqLen();
      int columns = maxSeqLen.orElse(nk);
      int width = keys ? shape.headDim() : shape.valueDim();
      float[] matrix =
          input(keys || !ownValueProjection() ? "key_projection" : "value_projection");
      int rowStart = ((perHead() ? owner : 0) * projectedLength + first) * columns;
      Arrays.fill(target, to, to + count * width, 0);
      for (int from = mask.nextReal(batch, 0, nk); from < nk; ) {
        int end = mask.nextPadding(batch, from, Math.min(nk, from + POSITIONS));
        kernels.multiply(
            count, width, end - from,
            matrix, rowStart + from, columns,
            source, block + from * width, width,
            part[worker], 0, width,
            false);
        kernels.add(count * width, part[worker], 0, target, to, target, to);
        from = mask.nextReal(batch, end, nk);
      }
    }

    private void meanPool(
        int first, int count, int batch,
        float[] source, int block, int width, float[] target, int to) {
      int window = window(shape);
      Arrays.fill(target, to, to + count * width, 0);
      for (int a = 0; a < count; a++) {
        int row = to + a * width;
        for (int s = 0; s < window; s++) {
          int j = (first + a) * window + s;
          if (mask.isRealKey(batch, j)) {
            kernels.add(width, source, block + j * width, target, row, target, row);
          }
        }
        kernels.scale(width, 1f / window, target, row, target, row);
      }
    }

    private void maxPool(
        int first, int count, int batch,
        float[] source, int block, int width, float[] target, int to) {
      int window = window(shape);
      Arrays.fill(target, to, to + count * width, Float.NEGATIVE_INFINITY);
      for (int a = 0; a < count; a++) {
        for (int s = 0; s < window; s++) {
          int j = (first + a) * window + s;
          boolean real = mask.isRealKey(batch, j);
          for (int c = 0; c < width; c++) {
            float element = real ? source[block + j * width + c] : 0;
            target[to + a * width + c] = Math.max(target[to + a * width + c], element);
          }
        }
      }
    }

    /// b + Σ_s W_s · rows at s, s + stride, …; padded rows enter as zeros.
    private void convolution(
        int worker, boolean keys, int first, int count, int batch,
        float[] source, int block, float[] target, int to) {
      int width = keys ? shape.headDim() : shape.valueDim();
      float[] bias = input(keys ? "key_conv_bias" : "value_conv_bias");
      for (int a = 0; a < count; a++) {
        System.arraycopy(bias, 0, target, to + a * width, width);
      }
      for (int s = 0; s < taps(shape); s++) {
        for (int a = 0; a < count; a++) {
          int j = (first + a) * step(shape) + s;
          if (mask.isRealKey(batch, j)) {
            System.arraycopy(source, block + j * width, part[worker], a * width, width);
          } else {
            Arrays.fill(part[worker], a * width, (a + 1) * width, 0);
          }
        }
        kernels.multiply(
            count, width, width,
            part[worker], 0, width,
            keys ? keyFilter : valueFilter, s * width * width, width,
            target, to, width,
            true);
      }
    }

    /// `[out, in, tap]` to `[tap, in, out]`.
    private void tapMajor(float[] weight, int width, float[] filter) {
      int taps = taps(shape);
      for (int o = 0; o < width; o++) {
        for (int e = 0; e < width; e++) {
          for (int s = 0; s < taps; s++) {
            filter[(s * width + e) * width + o] = weight[(o * width + e) * taps + s];
          }
        }
      }
    }

    private void pack(int worker, int index) {
      int d = shape.headDim();
      panels[index].pack(projectedKeys, index * slots * d, d, slots, 0);
    }

    /// softmax(Q K̄ᵀ / √d) V̄ of one block of queries.
    private void attend(int worker, int index) {
      int d = shape.headDim();
      int dv = shape.valueDim();
      int problem = index / queryBlocks;
      int first = index % queryBlocks * rows;
      int count = Math.min(rows, shape.querySeqLen() - first);
      int head =
          problem / shape.numHeads() * owners
              + problem % shape.numHeads() / (shape.numHeads() / owners);
      SoftmaxTile tile = tiles[worker];
      int row = problem * shape.querySeqLen() + first;
      tile.begin(input("q"), row * d, d, count, factor);
      tile.attend(panels[head], projectedValues, head * slots * dv, dv, 0, slots);
      tile.finish(out, row * dv, dv);
    }
  }
}
