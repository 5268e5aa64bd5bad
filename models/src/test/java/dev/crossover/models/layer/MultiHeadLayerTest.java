// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.variants.lowrank.Mla;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MultiHeadLayerTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new MultiHeadLayer(new Tiled());
  }

  @Override
  public List<String> scoredInputs() {
    return List.of("query_weight", "key_weight");
  }

  @Override
  public Reference reference() {
    return (_, shape, mask, inputs) -> projectAttendProject(shape, mask, inputs);
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(
        Claim.GROUPED_EQUALS_REPEATED, "heads are made by the projections, none can be repeated");
  }

  @Test
  void specTextNamesTheMechanismInside() {
    Attention layer = LayerCatalogue.parse("layer/tiled:scale=0.5");
    assertEquals("layer/tiled", layer.name());
    assertEquals(0.5, ((Tiled) ((MultiHeadLayer) layer).core()).scale().getAsDouble());
  }

  @Test
  void aLayerIsNotWrappedTwice() {
    Attention layer = attention();
    assertEquals(layer, MultiHeadLayer.around(layer));
    assertInstanceOf(MultiHeadLayer.class, MultiHeadLayer.around(new Tiled()));
    assertThrows(IllegalArgumentException.class, () -> new MultiHeadLayer(layer));
    IllegalArgumentException refused =
        assertThrows(IllegalArgumentException.class, () -> new MultiHeadLayer(new Mla()));
    assertEquals("core must take v, but was mla, which makes values itself", refused.getMessage());
  }

  @Test
  void parametersOfTheMechanismCanBeGiven() {
    Attention layer = LayerCatalogue.parse("layer/performer:num_features=8");
    AttentionShape shape = AttentionShape.of(1, 2, 12, 4);
    Tensors inputs = layer.adapt(shape, Tensors.NONE, 3);
    float[] drawn = forward(layer, shape, inputs);
    Attention core = ((MultiHeadLayer) layer).core();
    Tensor projection =
        core.inputs(shape).stream()
            .filter(spec -> spec.name().equals("random_projection"))
            .findFirst()
            .orElseThrow()
            .drawn(Draws.seedFor(core.seed(), "random_projection"));
    assertArrayEquals(
        drawn, forward(layer, shape, inputs.with("core.random_projection", projection)));
    Tensor other = Draws.gaussian(99, projection.shape());
    float[] changed = forward(layer, shape, inputs.with("core.random_projection", other));
    assertFalse(Arrays.equals(drawn, changed));
  }

  /// Gates pass through, shared queries and keys stay shared, states are those of the mechanism.
  @ParameterizedTest
  @ValueSource(strings = {"layer/gla", "layer/retnet", "layer/longformer:window=3"})
  void tokenByTokenIsTheWholeSequence(String text) {
    Attention layer = LayerCatalogue.parse(text);
    AttentionShape shape = AttentionShape.of(2, 2, 11, 8);
    Tensors inputs = layer.adapt(shape, Tensors.NONE, 5);
    Tensor whole = Tensor.zeros(layer.outputShape(shape));
    layer.plan(shape, Mask.causal(), 1).forward(inputs, whole);
    DecodeSession session = layer.decode(shape);
    Tensor row = Tensor.zeros(2, 1, 16);
    for (int t = 0; t < 11; t++) {
      Tensors token = Tensors.NONE;
      for (int i = 0; i < inputs.size(); i++) {
        token = token.with(inputs.name(i), atToken(inputs.tensor(i), t));
      }
      session.step(token, row);
      for (int b = 0; b < 2; b++) {
        for (int c = 0; c < 16; c++) {
          assertEquals(whole.data()[(b * 11 + t) * 16 + c], row.data()[b * 16 + c], 2e-5);
        }
      }
    }
  }

  /// Position `t` of the axis of length 11.
  private static Tensor atToken(Tensor tensor, int t) {
    int[] shape = tensor.shape();
    int axis = -1;
    for (int i = 0; i < shape.length; i++) {
      axis = shape[i] == 11 ? i : axis;
    }
    int inner = 1;
    for (int i = axis + 1; i < shape.length; i++) {
      inner *= shape[i];
    }
    int[] one = shape.clone();
    one[axis] = 1;
    Tensor row = Tensor.zeros(one);
    for (int outer = 0; outer < row.size() / inner; outer++) {
      System.arraycopy(tensor.data(), (outer * 11 + t) * inner, row.data(), outer * inner, inner);
    }
    return row;
  }

  private static float[] forward(Attention layer, AttentionShape shape, Tensors inputs) {
    Tensor out = Tensor.zeros(layer.outputShape(shape));
    layer.plan(shape, Mask.none(), 1).forward(inputs, out);
    return out.data();
  }

  /// The layer in double precision: maps by dot products, attention by the oracle.
  private static double[] projectAttendProject(AttentionShape s, Mask mask, Tensors inputs) {
    Tensor x = inputs.get("x");
    Tensor y = inputs.has("context") ? inputs.get("context") : x;
    Tensor q = mapped(x, inputs.get("query_weight"), s.numHeads());
    Tensor k = mapped(y, inputs.get("key_weight"), s.numKeyValueHeads());
    Tensor v = mapped(y, inputs.get("value_weight"), s.numKeyValueHeads());
    double[] heads = Oracle.softmax(new Tiled().exactTarget(s, mask, Tensors.qkv(q, k, v)));
    int dv = s.valueDim();
    int nq = s.querySeqLen();
    int width = x.extent(2);
    float[] weight = inputs.get("output_weight").data();
    double[] out = new double[s.batchSize() * nq * width];
    for (int b = 0; b < s.batchSize(); b++) {
      for (int i = 0; i < nq; i++) {
        for (int o = 0; o < width; o++) {
          double sum = 0;
          for (int h = 0; h < s.numHeads(); h++) {
            for (int c = 0; c < dv; c++) {
              double head = heads[((b * s.numHeads() + h) * nq + i) * dv + c];
              sum += head * weight[o * s.numHeads() * dv + h * dv + c];
            }
          }
          out[(b * nq + i) * width + o] = sum;
        }
      }
    }
    return out;
  }

  private static Tensor mapped(Tensor x, Tensor weight, int numHeads) {
    int batch = x.extent(0);
    int n = x.extent(1);
    int in = x.extent(2);
    int dim = weight.extent(0) / numHeads;
    Tensor heads = Tensor.zeros(batch, numHeads, n, dim);
    for (int b = 0; b < batch; b++) {
      for (int i = 0; i < n; i++) {
        for (int o = 0; o < numHeads * dim; o++) {
          double sum = 0;
          for (int c = 0; c < in; c++) {
            sum += (double) x.data()[(b * n + i) * in + c] * weight.data()[o * in + c];
          }
          int h = o / dim;
          heads.data()[((b * numHeads + h) * n + i) * dim + o % dim] = (float) sum;
        }
      }
    }
    return heads;
  }
}
