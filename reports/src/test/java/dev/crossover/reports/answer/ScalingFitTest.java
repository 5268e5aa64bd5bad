package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.reports.answer.ScalingFit.Agreement;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ScalingFitTest {
  private static final int[] LENGTHS = {256, 512, 1024, 2048, 4096, 8192};

  /// Rounding of logarithms only: six values of relative error 2⁻⁵³ over a range of ln 32.
  private static final double ROUNDING = 1e-12;

  @ParameterizedTest
  @ValueSource(doubles = {0, 1, 1.5, 2})
  void purePowerLawGivesItsExponentOverAllLengths(double exponent) {
    Curve curve = Curves.exact("power", n -> 3e-9 * Math.pow(n, exponent), LENGTHS);
    ScalingFit fit = ScalingFit.of(curve).orElseThrow();
    assertEquals(exponent, fit.exponent(), ROUNDING);
    assertEquals(256, fit.from());
    assertEquals(8192, fit.to());
    assertTrue(fit.settled());
    assertEquals(3e-9 * Math.pow(5000, exponent), fit.at(5000), 1e-9 * fit.at(5000));
  }

  @Test
  void constantStartUpCostIsLeftOutOfTheAsymptoticPart() {
    Curve curve = Curves.exact("quadratic", n -> 1 + 1e-6 * (double) n * n, LENGTHS);
    ScalingFit fit = ScalingFit.of(curve).orElseThrow();
    assertTrue(fit.from() >= 1024, "from " + fit.from());
    assertEquals(2, fit.exponent(), 0.2);
  }

  @Test
  void threeLengthsThatDisagreeAreMarkedAsNotSettled() {
    Curve curve = Curves.exact("bend", n -> n <= 512 ? 1 : n / 512.0, 256, 512, 1024);
    ScalingFit fit = ScalingFit.of(curve).orElseThrow();
    assertFalse(fit.settled());
    assertEquals(3, fit.lengths());
  }

  @Test
  void twoLengthsGiveNoFit() {
    assertTrue(ScalingFit.of(Curves.exact("short", n -> n, 256, 512)).isEmpty());
  }

  @Test
  void theoryIsComparedWithTheInterval() {
    ScalingFit fit = new ScalingFit(1.9, 1.85, 1.95, 0, 256, 8192, 6, true);
    assertEquals(Agreement.AGREES, fit.against(1.9));
    assertEquals(Agreement.BELOW, fit.against(2));
    assertEquals(Agreement.ABOVE, fit.against(1));
    ScalingFit wide = new ScalingFit(1.9, 1.1, 2.7, 0, 256, 1024, 3, true);
    assertEquals(Agreement.UNDECIDED, wide.against(2));
  }

  /// With lognormal noise of 3 % on medians of three, a 95 % interval over six lengths misses about
  /// one time in twenty; over 200 seeded curves at most 10 % is allowed (binomial, six standard
  /// errors is above 0.10 only beyond 0.14 of miss rate).
  @Test
  void intervalHoldsTheTrueExponentInMostSeededTrials() {
    int held = 0;
    for (long seed = 0; seed < 200; seed++) {
      Curve curve =
          Curves.noisy("n", n -> 1e-9 * (double) n * n, 3, 0.03, Curves.random(seed), LENGTHS);
      ScalingFit fit = ScalingFit.of(curve).orElseThrow();
      if (fit.low() <= 2 && 2 <= fit.high()) {
        held++;
      }
    }
    assertTrue(held >= 180, "held in " + held + " of 200");
  }
}
