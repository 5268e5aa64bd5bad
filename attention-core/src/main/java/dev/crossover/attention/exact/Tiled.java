package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.tensor.Tensor;
import java.util.OptionalDouble;

/// Exact softmax attention that never builds the score matrix: online softmax over tiles of keys.
///
/// Dao et al., "FlashAttention", NeurIPS 2022, arXiv:2205.14135, algorithm 1; Milakov and Gimelshein,
/// arXiv:1805.02867. The result is that of Vaswani et al., arXiv:1706.03762, equation (1).
///
/// Time `4·pairs·d`; scratch one packed copy of the keys and one tile per thread. Honours every [Mask].
/// Rows that may see no key are zero.
///
/// @param scale factor on the dot products, 1/√d when absent
@Mechanism(
    name = "tiled",
    golden = "softmax",
    title = "Softmax attention, tiled",
    paper = "Dao et al., FlashAttention, NeurIPS 2022",
    arxiv = "2205.14135",
    family = Mechanism.Family.EXACT,
    approximates = Mechanism.Approximates.EXACT,
    exactness = "exact",
    time = "4 n² d",
    memory = "n d",
    exponent = 2)
public record Tiled(
    @Parameter(value = "factor on q·k, 1/√d when absent", defaultValue = "") OptionalDouble scale)
    implements Attention {

  /// Validates the scale.
  public Tiled {
    if (scale.isPresent() && !Double.isFinite(scale.getAsDouble())) {
      throw new IllegalArgumentException(
          "scale must be finite, but was " + scale.getAsDouble());
    }
  }

  /// With the usual scale, 1/√d.
  public Tiled() {
    this(OptionalDouble.empty());
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.OPTIONAL)
        .keyPadding(Padding.ANY)
        .crossAttention(true)
        .groupedQueries(true)
        .valueDim(true);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    double flops =
        s.problems() * Cost.pairs(s, mask) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    long panels =
        (long) s.batchSize()
            * s.numKeyValueHeads()
            * KeyPanels.bytes(s.keySeqLen(), s.headDim());
    long indices =
        (long) s.batchSize() * s.keySeqLen() + 2L * threads * SoftmaxTile.preferredRows();
    long tiles =
        threads
            * SoftmaxTile.bytes(SoftmaxTile.preferredRows(), s.headDim(), s.valueDim());
    return new Cost(flops, Cost.tensorBytes(s) + panels, panels + indices * 4 + tiles);
  }

  @Override
  public ExactTarget exactTarget(AttentionShape shape, Mask mask, Tensors inputs) {
    return new ExactTarget(
        shape, mask, inputs.get("q"), inputs.get("k"), inputs.get("v"), scaleFor(shape));
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  private double scaleFor(AttentionShape shape) {
    return scale.orElse(Attention.defaultScale(shape));
  }

  private final class Plan extends AttentionPlan {
    private final int rows = SoftmaxTile.preferredRows();
    private final float factor = (float) scaleFor(shape);
    private final int blocks = Math.ceilDiv(shape.querySeqLen(), rows);
    private final KeyPanels[] panels =
        new KeyPanels[shape.batchSize() * shape.numKeyValueHeads()];
    private final int[] real;
    private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
    private final int[][] low = new int[threads()][];
    private final int[][] high = new int[threads()][];
    private final Workers.Task pack = this::pack;
    private final Workers.Task block = this::block;
    private float[] out = new float[0];

    Plan(PlanRequest request) {
      super(request);
      real = scratch.ints((long) shape.batchSize() * shape.keySeqLen());
      for (int p = 0; p < panels.length; p++) {
        panels[p] = new KeyPanels(scratch, shape.keySeqLen(), shape.headDim());
      }
      for (int t = 0; t < tiles.length; t++) {
        tiles[t] = new SoftmaxTile(scratch, rows, shape.headDim(), shape.valueDim());
        low[t] = scratch.ints(rows);
        high[t] = scratch.ints(rows);
      }
    }

    @Override
    protected void compute(Tensor output) {
      out = output.data();
      workers.run(panels.length, pack);
      workers.run(shape.problems() * blocks, block);
    }

    private void pack(int worker, int index) {
      int d = shape.headDim();
      panels[index].pack(
          input("k"), index * shape.keySeqLen() * d, d, shape.keySeqLen(), 0);
    }

    /// One block of query rows of one head against its keys; real keys come in runs.
    private void block(int worker, int index) {
      int problem = index / blocks;
      int first = index % blocks * rows;
      int count = Math.min(rows, shape.querySeqLen() - first);
      int batch = problem / shape.numHeads();
      int h = problem % shape.numHeads();
      int d = shape.headDim();
      int dv = shape.valueDim();
      KeyPanels keys =
          panels[batch * shape.numKeyValueHeads() + h / shape.groupSize()];
      int nk = shape.keySeqLen();
      for (int r = 0; r < count; r++) {
        high[worker][r] = mask.causalLimit(first + r, shape.querySeqLen(), nk);
      }
      SoftmaxTile tile = tiles[worker];
      tile.begin(input("q"), shape.queryOffset(batch, h) + first * d, d, count, factor);
      for (int from = 0; from < nk; from++) {
        if (mask.isRealKey(batch, from)) {
          int to = from;
          while (to < nk && mask.isRealKey(batch, to)) {
            to++;
          }
          tile.attend(
              keys, input("v"), shape.valueOffset(batch, h), dv, from, to,
              low[worker], 0, high[worker], 0);
          from = to;
        }
      }
      tile.finish(out, shape.outputOffset(batch, h) + first * dv, dv);
    }
  }
}
