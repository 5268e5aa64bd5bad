// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.reports.answer.ScalingFit.Agreement;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ScalingFitTest {
  private static final int[] LENGTHS = {256, 512, 1024, 2048, 4096, 8192};

  /// Rounding of logarithms only: six values of relative error 2⁻⁵³ over a range of ln 32.
  private static final double ROUNDING = 1e-12;

  @ParameterizedTest
  @ValueSource(doubles = {0, 1, 1.5, 2})
  void purePowerLawGivesItsExponentOverTheUpperHalf(double exponent) {
    Curve curve = Curves.exact("power", n -> 3e-9 * Math.pow(n, exponent), LENGTHS);
    ScalingFit fit = ScalingFit.of(curve).orElseThrow();
    assertEquals(exponent, fit.exponent(), ROUNDING);
    assertEquals(exponent, fit.least(), ROUNDING);
    assertEquals(exponent, fit.most(), ROUNDING);
    assertEquals(2048, fit.from());
    assertEquals(8192, fit.to());
    assertFalse(fit.bends());
    assertEquals(3e-9 * Math.pow(5000, exponent), fit.at(5000), 1e-9 * fit.at(5000));
  }

  @Test
  void rangeIsTheUpperHalfAndAtLeastThreeLengths() {
    Curve seven = Curves.exact("seven", n -> n, 128, 256, 512, 1024, 2048, 4096, 8192);
    assertEquals(4, ScalingFit.of(seven).orElseThrow().lengths());
    Curve four = Curves.exact("four", n -> n, 1024, 2048, 4096, 8192);
    assertEquals(3, ScalingFit.of(four).orElseThrow().lengths());
    assertTrue(ScalingFit.of(Curves.exact("short", n -> n, 256, 512)).isEmpty());
  }

  /// t = 1 + (n / 4096)²: local slopes log2(2 / 1.25) = 0.68 and log2(5 / 2) = 1.32.
  @Test
  void curveThatBendsIsCalledSoWithItsLocalSlopes() {
    Curve curve = Curves.exact("bend", n -> 1 + Math.pow(n / 4096.0, 2), LENGTHS);
    ScalingFit fit = ScalingFit.of(curve).orElseThrow();
    assertTrue(fit.bends());
    assertEquals(Math.log(1.6) / Math.log(2), fit.least(), ROUNDING);
    assertEquals(Math.log(2.5) / Math.log(2), fit.most(), ROUNDING);
    assertEquals(Agreement.BENDS, fit.against(1));
    assertEquals("bends, 0.68–1.32", Wording.exponent(fit));
  }

  @Test
  void noiseIsNotCalledABend() {
    Curve curve = Curves.noisy("noisy", n -> 1e-6 * n, 3, 0.1, Curves.random(4), LENGTHS);
    ScalingFit fit = ScalingFit.of(curve).orElseThrow();
    assertTrue(fit.most() - fit.least() > 0.02, "local slopes differ: " + fit);
    assertFalse(fit.bends());
  }

  @Test
  void countedQuantityHasNoNoise() {
    Curve curve = new Curve("bytes", List.of(one(1024, 1e6), one(2048, 2e6), one(4096, 4e6)));
    ScalingFit fit = ScalingFit.counted(curve).orElseThrow();
    assertEquals(1, fit.low(), ROUNDING);
    assertEquals(1, fit.high(), ROUNDING);
    assertEquals("1.00", Wording.exponent(fit));
    assertFalse(ScalingFit.of(curve).orElseThrow().hasInterval(), "as a time it has one fork");
  }

  @Test
  void theoryIsComparedWithTheIntervalAndTheLocalSlopes() {
    ScalingFit fit = fit(1.75, 1.70, 1.80, 1.6, 1.84);
    assertEquals(Agreement.AGREES, fit.against(1.75));
    assertEquals(Agreement.AGREES, fit.against(1.89), "within 0.1 of the interval");
    assertEquals(Agreement.BELOW, fit.against(2));
    assertEquals(Agreement.ABOVE, fit.against(1));
    assertEquals(Agreement.UNDECIDED, fit(1.75, 1.70, 1.80, 1.6, 2.1).against(2));
    assertEquals(Agreement.UNDECIDED, fit(1.9, 1.1, 2.7, 1.6, 1.84).against(2));
    assertEquals(
        Agreement.UNDECIDED, fit(1.9, Double.NaN, Double.NaN, 1.8, 1.9).against(2), "one fork");
  }

  private static ScalingFit fit(
      double exponent, double low, double high, double least, double most) {
    return new ScalingFit(exponent, low, high, 0, 256, 8192, 6, least, most, false);
  }

  private static Sample one(int n, double value) {
    return new Sample(n, List.of(value));
  }
}
