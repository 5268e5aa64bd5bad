// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.reports.answer.Crossover.Kind;
import java.util.List;
import org.junit.jupiter.api.Test;

class CrossoverTest {
  private static final int[] LENGTHS = {256, 512, 1024, 2048, 4096, 8192};

  /// A power-law pair crosses on a straight line in log–log, so interpolation is exact up to
  /// rounding.
  @Test
  void powerLawsCrossWhereAlgebraSays() {
    Curve linear = Curves.exact("linear", n -> 1.9e-3 * n, LENGTHS);
    Curve quadratic = Curves.exact("quadratic", n -> 1e-6 * (double) n * n, LENGTHS);
    Crossover crossover = Crossover.of(linear, quadratic);
    assertEquals(Kind.REACHED, crossover.kind());
    assertEquals(1900, crossover.n(), 1e-6);
    assertEquals(1900, crossover.low(), 1e-6);
    assertEquals(1900, crossover.high(), 1e-6);
    assertFalse(crossover.doubtful());
  }

  @Test
  void cheaperEverywhereIsBelowTheSmallestLength() {
    Curve cheap = Curves.exact("cheap", n -> 1e-9 * n, LENGTHS);
    Curve dear = Curves.exact("dear", n -> 1e-6 * (double) n * n, LENGTHS);
    Crossover crossover = Crossover.of(cheap, dear);
    assertEquals(Kind.BELOW_SMALLEST, crossover.kind());
    assertTrue(Double.isNaN(crossover.n()));
    assertEquals(256, crossover.smallest());
  }

  @Test
  void dearerEverywhereIsNotReachedAndNeverExtrapolated() {
    Curve linear = Curves.exact("linear", n -> 9e-3 * n, LENGTHS);
    Curve quadratic = Curves.exact("quadratic", n -> 1e-6 * (double) n * n, LENGTHS);
    Crossover crossover = Crossover.of(linear, quadratic);
    assertEquals(Kind.NOT_REACHED, crossover.kind());
    assertTrue(Double.isNaN(crossover.n()));
    assertEquals(8192, crossover.largest());
    assertFalse(crossover.doubtful());
  }

  @Test
  void equalCurvesAreNotCheaper() {
    Curve curve = Curves.exact("same", n -> n, LENGTHS);
    assertEquals(Kind.NOT_REACHED, Crossover.of(curve, curve).kind());
  }

  @Test
  void lastOfSeveralCrossingsCountsAndAllAreListed() {
    double[] ratio = {2, 0.5, 0.5, 2, 2, 0.5};
    Curve curve = Curves.exact("waves", n -> ratio[log2(n) - 8], LENGTHS);
    Curve flat = Curves.exact("flat", n -> 1, LENGTHS);
    Crossover crossover = Crossover.of(curve, flat);
    assertEquals(Kind.REACHED, crossover.kind());
    assertEquals(3, crossover.crossings().size());
    assertEquals(4096 * Math.sqrt(2), crossover.n(), 1e-6);
    assertEquals(256 * Math.sqrt(2), crossover.crossings().getFirst(), 1e-6);
  }

  @Test
  void advantageLostAtTheLargestLengthIsNoCrossover() {
    Curve curve = Curves.exact("lost", n -> n == 1024 ? 0.5 : 2, LENGTHS);
    Curve flat = Curves.exact("flat", n -> 1, LENGTHS);
    Crossover crossover = Crossover.of(curve, flat);
    assertEquals(Kind.LOST_AGAIN, crossover.kind());
    assertEquals(2, crossover.crossings().size());
    assertTrue(Double.isNaN(crossover.n()));
  }

  @Test
  void onlyCommonLengthsAreCompared() {
    Curve linear = Curves.exact("linear", n -> 1.9e-3 * n, 256, 512, 1024, 4096, 65536);
    Curve quadratic = Curves.exact("quadratic", n -> 1e-6 * (double) n * n, 1024, 4096);
    Crossover crossover = Crossover.of(linear, quadratic);
    assertEquals(1900, crossover.n(), 1e-6);
    assertEquals(1024, crossover.smallest());
    assertEquals(4096, crossover.largest());
    Curve elsewhere = Curves.exact("elsewhere", n -> n, 100, 200);
    assertEquals(Kind.NO_COMMON_LENGTH, Crossover.of(linear, elsewhere).kind());
  }

  @Test
  void singleForksGiveNoInterval() {
    Curve linear = new Curve("l", List.of(one(256, 2), one(512, 2)));
    Curve square = new Curve("s", List.of(one(256, 1), one(512, 4)));
    Crossover crossover = Crossover.of(linear, square);
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
    Crossover crossover = Crossover.of(near, flat);
    assertTrue(crossover.doubtful(), crossover.toString());
  }

  /// A crossing that noise cannot place lies in an interval that is open, not in a narrow one:
  /// forks 20 % apart and a ratio that changes by 6 % over all lengths.
  @Test
  void flatCrossingOpensTheInterval() {
    Curve flat = Curves.noisy("f", n -> Math.pow(n, 1), 4, 0.1, Curves.random(8), LENGTHS);
    Curve other =
        Curves.noisy("o", n -> 0.9 * Math.pow(n, 1.017), 4, 0.1, Curves.random(9), LENGTHS);
    Crossover crossover = Crossover.of(flat, other);
    assertEquals(0, crossover.low());
    assertEquals(Double.POSITIVE_INFINITY, crossover.high());
  }

  /// Without noise at the lengths around it, an earlier crossing does not widen the interval of the
  /// last one.
  @Test
  void earlierCrossingIsNotPartOfTheInterval() {
    double[] ratio = {2, 0.5, 0.5, 2, 2, 0.5};
    Curve curve =
        Curves.noisy("waves", n -> ratio[log2(n) - 8], 4, 0.01, Curves.random(1), LENGTHS);
    Curve flat = Curves.noisy("flat", _ -> 1, 4, 0.01, Curves.random(2), LENGTHS);
    Crossover crossover = Crossover.of(curve, flat);
    assertTrue(crossover.low() > 4096 && crossover.high() < 8192, crossover.toString());
    assertTrue(crossover.low() <= crossover.n() && crossover.n() <= crossover.high());
  }

  /// Forks that are slow at every length shift the whole curve: their spread decides how well the
  /// crossing is known, whatever the spread within forks. Slopes differ by 1, so the crossing moves
  /// by as much as the ratio: half the interval in logarithms is Student's half of the ratio.
  @Test
  void sharedVarianceIsNotAveragedAway() {
    double[] shifts = {0.9, 1, 1.1, 1.2};
    Curve curve = shifted(n -> 1.9e-3 * n, shifts);
    Curve baseline = shifted(n -> 1e-6 * (double) n * n, new double[] {1, 1, 1, 1});
    Crossover crossover = Crossover.of(curve, baseline);
    Ratio ratio = Ratio.of(curve, baseline, 2048);
    assertEquals(ratio.high() / ratio.low(), crossover.high() / crossover.low(), 1e-6);
  }

  private static Curve shifted(java.util.function.IntToDoubleFunction value, double[] shifts) {
    List<Sample> samples = new java.util.ArrayList<>();
    for (int n : LENGTHS) {
      double centre = value.applyAsDouble(n);
      samples.add(
          new Sample(n, java.util.Arrays.stream(shifts).mapToObj(s -> s * centre).toList()));
    }
    return new Curve("shifted", samples);
  }

  private static Sample one(int n, double value) {
    return new Sample(n, List.of(value));
  }

  private static int log2(int n) {
    return 31 - Integer.numberOfLeadingZeros(n);
  }
}
