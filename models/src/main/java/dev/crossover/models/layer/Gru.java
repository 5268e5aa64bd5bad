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

/// GRU in PyTorch's form, gates in the order r, z, n: ñ = tanh(x Winᵀ + bin + r (h Whnᵀ + bhn)),
/// h ← (1 − z) ñ + z h. The reset gate multiplies after the map.
public final class Gru extends Recurrence {
  private static final int GATES = 3;

  /// σ(r), σ(z), ñ and h Whnᵀ + bhn of every step, `[rows, 4 H]`.
  private final float[] active;

  private Gru(
      Graph graph,
      Value h,
      Value z,
      List<Value> initial,
      Parameter weight,
      @Nullable Parameter bias) {
    super(graph, h, z, initial, weight, bias);
    long rows = keeps ? h.rows().capacity() : h.rows().sequences();
    active = graph.layout().floats(rows * (GATES + 1) * hidden);
  }

  /// Adds a GRU over the sequences of x.
  ///
  /// @param prefix of the names of the parameters
  /// @param initial the first hidden state, or nothing
  static Gru add(Graph graph, String prefix, Value x, List<Value> initial) {
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
    Gru gru = new Gru(graph, h, z, initial, weight, bias);
    graph.add(gru);
    return gru;
  }

  @Override
  void step(int b, int t) {
    int row = b * steps + t;
    int a = (keeps ? row : b) * (GATES + 1) * hidden;
    int z = row * GATES * hidden;
    int m = b * GATES * hidden;
    float[] x = input(0).data();
    kernels.add(2 * hidden, x, z, mapped, m, active, a);
    Elementary.sigmoid(2 * hidden, active, a, active, a);
    int tilde = a + 2 * hidden;
    int map = a + 3 * hidden;
    System.arraycopy(mapped, m + 2 * hidden, active, map, hidden);
    for (int c = 0; c < hidden; c++) {
      active[tilde + c] = x[z + 2 * hidden + c] + active[a + c] * active[map + c];
    }
    Elementary.tanh(hidden, active, tilde, active, tilde);
    float[] before = t == 0 ? initialHidden() : output().data();
    int beforeAt = t == 0 ? b * hidden : (row - 1) * hidden;
    float[] h = output().data();
    for (int c = 0; c < hidden; c++) {
      float keep = active[a + hidden + c];
      h[row * hidden + c] = (1 - keep) * active[tilde + c] + keep * before[beforeAt + c];
    }
  }

  @Override
  void stepBack(int b, int t) {
    int row = b * steps + t;
    int a = row * (GATES + 1) * hidden;
    int z = row * GATES * hidden;
    int flow = b * hidden;
    float[] before = t == 0 ? initialHidden() : output().data();
    int beforeAt = t == 0 ? flow : (row - 1) * hidden;
    float[] dh = output().gradient();
    float[] dz = input(0).gradient();
    for (int c = 0; c < hidden; c++) {
      float reset = active[a + c];
      float keep = active[a + hidden + c];
      float tilde = active[a + 2 * hidden + c];
      float map = active[a + 3 * hidden + c];
      float d = dh[row * hidden + c] + flowing[flow + c];
      float dTilde = d * (1 - keep) * (1 - tilde * tilde);
      gradMapped[z + c] = dTilde * map * reset * (1 - reset);
      gradMapped[z + hidden + c] = d * (before[beforeAt + c] - tilde) * keep * (1 - keep);
      gradMapped[z + 2 * hidden + c] = dTilde * reset;
      flowing[flow + c] = d * keep;
      if (wants(0)) {
        set(dz, z + c, gradMapped[z + c]);
        set(dz, z + hidden + c, gradMapped[z + hidden + c]);
        set(dz, z + 2 * hidden + c, dTilde);
      }
    }
  }

  private void set(float[] array, int at, float value) {
    array[at] = adds(0) ? array[at] + value : value;
  }
}
