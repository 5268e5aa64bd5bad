// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.lowrank.Linformer.Projection;
import dev.crossover.variants.lowrank.Linformer.Sharing;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/// Every projection, sharing mode, window and step, on any shape and mask.
class LinformerRandomTest {
  /// A slot is read by up to 3800 rows: their slopes have rounding errors of 2⁻²², which add up
  /// like a random walk to 1.5e-5, and meet keys of size 3. With one slot nothing but these is
  /// left.
  private static final double GRADIENT_TOLERANCE = 5e-5;

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(200, 30, LinformerRandomTest::drawn, LinformerRandomTest::expected);
  }

  @Test
  void anyGradientAgreesWithDifferencesOfTheDefinition() {
    RandomGradients.check(
        120, 32, GRADIENT_TOLERANCE, LinformerRandomTest::drawn, LinformerRandomTest::expected);
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    AttentionShape shape = r.shape(new Linformer(1));
    int nk = shape.keySeqLen();
    Projection projection = r.of(Projection.values());
    int length = projection == Projection.LEARNED ? r.from(1, 20) : r.from(1, Math.min(nk, 9));
    OptionalInt none = OptionalInt.empty();
    Linformer linformer =
        new Linformer(
            projection,
            length,
            r.of(Sharing.values()),
            r.chance(2) ? none : OptionalInt.of(nk + r.from(0, 9)),
            r.chance(2) ? none : OptionalInt.of(r.from(1, Math.max(1, nk / length))),
            r.chance(2) ? none : OptionalInt.of(r.from(1, nk)),
            r.chance(2) ? none : OptionalInt.of(r.from(1, 5)),
            r.from(1, 99));
    return r.problem(linformer, shape)
        .changed(inputs -> r.blurred(inputs, "key_conv_bias", "value_conv_bias"));
  }

  /// Section "What it computes" of the specification; padded rows enter as zeros.
  private static double[] expected(
      Attention attention, AttentionShape s, Mask mask, Tensors inputs) {
    Linformer linformer = (Linformer) attention;
    int nk = s.keySeqLen();
    int r = linformer.projectedLength();
    int taps = linformer.kernelSize().orElse(nk / r);
    int step = linformer.stride().orElse(taps);
    int slots = linformer.projection() == Projection.CONVOLUTION ? (nk - taps) / step + 1 : r;
    return LinformerTest.attend(
        s,
        inputs.get("q"),
        (b, h, a, c) -> slot(linformer, s, mask, inputs, "key", b, h, a, c),
        (b, h, a, c) -> slot(linformer, s, mask, inputs, "value", b, h, a, c),
        slots);
  }

  private static double slot(
      Linformer linformer,
      AttentionShape s,
      Mask mask,
      Tensors inputs,
      String of,
      int b,
      int h,
      int a,
      int c) {
    Tensor rows = inputs.get(of.substring(0, 1));
    int nk = s.keySeqLen();
    int width = rows.extent(3);
    double[][] x = new double[nk][width];
    for (int j = 0; j < nk; j++) {
      for (int e = 0; mask.isRealKey(b, j) && e < width; e++) {
        int head = b * s.numKeyValueHeads() + h / s.groupSize();
        x[j][e] = rows.data()[(head * nk + j) * width + e];
      }
    }
    int window = linformer.poolWindow().orElse(nk / linformer.projectedLength());
    double result = 0;
    switch (linformer.projection()) {
      case LEARNED -> {
        boolean own =
            linformer.sharing() == Sharing.NONE || linformer.sharing() == Sharing.HEADWISE;
        Tensor matrix = inputs.get((own ? of : "key") + "_projection");
        int row = (matrix.extent(1) == 1 ? 0 : h) * linformer.projectedLength() + a;
        for (int j = 0; j < nk; j++) {
          result += matrix.data()[row * matrix.extent(3) + j] * x[j][c];
        }
      }
      case MEAN_POOL -> {
        for (int t = 0; t < window; t++) {
          result += x[a * window + t][c] / window;
        }
      }
      case MAX_POOL -> {
        result = Double.NEGATIVE_INFINITY;
        for (int t = 0; t < window; t++) {
          result = Math.max(result, x[a * window + t][c]);
        }
      }
      case CONVOLUTION -> {
        int taps = linformer.kernelSize().orElse(nk / linformer.projectedLength());
        int step = linformer.stride().orElse(taps);
        result = inputs.get(of + "_conv_bias").data()[c];
        float[] weight = inputs.get(of + "_conv_weight").data();
        for (int t = 0; t < taps; t++) {
          for (int e = 0; e < width; e++) {
            result += weight[(c * width + e) * taps + t] * x[a * step + t][e];
          }
        }
      }
    }
    return result;
  }
}
