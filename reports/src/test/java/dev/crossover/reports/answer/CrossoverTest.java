package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.reports.answer.Crossover.Kind;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CrossoverTest {
  private static final int[] LENGTHS = {256, 512, 1024, 2048, 4096, 8192};
  private static final long SEED = 5;

  /// A power-law pair crosses on a straight line in log–log, so interpolation is exact up to
  /// rounding.
  @Test
  void powerLawsCrossWhereAlgebraSays() {
    Curve linear = Curves.exact("linear", n -> 1.9e-3 * n, LENGTHS);
    Curve quadratic = Curves.exact("quadratic", n -> 1e-6 * (double) n * n, LENGTHS);
    Crossover crossover = Crossover.of(linear, quadratic, SEED);
    assertEquals(Kind.REACHED, crossover.kind());
    assertEquals(1900, crossover.n(), 1e-6);
    assertEquals(1900, crossover.low(), 1e-6);
    assertEquals(1900, crossover.high(), 1e-6);
    assertEquals(1, crossover.cheaperShare());
    assertFalse(crossover.doubtful());
  }

  @Test
  void cheaperEverywhereIsBelowTheSmallestLength() {
    Curve cheap = Curves.exact("cheap", n -> 1e-9 * n, LENGTHS);
    Curve dear = Curves.exact("dear", n -> 1e-6 * (double) n * n, LENGTHS);
    Crossover crossover = Crossover.of(cheap, dear, SEED);
    assertEquals(Kind.BELOW_SMALLEST, crossover.kind());
    assertTrue(Double.isNaN(crossover.n()));
    assertEquals(256, crossover.smallest());
  }

  @Test
  void dearerEverywhereIsNotReachedAndNeverExtrapolated() {
    Curve linear = Curves.exact("linear", n -> 9e-3 * n, LENGTHS);
    Curve quadratic = Curves.exact("quadratic", n -> 1e-6 * (double) n * n, LENGTHS);
    Crossover crossover = Crossover.of(linear, quadratic, SEED);
    assertEquals(Kind.NOT_REACHED, crossover.kind());
    assertTrue(Double.isNaN(crossover.n()));
    assertEquals(8192, crossover.largest());
    assertFalse(crossover.doubtful());
  }

  @Test
  void equalCurvesAreNotCheaper() {
    Curve curve = Curves.exact("same", n -> n, LENGTHS);
    assertEquals(Kind.NOT_REACHED, Crossover.of(curve, curve, SEED).kind());
  }

  @Test
  void lastOfSeveralCrossingsCountsAndAllAreListed() {
    double[] ratio = {2, 0.5, 0.5, 2, 2, 0.5};
    Curve curve = Curves.exact("waves", n -> ratio[log2(n) - 8], LENGTHS);
    Curve flat = Curves.exact("flat", n -> 1, LENGTHS);
    Crossover crossover = Crossover.of(curve, flat, SEED);
    assertEquals(Kind.REACHED, crossover.kind());
    assertEquals(3, crossover.crossings().size());
    assertEquals(4096 * Math.sqrt(2), crossover.n(), 1e-6);
    assertEquals(256 * Math.sqrt(2), crossover.crossings().getFirst(), 1e-6);
  }

  @Test
  void advantageLostAtTheLargestLengthIsNoCrossover() {
    Curve curve = Curves.exact("lost", n -> n == 1024 ? 0.5 : 2, LENGTHS);
    Curve flat = Curves.exact("flat", n -> 1, LENGTHS);
    Crossover crossover = Crossover.of(curve, flat, SEED);
    assertEquals(Kind.LOST_AGAIN, crossover.kind());
    assertEquals(2, crossover.crossings().size());
    assertTrue(Double.isNaN(crossover.n()));
  }

  @Test
  void onlyCommonLengthsAreCompared() {
    Curve linear = Curves.exact("linear", n -> 1.9e-3 * n, 256, 512, 1024, 4096, 65536);
    Curve quadratic = Curves.exact("quadratic", n -> 1e-6 * (double) n * n, 1024, 4096);
    Crossover crossover = Crossover.of(linear, quadratic, SEED);
    assertEquals(1900, crossover.n(), 1e-6);
    assertEquals(1024, crossover.smallest());
    assertEquals(4096, crossover.largest());
    Curve elsewhere = Curves.exact("elsewhere", n -> n, 100, 200);
    assertEquals(Kind.NO_COMMON_LENGTH, Crossover.of(linear, elsewhere, SEED).kind());
  }

  @Test
  void singleForksGiveNoInterval() {
    Curve linear = new Curve("l", List.of(one(256, 2), one(512, 2)));
    Curve square = new Curve("s", List.of(one(256, 1), one(512, 4)));
    Crossover crossover = Crossover.of(linear, square, SEED);
    assertEquals(Kind.REACHED, crossover.kind());
    assertFalse(crossover.hasInterval());
    assertEquals(256 * Math.sqrt(2), crossover.n(), 1e-6);
  }

  @Test
  void countedQuantitiesHaveNoInterval() {
    Curve linear = Curves.exact("linear", n -> 1000.0 * n, LENGTHS);
    Curve quadratic = Curves.exact("quadratic", n -> (double) n * n, LENGTHS);
    Crossover crossover = Crossover.counted(linear, quadratic);
    assertEquals(1000, crossover.n(), 1e-6);
    assertFalse(crossover.hasInterval());
  }

  @Test
  void noiseThatHidesTheCrossingLeavesTheIntervalOpen() {
    Curve near = Curves.noisy("near", n -> 1.0, 3, 0.2, Curves.random(3), LENGTHS);
    Curve flat = Curves.noisy("flat", n -> 1.0, 3, 0.2, Curves.random(4), LENGTHS);
    Crossover crossover = Crossover.of(near, flat, SEED);
    assertTrue(crossover.doubtful(), crossover.toString());
  }

  @Test
  void sameSeedGivesTheSameInterval() {
    Curve linear = Curves.noisy("l", n -> 1.9e-3 * n, 3, 0.05, Curves.random(1), LENGTHS);
    Curve square =
        Curves.noisy("q", n -> 1e-6 * (double) n * n, 3, 0.05, Curves.random(2), LENGTHS);
    assertEquals(Crossover.of(linear, square, SEED), Crossover.of(linear, square, SEED));
  }

  /// The nominal coverage is 95 %. Three forks per point know little about their own spread, so
  /// down to 88 % is accepted; 300 trials put the standard error of a 95 % coverage at 1.3 %. An
  /// interval that always holds would be useless, so it must also be narrow: its median width is
  /// held to what the noise of four medians allows, ±1.96 · σ · √2 · 1.25 / slope difference (1
  /// here), times two for few forks.
  @ParameterizedTest
  @CsvSource({"3, 0.03", "3, 0.10", "5, 0.05", "10, 0.05"})
  void intervalHoldsTheTrueCrossoverInMostSeededTrials(int forks, double noise) {
    int held = 0;
    int trials = 300;
    double[] widths = new double[trials];
    for (int trial = 0; trial < trials; trial++) {
      Curve linear =
          Curves.noisy("l", n -> 1.9e-3 * n, forks, noise, Curves.random(2 * trial), LENGTHS);
      Curve square =
          Curves.noisy(
              "q", n -> 1e-6 * (double) n * n, forks, noise, Curves.random(2 * trial + 1), LENGTHS);
      Crossover crossover = Crossover.of(linear, square, SEED);
      if (crossover.low() <= 1900 && 1900 <= crossover.high()) {
        held++;
      }
      widths[trial] = Math.log(crossover.high() / crossover.low());
    }
    assertTrue(held >= 0.88 * trials, "held in " + held + " of " + trials);
    double allowed = 2 * 2 * 1.96 * noise * Math.sqrt(2) * 1.25 / Math.sqrt(forks);
    assertTrue(Statistics.median(widths) < allowed, Statistics.median(widths) + " vs " + allowed);
  }

  private static Sample one(int n, double value) {
    return new Sample(n, List.of(value));
  }

  private static int log2(int n) {
    return 31 - Integer.numberOfLeadingZeros(n);
  }
}
