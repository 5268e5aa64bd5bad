// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static dev.crossover.attention.Axis.MODEL_DIM;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Workers;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;

/// A recurrence over hidden states: all of x is mapped at once, then one sequence per task goes
/// step by step, because a step needs the one before.
abstract class HiddenStatePlan extends BaselinePlan {
  final int gates;
  final float[] mapped;
  final float[] state;

  /// The hidden map with its rows as columns, so that a step reads it in order.
  private final float[] turned;

  private final float[] zeros;
  private final Workers.Task project = this::project;
  private final Workers.Task run = this::run;

  /// @param stateRows rows of width D that a sequence needs between and within steps
  HiddenStatePlan(PlanRequest request, int gates, int stateRows) {
    super(request, gates * MultiHeadLayer.modelDim(request.shape()));
    this.gates = gates;
    mapped = scratch.floats((long) batch * steps * gates * width);
    state = scratch.floats((long) batch * stateRows * width);
    turned = scratch.floats((long) gates * width * width);
    zeros = scratch.floats(width);
  }

  /// What a recurrence reads: x and a map of it and of the hidden state for every gate.
  static List<TensorSpec> inputs(AttentionShape s, int gates) {
    int width = MultiHeadLayer.modelDim(s);
    return List.of(
        BaselineLayer.x(s),
        BaselineLayer.weight("input_weight", width, s, MODEL_DIM.times(gates), MODEL_DIM),
        BaselineLayer.weight("hidden_weight", width, s, MODEL_DIM.times(gates), MODEL_DIM));
  }

  /// Counted work: both maps, and what a step does with their elements.
  ///
  /// @param elementwise operations of a step for each element of the hidden state
  static Cost cost(AttentionShape s, int threads, int gates, int stateRows, int elementwise) {
    double width = MultiHeadLayer.modelDim(s);
    double rows = (double) s.batchSize() * s.querySeqLen();
    return new Cost(
        rows * (4 * gates * width * width + elementwise * width),
        Float.BYTES * (rows * (2 + 2 * gates) * width + 2 * gates * width * width),
        scratchBytes(s, threads, gates, stateRows));
  }

  private static long scratchBytes(AttentionShape s, int threads, int gates, int stateRows) {
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

  /// Maps a hidden state: `to (+)= hidden weight · h`.
  final void mapHidden(float[] h, int at, float[] to, int toAt, boolean add) {
    int all = gates * width;
    kernels.multiply(1, all, width, h, at, width, turned, 0, all, to, toAt, all, add);
  }

  /// Forgets what an earlier pass left in the state of a sequence, where a step reads it.
  void start(int b) {}

  /// One step: reads the hidden state before it and row `row` of what x was mapped to, writes row
  /// `row` of the output.
  abstract void step(int b, int row, float[] before, int at, float[] output);
}
