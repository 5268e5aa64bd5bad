// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.ONE;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.mechanism.Knob;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
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
/// Time `4·n·r·d` for the projections and as much for the attention; scratch `r·(d + dv)` per key
/// head. The reductions over n run in blocks of 256 positions. Causal order is refused: a slot
/// mixes all positions. Padded rows of keys and values count as zero before they are projected; the
/// softmax runs over all r slots, so that a wholly padded sequence gives zeros where the projection
/// has no bias.
///
/// Backward, with P the weights and S = Q K̄ᵀ / √d; derived from the equations:
///
/// ```
/// ∂V̄ = Pᵀ ∂out      ∂S = P ∘ (∂out V̄ᵀ − rowsum(∂out ∘ out))      ∂Q = ∂S K̄ / √d      ∂K̄ = ∂Sᵀ Q / √d
/// learned:     ∂E = Σ ∂K̄ Kᵀ      ∂F = Σ ∂V̄ Vᵀ      ∂K = Eᵀ ∂K̄      ∂V = Fᵀ ∂V̄
/// mean_pool:   ∂k_j = ∂K̄_a / window, a the window of j
/// max_pool:    ∂K̄_a,c goes to the first row of the window with the largest element
/// convolution: ∂W_s = Σ_a k_{a·stride+s} ∂K̄_aᵀ      ∂b = Σ_a ∂K̄_a      ∂k_{a·stride+s} += W_s ∂K̄_a
/// ```
///
/// Sums run over batch entries and over heads that share a matrix. Padded rows get nothing. K̄, V̄
/// and one number per query row are kept.
///
/// Equals exact attention for r = n with E = F = I, and for pools with r = n. The
/// fairseq code projects the layer's input before the key and value maps, which is the same where
/// these have no bias.
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
    paper = "Wang et al., Linformer: Self-Attention with Linear Complexity, 2020",
    arxiv = "2006.04768",
    family = Mechanism.Family.LOW_RANK,
    approximates = Mechanism.Approximates.SOFTMAX,
    exactness =
        "projected_length = n with identity projections, or pools with projected_length = n;"
            + " random projections: relative error of order sqrt(log n / projected_length)",
    time = "8 n r d",
    memory = "2 r d",
    exponent = 1,
    decoding =
        "none: a projected key is a sum over all positions, later ones included, so it "
            + "cannot be causal",
    bound =
        "the two products with the projected keys and values, 38 % of the time, and the projections"
            + " themselves, 36 %",
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
    @Knob(
            values = {64, 128, 256, 512},
            costs = "slots r: 8 n r d")
        @Parameter(value = "projected length r, >= 1", defaultValue = "256")
        int projectedLength,
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
        .valueDim(true)
        .gradients(true);
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
      addConvolution(specs, "key", s, HEAD_DIM, taps(s));
      addConvolution(specs, "value", s, VALUE_DIM, taps(s));
    }
    return List.copyOf(specs);
  }

  private TensorSpec matrix(String name, AttentionShape s) {
    return TensorSpec.parameter(
        name,
        "maps positions to slots, N(0,1/r)",
        (seed, shape) -> Draws.gaussian(seed, 1 / Math.sqrt(projectedLength), shape),
        s,
        ONE,
        perHead() ? HEADS : ONE,
        Axis.of("slots", projectedLength),
        maxSeqLen.isPresent() ? Axis.of("max_positions", maxSeqLen.getAsInt()) : KEY);
  }

  private static void addConvolution(
      List<TensorSpec> specs, String of, AttentionShape s, Axis channels, int taps) {
    int width = channels.size(s);
    specs.add(
        TensorSpec.parameter(
            of + "_conv_weight",
            "convolution [out, in, tap], N(0,1/(in · taps))",
            (seed, shape) -> Draws.gaussian(seed, 1 / Math.sqrt((double) width * taps), shape),
            s,
            channels,
            channels,
            Axis.of("taps", taps)));
    specs.add(
        TensorSpec.parameter(
            of + "_conv_bias", "zeros", (_, shape) -> Tensor.zeros(shape), s, channels));
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double r = slots(s);
    double widths = s.headDim() + s.valueDim();
    double flops =
        projectionFlops(s) + (double) s.problems() * s.querySeqLen() * r * (2 * widths + 5);
    long heads = (long) s.batchSize() * owners(s);
    long projected =
        heads * (slots(s) * (long) (s.headDim() + s.valueDim()) * Float.BYTES)
            + heads * KeyPanels.bytes(slots(s), s.headDim());
    int rowsPerTile = SoftmaxTile.preferredRows();
    long perThread =
        SoftmaxTile.bytes(rowsPerTile, s.headDim(), s.valueDim())
            + (long) Float.BYTES * LinformerPlan.ROWS * Math.max(s.headDim(), s.valueDim());
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

  /// Floating-point operations of the projections.
  double projectionFlops(AttentionShape s) {
    double widths = s.headDim() + s.valueDim();
    double perKey =
        switch (projection) {
          case LEARNED -> 2.0 * slots(s) * widths;
          case MEAN_POOL, MAX_POOL -> widths;
          case CONVOLUTION ->
              2.0
                  * taps(s)
                  / step(s)
                  * ((double) s.headDim() * s.headDim() + (double) s.valueDim() * s.valueDim());
        };
    return (double) s.batchSize() * owners(s) * s.keySeqLen() * perKey;
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    requireLengths(request.shape());
    return new LinformerPlan(this, request);
  }

  @Override
  public DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    requireLengths(request.shape());
    return new LinformerDifferentiable(this, request);
  }

  @Override
  public GradientCost gradientCost(AttentionShape s, Mask mask, int threads) {
    return LinformerDifferentiable.cost(this, s, mask, threads);
  }

  private void requireLengths(AttentionShape s) {
    if (projection == Projection.LEARNED) {
      require(
          maxSeqLen.orElse(s.keySeqLen()) >= s.keySeqLen(),
          "keySeqLen must be at most max_seq_len (" + maxSeqLen.orElse(0) + ")",
          s.keySeqLen());
    } else if (projection == Projection.CONVOLUTION) {
      require(
          taps(s) >= 1 && taps(s) <= s.keySeqLen(),
          "keySeqLen must be at least kernel_size ("
              + taps(s)
              + ") and projected_length ("
              + projectedLength
              + ")",
          s.keySeqLen());
    } else {
      int window = window(s);
      require(
          window >= 1 && (long) window * projectedLength <= s.keySeqLen(),
          "keySeqLen must hold projected_length (" + projectedLength + ") windows",
          s.keySeqLen());
    }
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

  boolean perHead() {
    return projection == Projection.LEARNED
        && (sharing == Sharing.NONE || sharing == Sharing.KEY_VALUE_PER_HEAD);
  }

  boolean ownValueProjection() {
    return projection == Projection.LEARNED
        && (sharing == Sharing.NONE || sharing == Sharing.HEADWISE);
  }

  /// Heads with projected keys of their own.
  int owners(AttentionShape s) {
    return perHead() ? s.numHeads() : s.numKeyValueHeads();
  }

  int window(AttentionShape s) {
    return poolWindow.orElse(s.keySeqLen() / projectedLength);
  }

  int taps(AttentionShape s) {
    return kernelSize.orElse(s.keySeqLen() / projectedLength);
  }

  int step(AttentionShape s) {
    return Math.max(1, stride.orElse(taps(s)));
  }

  /// Rows after the projection.
  int slots(AttentionShape s) {
    return projection == Projection.CONVOLUTION
        ? Math.max(0, Math.floorDiv(s.keySeqLen() - taps(s), step(s)) + 1)
        : projectedLength;
  }

  long filterSize(AttentionShape s, int width) {
    return projection == Projection.CONVOLUTION ? (long) taps(s) * width * width : 0;
  }
}
