// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Team;
import dev.crossover.models.graph.Value;
import dev.crossover.models.graph.Weight;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// What LSTM and GRU share: a map of the hidden state per step, blocks of sequences side by side,
/// forward through time and back.
///
/// Input 0 is the map of x, `[rows, gates · H]`; further inputs are initial states, `[batch, H]`.
/// The gradient of the hidden map is kept per step, so that its weight gradient is a product over
/// all steps.
abstract sealed class Recurrence extends Operation permits Lstm, Gru {
  private static final int SEQUENCES = 16;
  private static final int JOB_ROWS = 64;

  final Kernels kernels = Kernels.get();
  final int hidden;
  final int gates;
  final int steps;
  final boolean keeps;
  private final Weight weight;
  private final float @Nullable [] bias;
  private final float @Nullable [] gradWeight;
  private final float @Nullable [] gradBias;

  /// Map of the hidden state of one step, bias included, `[batch, gates · H]`.
  final float[] mapped;

  /// Gradient of `mapped`, of every step, `[rows, gates · H]`.
  final float[] gradMapped;

  /// Gradient that flows from a step to the one before, `[batch, H]`.
  final float[] flowing;

  /// Zeros or the initial hidden state, `[batch, H]`.
  private final float[] zeros;

  private final Workers.Task run = this::run;
  private final Workers.Task back = this::back;

  Recurrence(
      Graph graph,
      Value h,
      Value z,
      List<Value> initial,
      Parameter weight,
      @Nullable Parameter bias) {
    super(graph, h, inputs(z, initial));
    hidden = h.width();
    gates = z.width() / hidden;
    steps = h.rows().length();
    keeps = graph.hasGradients() && h.needsGradient();
    this.weight = graph.weight(weight, 0, gates * hidden, keeps);
    this.bias = bias == null ? null : bias.value().data();
    gradWeight = graph.trains(weight) ? weight.gradient().data() : null;
    gradBias = bias != null && graph.trains(bias) ? bias.gradient().data() : null;
    long batch = h.rows().sequences();
    mapped = graph.layout().floats(batch * gates * hidden);
    gradMapped = graph.layout().floats(keeps ? (long) h.rows().capacity() * gates * hidden : 0);
    flowing = graph.layout().floats(keeps ? batch * hidden : 0);
    zeros = graph.layout().floats(batch * hidden);
  }

  private static List<Value> inputs(Value z, List<Value> initial) {
    List<Value> all = new ArrayList<>();
    all.add(z);
    all.addAll(initial);
    return all;
  }

  static void requireShape(Parameter hiddenWeight, Parameter inputWeight, int gates) {
    int rows = hiddenWeight.value().extent(0);
    if (rows != inputWeight.value().extent(0) || rows != gates * hiddenWeight.value().extent(1)) {
      throw new IllegalArgumentException(
          hiddenWeight.name()
              + " must have shape ["
              + gates
              + " H, H] like "
              + inputWeight.value()
              + ", but was "
              + hiddenWeight.value());
    }
  }

  /// Writes the states after the last step over the initial ones, for the next token.
  void carry(List<Value> states) {
    int size = output().rows().sequences() * hidden;
    System.arraycopy(output().data(), 0, states.getFirst().data(), 0, size);
  }

  @Override
  protected Reach reach() {
    return Reach.WHOLE;
  }

  @Override
  protected boolean keepsOutput() {
    return true;
  }

  private long total() {
    return (long) output().rows().capacity() * gates * hidden * hidden;
  }

  private int blocks() {
    return Math.ceilDiv(output().rows().sequences(), SEQUENCES);
  }

  /// The hidden state before the first step.
  final float[] initialHidden() {
    return inputs().size() > 1 ? input(1).data() : zeros;
  }

  /// Zeros, `[batch, H]`.
  final float[] zeros() {
    return zeros;
  }

  @Override
  protected void forward(Team team) {
    team.run(blocks(), total(), run);
  }

