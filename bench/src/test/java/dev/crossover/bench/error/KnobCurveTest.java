// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.bench.input.InputSource;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

class KnobCurveTest {
  private static final String PLAIN = "eps=0,renorm_stabilizer=0";

  /// |q + k|²/√d is about 1.6: the rate shows from a few features on.
  private static ErrorProblem small(Mask mask) throws IOException {
    AttentionShape shape = AttentionShape.of(1, 1, 64, 16);
    String label = "gaussian:scale=0.2";
    return new ErrorProblem(label, shape, mask, InputSource.parse(label).load(shape, 1), 1, 2);
  }

  /// The mean of 24 seeds has a standard error near 4 % (an error over seeds scatters by about a
  /// fifth); a slope over the last three of six doublings then scatters by 0.04 √2 / ln 4 = 0.04:
  /// four of them.
  @Test
  void performersErrorFallsWithTheRootOfTheFeatures() throws IOException {
    KnobCurve curve =
        KnobCurve.of(
            small(Mask.none()),
            new KnobGrid(
                "features",
                "performer:" + PLAIN,
                "num_features",
                List.of(64, 128, 256, 512, 1024, 2048),
                24));
    KnobCurve.Slope slope = curve.slope().orElseThrow();
    assertEquals(-0.5, slope.exponent(), 0.16, curve.toString());
    assertTrue(slope.low() <= slope.exponent() && slope.exponent() <= slope.high());
  }

  /// By its law orthogonality takes an eighth of the mean square error here, 6 % of the error; the
  /// mean log ratio over seven numbers of features and 40 seeds scatters by about 0.2 √(2/280) =
  /// 0.017.
  @Test
  void orthogonalFeaturesErrLessThanIndependentOnes() throws IOException {
    List<Integer> counts = List.of(16, 32, 64, 128, 256, 512, 1024);
    KnobCurve orthogonal =
        KnobCurve.of(
            small(Mask.none()),
            new KnobGrid("o", "performer:" + PLAIN, "num_features", counts, 40));
    KnobCurve independent =
        KnobCurve.of(
            small(Mask.none()),
            new KnobGrid("i", "performer:projection=iid," + PLAIN, "num_features", counts, 40));
    double ratio = 0;
    for (int i = 0; i < counts.size(); i++) {
      ratio +=
          Math.log(
                  orthogonal.points().get(i).error().mean()
                      / independent.points().get(i).error().mean())
              / counts.size();
    }
    assertTrue(ratio < 0, "mean log ratio " + ratio);
    int[] below = orthogonal.below(independent);
    assertEquals(7, below[1]);
    assertEquals(7 - below[0], independent.below(orthogonal)[0]);
  }

  @Test
  void knobAtItsExactnessLimitLeavesRoundingOnly() throws IOException {
    ErrorProblem problem = small(Mask.causal());
    KnobCurve window =
        KnobCurve.of(problem, new KnobGrid("w", "longformer", "window", List.of(4, 16, 63), 5));
    KnobCurve top =
        KnobCurve.of(problem, new KnobGrid("k", "topk", "top_k", List.of(4, 16, 64), 5));
    for (KnobCurve curve : List.of(window, top)) {
      List<KnobCurve.Point> points = curve.points();
      assertTrue(points.get(0).error().mean() > points.get(1).error().mean());
      assertTrue(points.get(2).error().mean() < 1e-5, curve.toString());
      assertEquals(1, points.get(0).error().count(), "nothing is random");
    }
  }

  @Test
  void whatAMechanismRefusesIsLeftOut() throws IOException {
    KnobCurve causal =
        KnobCurve.of(
            small(Mask.causal()), new KnobGrid("n", "nystromformer", "landmarks", List.of(8), 1));
    assertTrue(causal.points().isEmpty());
    KnobCurve long0 =
        KnobCurve.of(
            small(Mask.none()),
            new KnobGrid("n", "nystromformer", "landmarks", List.of(8, 16, 4096), 1));
    assertTrue(long0.points().size() < 3);
    assertTrue(long0.slope().isEmpty());
    ErrorProblem problem = small(Mask.none());
    assertThrows(
        IllegalArgumentException.class,
        () -> KnobCurve.of(problem, new KnobGrid("x", "longformer", "windw", List.of(4), 1)));
  }

  @Test
  void intervalIsStudents() {
    Spread spread = Spread.of(List.of(4.0, 5.0, 6.0));
    assertEquals(5, spread.mean(), 1e-12);
    assertEquals(5 - 4.302652729911275 / Math.sqrt(3), spread.low(), 1e-9);
    assertEquals(5 + 4.302652729911275 / Math.sqrt(3), spread.high(), 1e-9);
    assertEquals(new Spread(5, 5, 5, 1), Spread.of(List.of(5.0)));
    Spread factors = Spread.geometric(List.of(1.0, 100.0));
    assertEquals(10, factors.mean(), 1e-12);
    assertEquals(100, factors.low() * factors.high(), 1e-9, "even on a logarithmic axis");
    assertEquals(0.5, Spread.geometric(List.of(0.0, 1.0)).mean(), "zero has no logarithm");
    assertEquals(0, Spread.of(List.of(0.0, 1.0)).low(), "an error is never negative");
  }
}
