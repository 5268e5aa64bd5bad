// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Value;
import dev.crossover.models.model.Initialisation;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelSizes;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// What layers must do whatever their numbers are.
class LayersTest {
  private static final int WIDTH = 16;

  /// A graph of one layer over rows `[2, n, 16]`.
  private static final class One {
    final Graph graph;
    final Layers layers;
    final Rows rows;
    final Value x;

    One(Parameters parameters, LayerOptions options, int n) {
      graph = new Graph(parameters, true, _ -> true, 1);
      layers = new Layers(graph, options, new DropoutStep());
      rows = new Rows(2, n);
      x = graph.input("x", rows, 0, WIDTH, true);
    }

    float[] run(Value out, float[] input) {
      out.pin();
      graph.finish();
      System.arraycopy(input, 0, x.data(), 0, input.length);
      graph.forward();
      return out.data().clone();
    }
  }

  private static float[] draw(String name, int size) {
    return Draws.gaussian(Draws.seedFor(1, name), size).data();
  }

  private static LayerOptions options(String... pairs) {
    LayerOptions options = LayerOptions.defaultOptions();
    for (int i = 0; i < pairs.length; i += 2) {
      options = options.with(pairs[i], pairs[i + 1]);
    }
    return options;
  }

  private static Parameters fresh(LayerOptions options) {
    ModelSizes sizes =
        ModelSizes.of(Map.of("width", "" + WIDTH, "vocabulary", "11", "max_length", "32"));
    return Initialisation.of(
        ModelKind.LANGUAGE_MODEL, options, sizes.with("initialisation", "fan_in"), 3);
  }

  @ParameterizedTest
  @ValueSource(strings = {"layer", "rms"})
  void preNormWithoutOutputAndDownWeightsIsTheIdentity(String norm) {
    LayerOptions options = options("heads", "4", "norm", norm, "positions", "rope");
    Parameters parameters = fresh(options);
    for (String name : parameters.names()) {
      if (name.contains("output_") || name.contains("down_")) {
        Arrays.fill(parameters.get(name).value().data(), 0);
      }
    }
    One one = new One(parameters, options, 9);
    Padding padding = new Padding(2, 9);
    Value out = one.layers.block("layers.0.", 0, one.x, true, padding, null, padding);
    float[] x = draw("x", 2 * 9 * WIDTH);
    assertArrayEquals(x, one.run(out, x));
  }

  @ParameterizedTest
  @ValueSource(strings = {"rope", "rope_interleaved"})
  void scoresOfTurnedRowsDependOnTheDistanceOnly(String positions) {
    One one = new One(new Parameters(), options("positions", positions), 12);
    Value out = one.layers.rotary("out", one.x, 2, 3);
    float[] row = draw("row", WIDTH);
    float[] x = new float[2 * 12 * WIDTH];
    for (int r = 0; r < 24; r++) {
      System.arraycopy(row, 0, x, r * WIDTH, WIDTH);
    }
    float[] y = one.run(out, x);
    for (int h = 0; h < 2; h++) {
      for (int distance = 0; distance < 12; distance++) {
        double first = dot(y, out.at(0, h), out.at(distance, h));
        for (int t = 1; t + distance < 12; t++) {
          assertEquals(first, dot(y, out.at(t, h), out.at(t + distance, h)), 2e-5);
        }
      }
    }
    assertTrue(Math.abs(dot(y, 0, out.at(5, 0)) - dot(y, 0, 0)) > 0.01);
  }

  private static double dot(float[] y, int a, int b) {
    double sum = 0;
    for (int c = 0; c < WIDTH / 2; c++) {
      sum += (double) y[a + c] * y[b + c];
    }
    return sum;
  }

  @Test
  void layerNormDoesNotSeeScaleAndShift() {
    Parameters parameters = new Parameters();
    parameters.add("weight", Tensor.of(draw("w", WIDTH), WIDTH));
    parameters.add("bias", Tensor.of(draw("b", WIDTH), WIDTH));
    float[] x = draw("x", 2 * 5 * WIDTH);
    float[] moved = x.clone();
    for (int i = 0; i < moved.length; i++) {
      moved[i] = 3 * moved[i] - 7;
    }
    LayerOptions options = options("norm_eps", "0");
    float[] y = normed(parameters, options, x);
    float[] z = normed(parameters, options, moved);
    assertArrayEquals(y, z, 2e-5f);
  }

  private static float[] normed(Parameters parameters, LayerOptions options, float[] x) {
    One one = new One(parameters, options, x.length / 2 / WIDTH);
    Padding padding = new Padding(2, one.rows.length());
    return one.run(one.layers.norm("", one.x, padding), x);
  }

  @Test
  void batchNormAgreesWithItselfWhereRunningStatisticsAreThoseOfTheBatch() {
    int n = 32;
    float[] x = draw("x", 2 * n * WIDTH);
    Parameters parameters = new Parameters();
    parameters.add("weight", Tensor.of(draw("w", WIDTH), WIDTH));
    parameters.add("bias", Tensor.of(draw("b", WIDTH), WIDTH));
    parameters.add("running_mean", Tensor.zeros(WIDTH));
    parameters.add("running_variance", Draws.constant(1, WIDTH));
    LayerOptions training = options("norm", "batch", "training", "true", "norm_momentum", "1");
    float[] y = normed(parameters, training, x);
    float[] variance = parameters.get("running_variance").value().data();
    for (int c = 0; c < WIDTH; c++) {
      variance[c] *= (2 * n - 1f) / (2 * n);
    }
    float[] z = normed(parameters, options("norm", "batch"), x);
    assertArrayEquals(y, z, 1e-5f);
  }