  @Override
  protected void backward(Team team) {
    for (int i = 1; i < inputs().size(); i++) {
      if (wants(i) && !adds(i)) {
        Arrays.fill(input(i).gradient(), 0);
      }
    }
    team.run(blocks(), total(), back);
  }

  private void run(int worker, int block) {
    int first = block * SEQUENCES;
    int last = Math.min(output().rows().sequences(), first + SEQUENCES);
    int width = gates * hidden;
    float[] h = output().data();
    for (int t = 0; t < steps; t++) {
      int stride = t == 0 ? hidden : steps * hidden;
      float[] before = t == 0 ? initialHidden() : h;
      int at = t == 0 ? first * hidden : (first * steps + t - 1) * hidden;
      weight.apply(last - first, before, at, stride, mapped, first * width, width, false);
      for (int b = first; b < last; b++) {
        for (int c = 0; bias != null && c < width; c++) {
          mapped[b * width + c] += bias[c];
        }
        step(b, t);
      }
    }
  }

  /// One step of one sequence: gates from row (b, t) of input 0 and from `mapped`.
  abstract void step(int b, int t);

  private void back(int worker, int block) {
    int first = block * SEQUENCES;
    int last = Math.min(output().rows().sequences(), first + SEQUENCES);
    int width = gates * hidden;
    Arrays.fill(flowing, first * hidden, last * hidden, 0);
    for (int t = steps - 1; t >= 0; t--) {
      for (int b = first; b < last; b++) {
        stepBack(b, t);
      }
      weight.applyTransposed(
          last - first,
          gradMapped,
          (first * steps + t) * width,
          steps * width,
          flowing,
          first * hidden,
          hidden,
          true);
    }
    for (int b = first; b < last; b++) {
      start(b);
    }
  }

  /// One step back: reads `flowing` and the gradient of row (b, t) of the output, writes that row
  /// of the gradients of input 0 and of `gradMapped`, and leaves in `flowing` what reaches the
  /// step before past the map.
  abstract void stepBack(int b, int t);

  /// Hands the flowing gradients to the initial states of a sequence.
  void start(int b) {
    if (inputs().size() > 1 && wants(1)) {
      int at = b * hidden;
      kernels.add(hidden, input(1).gradient(), at, flowing, at, input(1).gradient(), at);
    }
  }

  @Override
  protected int jobs() {
    int bias = gradBias == null ? 0 : 1;
    return bias + (gradWeight == null ? 0 : Math.ceilDiv(gates * hidden, JOB_ROWS));
  }

  @Override
  protected long jobWork() {
    return total();
  }

  @Override
  protected void job(int worker, int index) {
    if (gradBias != null && index == 0) {
      biasGradient(gradBias);
    } else if (gradWeight != null) {
      weightGradient(gradWeight, (index - (gradBias == null ? 0 : 1)) * JOB_ROWS);
    }
  }

  private void biasGradient(float[] gradient) {
    int width = gates * hidden;
    for (int row = 0; row < output().rows().capacity(); row++) {
      kernels.add(width, gradient, 0, gradMapped, row * width, gradient, 0);
    }
  }

  /// Rows of dW = Σ_t dmapped_tᵀ h_{t−1}, sequence by sequence.
  private void weightGradient(float[] gradient, int row) {
    int width = gates * hidden;
    int rows = Math.min(JOB_ROWS, width - row);
    Rows all = output().rows();
    float[] h = output().data();
    for (int b = 0; b < all.sequences(); b++) {
      int start = b * steps;
      product(rows, 1, start * width + row, initialHidden(), b * hidden, gradient, row);
      product(rows, steps - 1, (start + 1) * width + row, h, start * hidden, gradient, row);
    }
  }

  private void product(
      int rows, int count, int from, float[] h, int ho, float[] gradient, int row) {
    if (count > 0) {
      int width = gates * hidden;
      kernels.multiplyTransposedA(
          rows,
          hidden,
          count,
          gradMapped,
          from,
          width,
          h,
          ho,
          hidden,
          gradient,
          row * hidden,
          hidden,
          true);
    }
  }
}
