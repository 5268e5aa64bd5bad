// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.optimiser;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.crossover.attention.random.Draws;
import dev.crossover.models.graph.Parameters;
import java.util.Map;
import org.junit.jupiter.api.Test;

/// What optimisers must do whatever their numbers are; golden files hold them to PyTorch.
class OptimiserTest {
  private static Parameters parameters(int size) {
    Parameters parameters = new Parameters();
    parameters.add("a.weight", Draws.gaussian(1, size, 8));
    parameters.add("a.bias", Draws.gaussian(2, 8));
    return parameters;
  }

  @Test
  void adamWithoutGradientsAndDecayChangesNothing() {
    Parameters parameters = parameters(3);
    Parameters before = parameters.copy();
    Optimiser optimiser =
        new Optimiser(
            OptimiserOptions.of(Map.of("optimiser", "adam", "lr", "0.1")), parameters.all(), 1);
    for (int s = 0; s < 3; s++) {
      optimiser.step(s);
    }
    assertEquals(0, optimiser.gradNorm());
    for (String name : parameters.names()) {
      assertArrayEquals(before.get(name).value().data(), parameters.get(name).value().data());
    }
  }

  @Test
  void anyNumberOfThreadsGivesTheSameBits() {
    float[][] results = new float[3][];
    for (int threads = 1; threads <= 3; threads++) {
      Parameters parameters = parameters(40_000);
      Optimiser optimiser =
          new Optimiser(
              OptimiserOptions.of(Map.of("clip", "1", "weight_decay", "0.1")),
              parameters.all(),
              threads);
      float[] gradient = parameters.get("a.weight").gradient().data();
      System.arraycopy(Draws.gaussian(3, gradient.length).data(), 0, gradient, 0, gradient.length);
      optimiser.step(0);
      optimiser.step(1);
      results[threads - 1] = parameters.get("a.weight").value().data();
    }
    assertArrayEquals(results[0], results[1]);
    assertArrayEquals(results[0], results[2]);
  }

  @Test
  void cosineEndsAtItsLeastRatioAndStaysThere() {
    LearningRate rate =
        OptimiserOptions.of(
                Map.of(
                    "lr",
                    "2",
                    "schedule",
                    "cosine",
                    "warmup",
                    "4",
                    "total_steps",
                    "12",
                    "min_lr_ratio",
                    "0.25"))
            .learningRate();
    assertEquals(0.5, rate.at(0));
    assertEquals(2, rate.at(3));
    assertEquals(2, rate.at(4));
    assertEquals(1.25, rate.at(8), 1e-12);
    assertEquals(0.5, rate.at(12), 1e-12);
    assertEquals(0.5, rate.at(1000), 1e-12);
  }

  @Test
  void unknownOptionsAreRefused() {
    assertThrows(
        IllegalArgumentException.class, () -> OptimiserOptions.of(Map.of("optimizer", "adam")));
    assertThrows(
        IllegalArgumentException.class, () -> OptimiserOptions.of(Map.of("betas", "0.9/1")));
    assertThrows(IllegalArgumentException.class, () -> OptimiserOptions.of(Map.of("lr", "-1")));
  }
}
