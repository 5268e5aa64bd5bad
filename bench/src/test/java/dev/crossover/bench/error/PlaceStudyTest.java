// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

class PlaceStudyTest {

  private static ErrorProblem captured(int n) throws IOException {
    return ErrorProblem.of("captured", n, true, 42, 2);
  }

  private static double sum(List<Double> bins) {
    return bins.stream().mapToDouble(x -> x).sum();
  }

  @Test
  void exactMechanismMisplacesNothing() throws IOException {
    PlaceStudy study = PlaceStudy.of(captured(100), "materialised", 3).orElseThrow();
    assertEquals(2, study.heads().size());
    for (PlaceStudy.Head head : study.heads()) {
      assertEquals(0, head.error().mean(), 1e-5);
      assertEquals(0, head.totalVariation().mean(), 1e-5);
      assertEquals(1, head.rowSum().mean(), 1e-5);
      assertEquals(head.topMass(), head.ownTopMass().mean(), 1e-5);
      assertTrue(head.topMass() > 0.8 && head.topMass() <= 1 + 1e-6);
    }
    assertEquals(1, sum(study.massByDistance()), 1e-5);
    assertEquals(7, study.errorByPosition().size(), "bins of 1, 2, 4, …, 64 positions");
  }

  @Test
  void windowHasNoWeightBeyondItAndMisplacesTheRest() throws IOException {
    PlaceStudy study = PlaceStudy.of(captured(128), "longformer:window=14", 1).orElseThrow();
    double beyond = 0;
    for (int b = 0; b < study.massByDistance().size(); b++) {
      if (b >= 4) {
        assertEquals(0, study.ownMassByDistance().get(b), "distances from " + (1 << b));
        assertEquals(study.massByDistance().get(b) / 2, study.misplacedByDistance().get(b), 1e-6);
        beyond += study.massByDistance().get(b);
      }
    }
    assertTrue(beyond > 0.05, "the captured heads look further back: " + beyond);
    assertEquals(1, sum(study.ownMassByDistance()), 1e-5);
    double variation =
        study.heads().stream().mapToDouble(h -> h.totalVariation().mean()).average().orElseThrow();
    assertEquals(variation, sum(study.misplacedByDistance()), 1e-9);
    assertEquals(beyond, variation, 1e-5, "what the window misses is spread over the window");
  }

  /// What rows sum to is what tells the published constants from the plain estimator.
  @Test
  void performersRowsSumToOneOnlyWithoutItsConstants() throws IOException {
    PlaceStudy published = PlaceStudy.of(captured(64), "performer", 2).orElseThrow();
    PlaceStudy plain =
        PlaceStudy.of(captured(64), "performer:eps=0,renorm_stabilizer=0", 2).orElseThrow();
    for (int h = 0; h < 2; h++) {
      assertTrue(published.heads().get(h).rowSum().mean() < 0.2, published.toString());
      assertEquals(1, plain.heads().get(h).rowSum().mean(), 1e-4);
      assertEquals(2, plain.heads().get(h).error().count());
    }
  }

  @Test
  void maskThatCannotBeHonouredGivesNothingAndALargeProblemIsRefused() throws IOException {
    assertTrue(PlaceStudy.of(captured(64), "nystromformer:landmarks=8", 1).isEmpty());
    ErrorProblem large = captured(513);
    assertThrows(IllegalArgumentException.class, () -> PlaceStudy.of(large, "tiled", 1));
  }

  @Test
  void uniformAttentionHasRankOneAndLooksAtItselfFullRank() {
    AttentionShape shape = AttentionShape.of(1, 1, 16, 16);
    Tensor zero = Tensor.zeros(1, 1, 16, 16);
    Spectrum uniform =
        Spectrum.of(
                new ErrorProblem("zero", shape, Mask.none(), Tensors.qkv(zero, zero, zero), 1, 1))
            .getFirst();
    assertEquals(1, uniform.effectiveRank(), 1e-4);
    assertEquals(1, uniform.holding(0.99));
    Tensor unit = Tensor.zeros(1, 1, 16, 16);
    for (int i = 0; i < 16; i++) {
      unit.data()[i * 17] = 20;
    }
    Spectrum self =
        Spectrum.of(
                new ErrorProblem("self", shape, Mask.none(), Tensors.qkv(unit, unit, zero), 1, 1))
            .getFirst();
    assertEquals(16, self.effectiveRank(), 1e-3);
    assertEquals(8, self.holding(0.49));
    assertEquals(1, self.cumulative().getLast(), 1e-12);
  }
}
