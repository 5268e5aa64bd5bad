// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;

/// What mixes positions in a layer without attention, so that sweeps time it beside multi-head
/// layers: from `x`, `[batch, n, D]`, to an output of the same shape, D = heads · head width;
/// causal by construction, without biases, as [MultiHeadLayer] is.
///
/// Models use [Layers], which has biases, initial states and gradients.
public sealed interface BaselineLayer extends Attention
    permits LstmLayer, GruLayer, GatedConvolutionLayer {

  @Override
  default String name() {
    return LayerCatalogue.LAYER + Mechanism.Names.of(getClass());
  }

  @Override
  default Capabilities capabilities() {
    return Capabilities.MINIMAL.causal(Causality.ALWAYS);
  }

  @Override
  default int[] outputShape(AttentionShape s) {
    return new int[] {s.batchSize(), s.querySeqLen(), MultiHeadLayer.modelDim(s)};
  }

  /// The layer's input from plain queries: their heads side by side.
  @Override
  default Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    Tensors given =
        qkv.has("q") && !qkv.has("x")
            ? Tensors.NONE.with("x", MultiHeadLayer.headsSideBySide(qkv.get("q")))
            : qkv;
    return AttentionInputs.complete(this, shape, given, seed);
  }

  /// The input of a layer.
  static TensorSpec x(AttentionShape s) {
    return TensorSpec.input(
        "x",
        "layer input, N(0,1)",
        Draws::gaussian,
        s.batchSize(),
        s.querySeqLen(),
        MultiHeadLayer.modelDim(s));
  }

  /// A map, drawn as those of the multi-head layer are.
  ///
  /// @param in number of terms of a sum
  static TensorSpec weight(String name, int in, int... shape) {
    return TensorSpec.parameter(
        name,
        "map, N(0, 1/in)",
        (seed, sizes) -> Draws.gaussian(seed, 1 / Math.sqrt(in), sizes),
        shape);
  }

  /// Products over blocks of rows, and what they need.
  abstract class Plan extends AttentionPlan {
    static final int ROWS_PER_TASK = 192;

    final Kernels kernels = Kernels.get();
    final int batch = shape.batchSize();
    final int steps = shape.querySeqLen();
    final int width = MultiHeadLayer.modelDim(shape);
    final int blocks = Math.ceilDiv(batch * steps, ROWS_PER_TASK);
    private final float[][] packs = new float[threads()][];

    Plan(PlanRequest request, int widest) {
      super(request);
      int offset = mask.causalOffset(steps, steps);
      if (offset != 0) {
        throw new IllegalArgumentException(
            request.attention().name() + ": causal offset must be 0, but was " + offset);
      }
      for (int t = 0; t < packs.length; t++) {
        packs[t] = scratch.floats(packFloats(width, widest));
      }
    }

    static int packFloats(int width, int widest) {
      return Kernels.get().transposedBScratch(widest, width);
    }

    /// Rows of a block times a map: `to = rows · mapᵀ`.
    ///
    /// @param out rows of the map
    final void map(
        int worker,
        int count,
        int out,
        float[] rows,
        int rowsAt,
        int stride,
        float[] map,
        int mapAt,
        float[] to,
        int toAt,
        int toStride,
        boolean add) {
      kernels.multiplyTransposedB(
          count,
          out,
          width,
          rows,
          rowsAt,
          stride,
          map,
          mapAt,
          width,
          to,
          toAt,
          toStride,
          add,
          packs[worker],
          0);
    }
  }

  /// A recurrence over hidden states: all of x is mapped at once, then one sequence per task goes
  /// step by step, because a step needs the one before.
  abstract class RecurrentPlan extends Plan {
    final int gates;
    final float[] mapped;
    final float[] state;

    /// The hidden map with its rows as columns, so that a step reads it in order.
    private final float[] turned;

    private final float[] zeros;
    private final Workers.Task project = this::project;
    private final Workers.Task run = this::run;
    private float[] out = new float[0];

    /// @param stateRows rows of width D that a sequence needs between and within steps
    RecurrentPlan(PlanRequest request, int gates, int stateRows) {
      super(request, gates * MultiHeadLayer.modelDim(request.shape()));
      this.gates = gates;
      mapped = scratch.floats((long) batch * steps * gates * width);
      state = scratch.floats((long) batch * stateRows * width);
      turned = scratch.floats((long) gates * width * width);
      zeros = scratch.floats(width);
    }

    static long scratchBytes(AttentionShape s, int threads, int gates, int stateRows) {
      long width = MultiHeadLayer.modelDim(s);
      long rows = (long) s.batchSize() * s.querySeqLen();
      return Float.BYTES
          * (rows * gates * width
              + s.batchSize() * stateRows * width
              + gates * width * width
              + width
              + (long) threads * packFloats((int) width, (int) (gates * width)));
    }

    @Override
    protected final void compute(Tensor output) {
      out = output.data();
      float[] hidden = input("hidden_weight");
      for (int o = 0; o < gates * width; o++) {
        for (int c = 0; c < width; c++) {
          turned[c * gates * width + o] = hidden[o * width + c];
        }
      }
      workers.run(blocks, project);
      workers.run(batch, run);
    }

    private void project(int worker, int index) {
      int first = index * ROWS_PER_TASK;
      int count = Math.min(ROWS_PER_TASK, batch * steps - first);
      map(
          worker,
          count,
          gates * width,
          input("x"),
          first * width,
          width,
          input("input_weight"),
          0,
          mapped,
          first * gates * width,
          gates * width,
          false);
    }

    private void run(int worker, int b) {
      start(b);
      for (int t = 0; t < steps; t++) {
        int row = b * steps + t;
        step(b, row, t == 0 ? zeros : out, t == 0 ? 0 : (row - 1) * width, out);
      }
    }

    /// Maps a hidden state: `to (+)= hidden weight · h`, all gates or some.
    final void mapHidden(
        float[] h, int at, int firstGate, int count, float[] to, int toAt, boolean add) {
      int all = gates * width;
      kernels.multiply(
          1,
          count * width,
          width,
          h,
          at,
          width,
          turned,
          firstGate * width,
          all,
          to,
          toAt,
          all,
          add);
    }

    /// Forgets what an earlier pass left in the state of a sequence.
    abstract void start(int b);

    /// One step: reads the hidden state before it and row `row` of what x was mapped to, writes row
    /// `row` of the output.
    abstract void step(int b, int row, float[] before, int at, float[] output);
  }
}
