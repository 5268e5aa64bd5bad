// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.testing.AttentionContract;
import java.util.Map;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;

/// Layers without attention, against plain loops in double precision.
class BaselineLayerTest {

  @Nested
  class LstmTest extends AttentionContract {
    @Override
    public Attention attention() {
      return new LstmLayer();
    }

    @Override
    public Reference reference() {
      return (_, shape, _, inputs) -> lstm(shape, inputs);
    }
  }

  @Nested
  class GruTest extends AttentionContract {
    @Override
    public Attention attention() {
      return new GruLayer();
    }

    @Override
    public Reference reference() {
      return (_, shape, _, inputs) -> gru(shape, inputs);
    }
  }

  @Nested
  class GatedConvolutionTest extends AttentionContract {
    @Override
    public Attention attention() {
      return new GatedConvolutionLayer(3);
    }

    @Override
    public Reference reference() {
      return (_, shape, _, inputs) -> convolution(3, shape, inputs);
    }
  }

  @Test
  void theyAreFoundAsLayersAndOnlyAsLayers() {
    assertEquals(new LstmLayer(), LayerCatalogue.parse("layer/lstm"));
    assertEquals(
        new GatedConvolutionLayer(4), LayerCatalogue.parse("layer/gated_convolution:width=4"));
    for (String text :
        new String[] {"layer/lstm", "layer/gru", "layer/gated_convolution:width=3"}) {
      Attention layer = LayerCatalogue.parse(text);
      assertEquals(text, LayerCatalogue.describe(layer));
      assertEquals(text.split(":")[0], layer.name());
      assertEquals(text.split("[/:]")[1], LayerCatalogue.typeOf(layer).name());
    }
    assertEquals(
        Map.of("width", "2"),
        LayerCatalogue.parametersOf(LayerCatalogue.parse("layer/gated_convolution")));
    assertThrows(IllegalArgumentException.class, () -> LayerCatalogue.parse("lstm"));
    assertThrows(IllegalArgumentException.class, () -> LayerCatalogue.parse("layer/lstm:width=3"));
    assertThrows(IllegalArgumentException.class, () -> new GatedConvolutionLayer(0));
  }

  private static double map(Tensors inputs, String name, int row, double[] x) {
    float[] weight = inputs.get(name).data();
    double sum = 0;
    for (int c = 0; c < x.length; c++) {
      sum += weight[row * x.length + c] * x[c];
    }
    return sum;
  }

  private static double[] row(Tensors inputs, int at, int width) {
    double[] row = new double[width];
    for (int c = 0; c < width; c++) {
      row[c] = inputs.get("x").data()[at * width + c];
    }
    return row;
  }

  private static double sigmoid(double x) {
    return 1 / (1 + Math.exp(-x));
  }

  private static double[] lstm(AttentionShape s, Tensors inputs) {
    int n = s.querySeqLen();
    int width = s.numHeads() * s.headDim();
    double[] out = new double[s.batchSize() * n * width];
    for (int b = 0; b < s.batchSize(); b++) {
      double[] h = new double[width];
      double[] cell = new double[width];
      for (int t = 0; t < n; t++) {
        double[] x = row(inputs, b * n + t, width);
        double[] next = new double[width];
        for (int c = 0; c < width; c++) {
          double[] gate = new double[4];
          for (int g = 0; g < 4; g++) {
            gate[g] =
                map(inputs, "input_weight", g * width + c, x)
                    + map(inputs, "hidden_weight", g * width + c, h);
          }
          cell[c] = sigmoid(gate[1]) * cell[c] + sigmoid(gate[0]) * Math.tanh(gate[2]);
          next[c] = sigmoid(gate[3]) * Math.tanh(cell[c]);
        }
        h = next;
        System.arraycopy(h, 0, out, (b * n + t) * width, width);
      }
    }
    return out;
  }

  private static double[] gru(AttentionShape s, Tensors inputs) {
    int n = s.querySeqLen();
    int width = s.numHeads() * s.headDim();
    double[] out = new double[s.batchSize() * n * width];
    for (int b = 0; b < s.batchSize(); b++) {
      double[] h = new double[width];
      for (int t = 0; t < n; t++) {
        double[] x = row(inputs, b * n + t, width);
        double[] next = new double[width];
        for (int c = 0; c < width; c++) {
          double r =
              sigmoid(map(inputs, "input_weight", c, x) + map(inputs, "hidden_weight", c, h));
          double z =
              sigmoid(
                  map(inputs, "input_weight", width + c, x)
                      + map(inputs, "hidden_weight", width + c, h));
          double candidate =
              Math.tanh(
                  map(inputs, "input_weight", 2 * width + c, x)
                      + r * map(inputs, "hidden_weight", 2 * width + c, h));
          next[c] = (1 - z) * candidate + z * h[c];
        }
        h = next;
        System.arraycopy(h, 0, out, (b * n + t) * width, width);
      }
    }
    return out;
  }

  private static double[] convolution(int taps, AttentionShape s, Tensors inputs) {
    int n = s.querySeqLen();
    int width = s.numHeads() * s.headDim();
    double[] out = new double[s.batchSize() * n * width];
    for (int at = 0; at < s.batchSize() * n; at++) {
      double[] gated = new double[width];
      for (int c = 0; c < width; c++) {
        double a = 0;
        double g = 0;
        for (int j = 0; j < taps && j <= at % n; j++) {
          double[] x = row(inputs, at - j, width);
          a += map(inputs, "conv_weight", 2 * j * width + c, x);
          g += map(inputs, "conv_weight", (2 * j + 1) * width + c, x);
        }
        gated[c] = Math.tanh(a) * sigmoid(g);
      }
      for (int o = 0; o < width; o++) {
        out[at * width + o] = map(inputs, "output_weight", o, gated);
      }
    }
    return out;
  }
}
