// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/// How far forks of the same point lie apart, and whether the machine was quiet enough to be
/// believed.
///
/// The spread of a point is (slowest − fastest fork) / median.
///
/// @param verdict the judgement on the median spread
/// @param medianSpread median over points of the spread
/// @param worstSpread largest spread of a point
/// @param worstPoint that point's label and length
/// @param points points with at least two forks
/// @param noisyPoints points whose spread exceeds [#NOISY]
public record Noise(
    Verdict verdict,
    double medianSpread,
    double worstSpread,
    String worstPoint,
    int points,
    int noisyPoints) {

  /// Median spread below which the machine counts as quiet.
  public static final double QUIET = 0.05;

  /// Median spread above which it counts as noisy.
  public static final double NOISY = 0.15;

  /// Judgement on a set of points.
  public enum Verdict {
    /// Median spread below 5 %.
    QUIET,
    /// Median spread between 5 % and 15 %.
    RESTLESS,
    /// Median spread above 15 %.
    NOISY,
    /// No point has two forks.
    UNKNOWN
  }

  private record Spread(String point, double value) {}

  /// Judges the points of all curves.
  public static Noise of(List<Curve> curves) {
    List<Spread> spreads = new ArrayList<>();
    for (Curve curve : curves) {
      for (Sample sample : curve.samples()) {
        if (sample.forks().size() > 1) {
          spreads.add(
              new Spread(curve.label() + " at n = " + Wording.length(sample.n()), sample.spread()));
        }
      }
    }
    if (spreads.isEmpty()) {
      return new Noise(Verdict.UNKNOWN, Double.NaN, Double.NaN, "", 0, 0);
    }
    double median = Statistics.median(spreads.stream().mapToDouble(Spread::value).toArray());
    Spread worst = spreads.stream().max(Comparator.comparingDouble(Spread::value)).orElseThrow();
    long noisy = spreads.stream().filter(s -> s.value() > NOISY).count();
    Verdict verdict =
        median < QUIET ? Verdict.QUIET : median > NOISY ? Verdict.NOISY : Verdict.RESTLESS;
    return new Noise(
        verdict, median, worst.value(), worst.point(), spreads.size(), Math.toIntExact(noisy));
  }
}
