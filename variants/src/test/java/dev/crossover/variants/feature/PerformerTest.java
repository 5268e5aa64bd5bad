// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.variants.feature.Performer.Kernel;
import dev.crossover.variants.feature.Performer.Projection;
import dev.crossover.variants.feature.Performer.QrSign;
import dev.crossover.variants.feature.Performer.Stabiliser;
import java.util.List;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class PerformerTest extends AttentionContract {
  private static final int M = 24;

  @Override
  public Attention attention() {
    return performer(Kernel.SOFTMAX_POSITIVE, 1e-3, Stabiliser.RUNNING);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        performer(Kernel.RELU, 1e-3, Stabiliser.RUNNING),
        performer(Kernel.RELU_UNPROJECTED, 1e-3, Stabiliser.RUNNING));
  }

  private static Performer performer(Kernel kernel, double eps, Stabiliser stabiliser) {
    return new Performer(
        kernel,
        M,
        OptionalDouble.of(eps),
        OptionalDouble.of(0),
        Projection.REGULAR,
        QrSign.FIXED,
        stabiliser,
        3);
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) -> {
      PerformerOracle oracle = new PerformerOracle((Performer) attention, shape, mask, inputs);
      return Oracle.normalised(shape, mask, inputs.get("v"), oracle::weight, 0);
    };
  }

  @Override
  public Reference gradientReference() {
    return PerformerOracle.withConstantMaxima();
  }

  @Override
  public double tolerance() {
    return 1e-4;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Performer.class);
  }

  @Test
  void causalRowEqualsTheFormWithoutMaskOnItsPrefix() {
    Tensors inputs = qkv(1, 90);
    Performer performer = performer(Kernel.SOFTMAX_POSITIVE, 1e-2, Stabiliser.RUNNING);
    Tensor causal = Forward.of(performer, Mask.causal(), inputs);
    for (int n : new int[] {1, 17, 64, 65, 90}) {
      Tensors prefix =
          Tensors.qkv(
              leading(inputs.get("q"), n),
              leading(inputs.get("k"), n),
              leading(inputs.get("v"), n));
      Tensor whole = Forward.of(performer, Mask.none(), prefix);
      for (int c = 0; c < 8; c++) {
        int at = (n - 1) * 8 + c;
        assertEquals(whole.data()[at], causal.data()[at], 2e-5, "row " + (n - 1));
      }
    }
  }

  @Test
  void globalStabiliserLeaksTheFutureInTheOrderOfEps() {
    Tensors inputs =
        Tensors.qkv(
            Draws.gaussian(1, 0.4, 1, 1, 40, 8),
            Draws.gaussian(2, 0.4, 1, 1, 40, 8),
            Draws.gaussian(3, 1, 1, 40, 8));
    Tensors changed = inputs.with("k", inputs.get("k").copy());
    for (int c = 0; c < 8; c++) {
      changed.get("k").data()[39 * 8 + c] = 2;
    }
    double[] leaks = new double[2];
    double[] eps = {1e-5, 1e-3};
    for (int e = 0; e < 2; e++) {
      Performer published = performer(Kernel.SOFTMAX_POSITIVE, eps[e], Stabiliser.GLOBAL);
      Performer running = performer(Kernel.SOFTMAX_POSITIVE, eps[e], Stabiliser.RUNNING);
      leaks[e] = leak(published, inputs, changed);
      assertEquals(0, leak(running, inputs, changed));
    }
    assertTrue(leaks[0] > 1e-5, "leak " + leaks[0]);
    assertTrue(leaks[1] > 10 * leaks[0], "leaks " + leaks[0] + ", " + leaks[1]);
    assertEquals(
        0,
        leak(performer(Kernel.SOFTMAX_POSITIVE, 0, Stabiliser.GLOBAL), inputs, changed),
        2e-5,
        "without eps the maximum cancels");
  }

  /// Largest change of the rows before the last.
  private static double leak(Performer performer, Tensors inputs, Tensors changed) {
    Tensor a = Forward.of(performer, Mask.causal(), inputs);
    Tensor b = Forward.of(performer, Mask.causal(), changed);
    double leak = 0;
    for (int e = 0; e < 39 * 8; e++) {
      leak = Math.max(leak, Math.abs(a.data()[e] - b.data()[e]));
    }
    return leak;
  }

  @Test
  void withoutMaskBothStabilisersAreOne() {
    Tensors inputs = qkv(1, 70);
    Tensor running =
        Forward.of(
            performer(Kernel.SOFTMAX_POSITIVE, 1e-2, Stabiliser.RUNNING), Mask.none(), inputs);
    Tensor global =
        Forward.of(
            performer(Kernel.SOFTMAX_POSITIVE, 1e-2, Stabiliser.GLOBAL), Mask.none(), inputs);
    assertEquals(0, Forward.maxDifference(running, global));
  }

  @Test
  void globalStabiliserSurvivesNanInPaddingAndRefusesToDecode() {
    Tensors inputs = qkv(1, 70);
    Mask mask = Mask.both(Mask.causal(), Mask.lengths(70, 50));
    Performer global = performer(Kernel.SOFTMAX_POSITIVE, 1e-2, Stabiliser.GLOBAL);
    Tensors poisoned = inputs.with("k", inputs.get("k").copy());
    java.util.Arrays.fill(poisoned.get("k").data(), 50 * 8, 70 * 8, Float.NaN);
    Tensors zeroed = inputs.with("k", inputs.get("k").copy());
    java.util.Arrays.fill(zeroed.get("k").data(), 50 * 8, 70 * 8, 0);
    Tensor expected = Forward.of(global, mask, zeroed);
    assertEquals(0, Forward.maxDifference(expected, Forward.of(global, mask, poisoned)));
    assertFalse(global.capabilities().decoding());
    assertThrows(
        UnsupportedOperationException.class, () -> global.decode(AttentionShape.of(1, 1, 5, 8)));
  }

  @Test
  void reluRatiosDifferThroughEpsOnly() {
    Tensors inputs = qkv(1, 30);
    double without =
        Forward.maxDifference(
            Forward.of(performer(Kernel.RELU, 0, Stabiliser.RUNNING), Mask.none(), inputs),
            Forward.of(
                performer(Kernel.RELU_TENSORFLOW, 0, Stabiliser.RUNNING), Mask.none(), inputs));
    double with =
        Forward.maxDifference(
            Forward.of(performer(Kernel.RELU, 1e-2, Stabiliser.RUNNING), Mask.none(), inputs),
            Forward.of(
                performer(Kernel.RELU_TENSORFLOW, 1e-2, Stabiliser.RUNNING), Mask.none(), inputs));
    assertTrue(without < 1e-5, "eps 0: " + without);
    assertTrue(with > 1e-3, "eps 1e-2: " + with);
  }

  @Test
  void firstCausalRowIsItsValueForEveryKernel() {
    Tensors inputs = qkv(4, 1);
    for (Kernel kernel : Kernel.values()) {
      if (kernel != Kernel.SOFTMAX_TRIGONOMETRIC) {
        Tensor out = Forward.of(performer(kernel, 1e-3, Stabiliser.RUNNING), Mask.causal(), inputs);
        assertTrue(Forward.maxDifference(inputs.get("v"), out) < 1e-5, kernel.name());
      }
    }
  }

  @Test
  void denominatorNearZeroGetsTwiceTheStabiliser() {
    Performer guarded =
        new Performer(
            Kernel.RELU_UNPROJECTED,
            1,
            OptionalDouble.of(0),
            OptionalDouble.of(0.5),
            Projection.IID,
            QrSign.FIXED,
            Stabiliser.RUNNING,
            1);
    Tensor v = Draws.constant(1, 1, 1, 1, 1);
    Tensor q = Draws.constant(0.5, 1, 1, 1, 1);
    Tensor one = Draws.constant(1, 1, 1, 1, 1);
    Tensor two = Draws.constant(2, 1, 1, 1, 1);
    assertEquals(
        0.5 / 1.5, Forward.of(guarded, Mask.none(), Tensors.qkv(q, one, v)).data()[0], 1e-6);
    assertEquals(1, Forward.of(guarded, Mask.none(), Tensors.qkv(q, two, v)).data()[0], 1e-6);
  }

  @Test
  void sameSeedDrawsTheSameProjectionAndAnotherSeedAnother() {
    Tensors inputs = qkv(1, 10);
    Tensor a = Forward.of(new Performer(Kernel.RELU, 8, 1), Mask.none(), inputs);
    Tensor b = Forward.of(new Performer(Kernel.RELU, 8, 1), Mask.none(), inputs);
    Tensor c = Forward.of(new Performer(Kernel.RELU, 8, 2), Mask.none(), inputs);
    assertEquals(0, Forward.maxDifference(a, b));
    assertTrue(Forward.maxDifference(a, c) > 1e-3);
  }

  @Test
  void badParametersAreRefusedByName() {
    var features =
        assertThrows(IllegalArgumentException.class, () -> new Performer(Kernel.RELU, 0, 1));
    assertTrue(features.getMessage().contains("num_features"), features.getMessage());
    var eps =
        assertThrows(
            IllegalArgumentException.class,
            () -> performer(Kernel.RELU, Double.NaN, Stabiliser.RUNNING));
    assertTrue(eps.getMessage().contains("eps"), eps.getMessage());
  }

  private static Tensors qkv(long seed, int n) {
    return Tensors.qkv(
        Draws.gaussian(seed, 1, 1, n, 8),
        Draws.gaussian(seed + 1, 1, 1, n, 8),
        Draws.gaussian(seed + 2, 1, 1, n, 8));
  }

  private static Tensor leading(Tensor x, int n) {
    return Tensor.of(java.util.Arrays.copyOf(x.data(), n * 8), 1, 1, n, 8);
  }
}
