// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.graph.Value;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// LSTM in PyTorch's form, gates in the order i, f, g, o: c ← σ(f) c + σ(i) tanh(g),
/// h ← σ(o) tanh(c).
public final class Lstm extends Recurrence {
  private static final int GATES = 4;

  /// σ(i), σ(f), tanh(g), σ(o) of every step, `[rows, 4 H]`; of one step where nothing is kept.
  private final float[] active;

  /// Cells after every step, `[rows, H]`; without a backward pass those of the last step.
  private final float[] cells;

  private final float[] tanh;
  private final float[] flowingCell;

  private Lstm(
      Graph graph,
      Value h,
      Value z,
      List<Value> initial,
      Parameter weight,
      @Nullable Parameter bias) {
    super(graph, h, z, initial, weight, bias);
    long rows = h.rows().capacity();
    long batch = h.rows().sequences();
    active = graph.layout().floats((keeps ? rows : batch) * GATES * hidden);
    cells = graph.layout().floats(rows * hidden);
    tanh = graph.layout().floats(batch * 2 * hidden);
    flowingCell = graph.layout().floats(keeps ? batch * hidden : 0);
  }

  /// Adds an LSTM over the sequences of x.
  ///
  /// @param prefix of the names of the parameters
  /// @param initial the first hidden state and cell, or nothing
  static Lstm add(Graph graph, String prefix, Value x, List<Value> initial) {
    Parameters parameters = graph.parameters();
    Parameter inputWeight = parameters.get(prefix + "input_weight");
    Parameter weight = parameters.get(prefix + "hidden_weight");
    Parameter bias = parameters.find(prefix + "hidden_bias");
    requireShape(weight, inputWeight, GATES);
    Value z =
        Linear.add(graph, prefix + "input", x, inputWeight, parameters.find(prefix + "input_bias"));
    List<Value> used = new ArrayList<>(initial);
    used.add(z);
    List<@Nullable Parameter> own = Arrays.asList(weight, bias);
    int hidden = weight.value().extent(1);
    Value h = graph.value(prefix + "hidden", x.rows(), 0, hidden, used, own);
    Lstm lstm = new Lstm(graph, h, z, initial, weight, bias);
    graph.add(lstm);
    return lstm;
  }

  /// A cell after the last step.
  ///
  /// @param b the sequence
  /// @param c the channel
  public float cell(int b, int c) {
    return cells[((b + 1) * steps - 1) * hidden + c];
  }

  @Override
  void carry(List<Value> states) {
    super.carry(states);
    System.arraycopy(cells, 0, states.get(1).data(), 0, cells.length);
  }

  private float[] initialCell() {
    return inputs().size() > 2 ? input(2).data() : zeros();
  }

  @Override
  void step(int b, int t) {
    int row = b * steps + t;
    int width = GATES * hidden;
    int a = (keeps ? row : b) * width;
    kernels.add(width, input(0).data(), row * width, mapped, b * width, active, a);
    int tanhAt = b * 2 * hidden;
    Elementary.tanh(hidden, active, a + 2 * hidden, tanh, tanhAt);
    Elementary.sigmoid(width, active, a, active, a);
    System.arraycopy(tanh, tanhAt, active, a + 2 * hidden, hidden);
    float[] before = t == 0 ? initialCell() : cells;
    int beforeAt = t == 0 ? b * hidden : (row - 1) * hidden;
    int at = row * hidden;
    for (int c = 0; c < hidden; c++) {
      cells[at + c] =
          active[a + hidden + c] * before[beforeAt + c]
              + active[a + c] * active[a + 2 * hidden + c];
    }
    Elementary.tanh(hidden, cells, at, tanh, tanhAt);
    kernels.multiplyElements(hidden, active, a + 3 * hidden, tanh, tanhAt, output().data(), at);
  }

  @Override
  void stepBack(int b, int t) {
    int row = b * steps + t;
    int width = GATES * hidden;
    int a = row * width;
    int at = row * hidden;
    int flow = b * hidden;
    int tanhAt = b * 2 * hidden;
    if (t == steps - 1) {
      Arrays.fill(flowingCell, flow, flow + hidden, 0);
    }
    Elementary.tanh(hidden, cells, at, tanh, tanhAt);
    float[] before = t == 0 ? initialCell() : cells;
    int beforeAt = t == 0 ? flow : (row - 1) * hidden;
    float[] dh = output().gradient();
    for (int c = 0; c < hidden; c++) {
      float i = active[a + c];
      float f = active[a + hidden + c];
      float g = active[a + 2 * hidden + c];
      float o = active[a + 3 * hidden + c];
      float th = tanh[tanhAt + c];
      float d = dh[at + c] + flowing[flow + c];
      float dc = flowingCell[flow + c] + d * o * (1 - th * th);
      gradMapped[a + c] = dc * g * i * (1 - i);
      gradMapped[a + hidden + c] = dc * before[beforeAt + c] * f * (1 - f);
      gradMapped[a + 2 * hidden + c] = dc * i * (1 - g * g);
      gradMapped[a + 3 * hidden + c] = d * th * o * (1 - o);
      flowingCell[flow + c] = dc * f;
      flowing[flow + c] = 0;
    }
    if (wants(0)) {
      float[] dz = input(0).gradient();
      if (adds(0)) {
        kernels.add(width, dz, a, gradMapped, a, dz, a);
      } else {
        System.arraycopy(gradMapped, a, dz, a, width);
      }
    }
  }

  @Override
  void start(int b) {
    super.start(b);
    if (inputs().size() > 2 && wants(2)) {
      int at = b * hidden;
      float[] gradient = input(2).gradient();
      kernels.add(hidden, gradient, at, flowingCell, at, gradient, at);
    }
  }
}