  @Test
  void smoothingOfZeroIsPlainAndNoLabelsGiveNothing() {
    int classes = 7;
    Graph graph = new Graph(new Parameters(), true, _ -> true, 1);
    Value z = graph.input("logits", new Rows(5, 1), 0, classes, true);
    Selection selection = new Selection(graph.layout(), 5, 5);
    Layers layers = new Layers(graph, LayerOptions.defaultOptions(), new DropoutStep());
    CrossEntropy entropy =
        CrossEntropy.add(
            graph, layers.gather(z, selection), selection, options("label_smoothing", "0"));
    graph.finish();
    float[] logits = draw("z", 5 * classes);
    System.arraycopy(logits, 0, z.data(), 0, logits.length);
    selection.set(new int[] {3, -100, 0, 6, -100}, -100, classes);
    graph.forward();
    double expected = 0;
    for (int[] labelled : new int[][] {{0, 3}, {2, 0}, {3, 6}}) {
      double sum = 0;
      for (int c = 0; c < classes; c++) {
        sum += Math.exp(logits[labelled[0] * classes + c]);
      }
      expected += (Math.log(sum) - logits[labelled[0] * classes + labelled[1]]) / 3;
    }
    assertEquals(expected, entropy.loss(), 1e-6);
    selection.set(new int[] {-100, -100, -100, -100, -100}, -100, classes);
    graph.forward();
    graph.backward();
    assertEquals(0, entropy.loss());
    assertArrayEquals(new float[5 * classes], z.gradient());
  }

  @Test
  void ofEqualLogitsTheFirstCounts() {
    Graph graph = new Graph(new Parameters(), false, _ -> true, 1);
    Value z = graph.input("logits", new Rows(2, 1), 0, 3, false);
    Selection selection = new Selection(graph.layout(), 2, 2);
    CrossEntropy entropy = CrossEntropy.add(graph, z, selection, LayerOptions.defaultOptions());
    graph.finish();
    System.arraycopy(new float[] {1, 1, 0, 0, 2, 2}, 0, z.data(), 0, 6);
    selection.set(new int[] {0, 2}, -100, 3);
    graph.forward();
    assertEquals(1, entropy.correct());
  }

  @Test
  void slopesOfAlibiAreThoseOfThePaper() {
    assertArrayEquals(
        new double[] {0.5, 0.25, 0.125, 0.0625, 1 / 32.0, 1 / 64.0, 1 / 128.0, 1 / 256.0},
        Alibi.slopes(8));
    double root = Math.sqrt(0.5);
    assertArrayEquals(
        new double[] {0.25, 1 / 16.0, 1 / 64.0, 1 / 256.0, 0.5, 0.125}, Alibi.slopes(6), 1e-15);
    assertEquals(root, Alibi.slopes(12)[8], 1e-15);
  }

  @Test
  void dropoutKeepsItsShareAndRepeatsItselfByStep() {
    LayerOptions options = options("dropout", "0.25", "training", "true");
    Graph graph = new Graph(new Parameters(), true, _ -> true, 1);
    DropoutStep step = new DropoutStep();
    Rows rows = new Rows(1, 4096);
    Value x = graph.input("x", rows, 0, WIDTH, true);
    Value y = Dropout.add(graph, "drop", x, options, step).pin();
    graph.finish();
    Arrays.fill(x.data(), 3);
    graph.forward();
    float[] first = y.data().clone();
    int kept = 0;
    for (float value : first) {
      assertTrue(value == 0 || value == 4, "was " + value);
      kept += value == 0 ? 0 : 1;
    }
    int n = first.length;
    assertEquals(0.75 * n, kept, 5 * Math.sqrt(n * 0.75 * 0.25));
    Arrays.fill(y.gradient(), 1);
    graph.backward();
    for (int i = 0; i < n; i++) {
      assertEquals(first[i] / 3, x.gradient()[i]);
    }
    step.set(1);
    graph.forward();
    int same = 0;
    for (int i = 0; i < n; i++) {
      same += (y.data()[i] == 0) == (first[i] == 0) ? 1 : 0;
    }
    assertEquals(0.625 * n, same, 5 * Math.sqrt(n * 0.625 * 0.375));
    step.set(0);
    graph.forward();
    assertArrayEquals(first, y.data());
  }

  @Test
  void alibiNeedsAMechanismWithABias() {
    LayerOptions options =
        options("heads", "2", "positions", "alibi", "mixer", "linear_transformer");
    Parameters parameters = fresh(options);
    One one = new One(parameters, options, 8);
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                one.layers.attention(
                    "layers.0.mixer.", "linear_transformer", one.x, null, true, new Padding(2, 8)));
    assertTrue(refused.getMessage().contains("linear_transformer"), refused.getMessage());
  }

  @Test
  void gatedMechanismsAreRefusedInCrossAttention() {
    LayerOptions options = options("heads", "2", "mixer", "deltanet");
    Parameters parameters = fresh(options);
    One one = new One(parameters, options, 8);
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                one.layers.attention(
                    "layers.0.mixer.", "deltanet", one.x, one.x, false, new Padding(2, 8)));
    assertTrue(refused.getMessage().contains("cross-attention"), refused.getMessage());
  }

  @Test
  void unknownOptionsAreRefusedWithTheNearest() {
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class, () -> LayerOptions.of(Map.of("qk_nrom", "l2")));
    assertTrue(refused.getMessage().contains("qk_norm"), refused.getMessage());
  }
}
