// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.variants.lowrank.Linformer.Projection;
import dev.crossover.variants.lowrank.Linformer.Sharing;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/// Linformer with pooled projections, whose windows depend on the length.
class LinformerWindowsTest extends AttentionContract {
  private static final int SLOTS = 4;

  @Override
  public Attention attention() {
    return new Linformer(Projection.MEAN_POOL, SLOTS, Sharing.KEY_VALUE);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new Linformer(Projection.MAX_POOL, SLOTS, Sharing.KEY_VALUE));
  }

  @Override
  public boolean acceptsLengths(int querySeqLen, int keySeqLen) {
    return keySeqLen >= SLOTS;
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(Claim.PADDING_EQUALS_SHORTER, "the windows follow from the padded length");
  }

  @Override
  public Reference reference() {
    return LinformerWindowsTest::windowed;
  }

  /// Attention over windows of floor(nk / r) positions, in double precision.
  static double[] windowed(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    Linformer linformer = (Linformer) attention;
    int window = shape.keySeqLen() / SLOTS;
    int slots =
        linformer.projection() == Projection.CONVOLUTION
            ? (shape.keySeqLen() - window) / window + 1
            : SLOTS;
    return LinformerTest.attend(
        shape,
        inputs.get("q"),
        (b, h, a, c) -> slot(linformer, shape, mask, inputs, "key", "k", window, b, h, a, c),
        (b, h, a, c) -> slot(linformer, shape, mask, inputs, "value", "v", window, b, h, a, c),
        slots);
  }

  private static double slot(
      Linformer linformer,
      AttentionShape s,
      Mask mask,
      Tensors inputs,
      String of,
      String name,
      int window,
      int b,
      int h,
      int a,
      int c) {
    Tensor rows = inputs.get(name);
    int width = rows.extent(3);
    boolean biased = inputs.has(of + "_conv_bias");
    double sum = biased ? inputs.get(of + "_conv_bias").data()[c] : 0;
    double max = Double.NEGATIVE_INFINITY;
    for (int t = 0; t < window; t++) {
      int j = a * window + t;
      int row = ((b * s.numKeyValueHeads() + h / s.groupSize()) * s.keySeqLen() + j) * width;
      boolean real = mask.isRealKey(b, j);
      if (linformer.projection() == Projection.CONVOLUTION) {
        for (int e = 0; real && e < width; e++) {
          sum +=
              (double) inputs.get(of + "_conv_weight").data()[(c * width + e) * window + t]
                  * rows.data()[row + e];
        }
      } else {
        double element = real ? rows.data()[row + c] : 0;
        sum += element / window;
        max = Math.max(max, element);
      }
    }
    return linformer.projection() == Projection.MAX_POOL ? max : sum;
  }

  @Test
  void meanPoolEqualsTheAveragingMatrix() {
    AttentionShape shape = AttentionShape.of(2, 2, 27, 8);
    Tensor averaging = Tensor.zeros(1, 1, 4, 27);
    for (int a = 0; a < 4; a++) {
      for (int t = 0; t < 6; t++) {
        averaging.data()[a * 27 + a * 6 + t] = 1f / 6;
      }
    }
    Tensors inputs = LinformerTest.qkv(shape, 1);
    Tensor learned =
        Forward.of(new Linformer(4), Mask.none(), inputs.with("key_projection", averaging));
    assertTrue(Forward.maxDifference(learned, Forward.of(attention(), Mask.none(), inputs)) < 1e-6);
  }

  @Test
  void poolsOfOnePositionAreExactAttention() {
    AttentionShape shape = AttentionShape.of(1, 2, 18, 8);
    Tensors inputs = LinformerTest.qkv(shape, 2);
    for (Projection pool : List.of(Projection.MEAN_POOL, Projection.MAX_POOL)) {
      Linformer linformer = new Linformer(pool, 18, Sharing.KEY_VALUE);
      double[] exact = Oracle.softmax(linformer.exactTarget(shape, Mask.none(), inputs));
      Tensor out = Forward.of(linformer, Mask.none(), inputs);
      assertTrue(Forward.maxDifference(exact, out) < 2e-6);
    }
  }

  @Test
  void sequencesShorterThanTheWindowsNeedAreRefusedByName() {
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> attention().plan(AttentionShape.of(1, 1, 3, 4), Mask.none(), 1));
    assertTrue(error.getMessage().contains("projected_length (4) windows"), error.getMessage());
    assertThrows(
        IllegalArgumentException.class, () -> new Linformer(0), "projected_length must be >= 1");
    assertThrows(
        IllegalArgumentException.class,
        () ->
            new Linformer(
                Projection.MEAN_POOL,
                2,
                Sharing.NONE,
                OptionalInt.empty(),
                OptionalInt.of(0),
                OptionalInt.empty(),
                OptionalInt.empty(),
                Draws.DEFAULT_SEED));
  }
}
