// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.random.Draws;
import dev.crossover.bench.error.KnobCurve;
import dev.crossover.bench.error.Spread;
import dev.crossover.bench.result.SampleStatistics;
import dev.crossover.bench.result.Student;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntToDoubleFunction;
import org.apache.commons.rng.UniformRandomProvider;
import org.apache.commons.rng.sampling.distribution.ZigguratSampler;

/// Measurements of known truth, as noisy as a setting says, and whether an interval holds the
/// truth.
final class Simulation {
  private static final int[] LENGTHS = {256, 512, 1024, 2048, 4096, 8192};
  private static final int[] CONTEXTS = {16, 48, 98, 196, 392, 784};
  private static final int TOKENS = 784;
  private static final double OUTLIER = Math.log(1.3);
  private static final int SEED = 2026;

  private Simulation() {}

  /// How forks scatter.
  ///
  /// @param spread standard deviation of a fork's logarithm
  /// @param forks forks per point
  /// @param shared share of the variance that a fork has in common over all lengths
  /// @param outlier whether one fork of the mechanism is 30 % slower at every length
  record Setting(double spread, int forks, double shared, boolean outlier) {
    @Override
    public String toString() {
      return Wording.percent(spread)
          + ", "
          + forks
          + " forks, shared "
          + shared
          + (outlier ? ", an outlier" : "");
    }
  }

  /// Intervals that the product prints, each with a truth of its own.
  enum Interval {
    TIME("time") {
      @Override
      boolean holds(Draw draw) {
        Sample sample = draw.curve(n -> 2e-6 * n, LENGTHS).samples().get(2);
        SampleStatistics s = SampleStatistics.of(sample.forks().stream().map(List::of).toList());
        return inside(2e-6 * 1024, s.low(), s.high());
      }
    },
    RATIO("ratio of times") {
      @Override
      boolean holds(Draw draw) {
        Ratio ratio =
            Ratio.of(draw.curve(n -> 3e-6 * n, LENGTHS), draw.quiet(n -> 2e-6 * n, LENGTHS), 1024);
        return inside(1.5, ratio.low(), ratio.high());
      }
    },
    UNEQUAL("ratio, one side with a fifth of the spread") {
      @Override
      boolean holds(Draw draw) {
        Ratio ratio =
            Ratio.of(
                draw.curve(n -> 3e-6 * n, LENGTHS), draw.quieter(n -> 2e-6 * n, LENGTHS), 1024);
        return inside(1.5, ratio.low(), ratio.high());
      }
    },
    BETWEEN("crossing between two lengths") {
      @Override
      boolean holds(Draw draw) {
        return crossing(draw, n -> 1.5e-3 * n, n -> 1e-6 * (double) n * n, 1500);
      }
    },
    AT_LENGTH("crossing at a measured length") {
      @Override
      boolean holds(Draw draw) {
        return crossing(draw, n -> 2.048e-3 * n, n -> 1e-6 * (double) n * n, 2048);
      }
    },
    FLAT("flat crossing, exponents 0.25 apart") {
      @Override
      boolean holds(Draw draw) {
        double there = Math.pow(1500, 0.25);
        return crossing(draw, n -> 1e-6 * n * there, n -> 1e-6 * Math.pow(n, 1.25), 1500);
      }
    },
    LATE("crossing near the largest length") {
      @Override
      boolean holds(Draw draw) {
        return crossing(draw, n -> 7.5e-3 * n, n -> 1e-6 * (double) n * n, 7500);
      }
    },
    BELOW("none: 3 % below everywhere") {
      @Override
      boolean holds(Draw draw) {
        return crossing(draw, n -> 0.97e-6 * n, n -> 1e-6 * n, 0);
      }
    },
    ABOVE("none: 3 % above everywhere") {
      @Override
      boolean holds(Draw draw) {
        return crossing(draw, n -> 1.03e-6 * n, n -> 1e-6 * n, Double.POSITIVE_INFINITY);
      }
    },
    WAVES("last of three crossings") {
      @Override
      boolean holds(Draw draw) {
        return crossing(
            draw,
            n -> n == 512 || n == 8192 ? 0.7 : n == 256 ? 1.3 : 1.4,
            _ -> 1,
            // between 4,096 and 8,192 in logarithms
            4096 * Math.pow(2, Math.log(1.4) / Math.log(2)));
      }
    },
    EXPONENT("exponent, straight") {
      @Override
      boolean holds(Draw draw) {
        ScalingFit fit =
            ScalingFit.of(draw.curve(n -> 1e-9 * (double) n * n, LENGTHS)).orElseThrow();
        return inside(2, fit.low(), fit.high());
      }
    },
    BENT("exponent over the range, bent") {
      @Override
      boolean holds(Draw draw) {
        IntToDoubleFunction bent = n -> 1e-3 + 1e-9 * (double) n * n;
        ScalingFit fit = ScalingFit.of(draw.curve(bent, LENGTHS)).orElseThrow();
        ScalingFit truth = ScalingFit.of(Curves.exact("bent", bent, LENGTHS)).orElseThrow();
        return inside(truth.exponent(), fit.low(), fit.high());
      }
    },
    STRAIGHT("straight, and not called bent") {
      @Override
      boolean holds(Draw draw) {
        return !ScalingFit.of(draw.curve(n -> 1e-9 * (double) n * n, LENGTHS))
            .orElseThrow()
            .bends();
      }
    },
    IMAGE("ratio of whole images") {
      @Override
      boolean holds(Draw draw) {
        IntToDoubleFunction slow = n -> 1e-6 + 1e-8 * n;
        IntToDoubleFunction fast = _ -> 1e-6;
        double truth = ImageTime.seconds(Curves.exact("s", slow, CONTEXTS), TOKENS) / 784e-6;
        Ratio ratio =
            ImageTime.ratio(draw.curve(slow, CONTEXTS), draw.quiet(fast, CONTEXTS), TOKENS);
        return inside(truth, ratio.low(), ratio.high());
      }
    },
    SEEDS("error over seeds") {
      @Override
      boolean holds(Draw draw) {
        Sample sample = draw.curve(_ -> 0.2, LENGTHS).samples().getFirst();
        Spread spread = Spread.geometric(sample.forks());
        return inside(0.2, spread.low(), spread.high());
      }
    },
    SLOPE("slope of an error over a parameter") {
      @Override
      boolean holds(Draw draw) {
        List<KnobCurve.Point> points =
            draw.curve(n -> 1 / Math.sqrt(n), LENGTHS).samples().stream()
                .map(s -> new KnobCurve.Point(s.n(), Spread.geometric(s.forks()), s.forks()))
                .toList();
        KnobCurve.Slope slope = new KnobCurve("k", "k", "m", points).slope().orElseThrow();
        return slope.low() <= -0.5 && -0.5 <= slope.high();
      }
    },
    PAIRED("ratio of errors, seed by seed") {
      @Override
      boolean holds(Draw draw) {
        Curve a = draw.curve(_ -> 0.3, LENGTHS);
        Curve b = draw.quiet(_ -> 0.2, LENGTHS);
        Ratio ratio = Ratio.paired(forks(a), forks(b));
        return inside(1.5, ratio.low(), ratio.high());
      }
    };

    private final String words;

    Interval(String words) {
      this.words = words;
    }

    /// What the interval is of.
    String words() {
      return words;
    }

    /// One measurement: whether its interval holds the truth.
    abstract boolean holds(Draw draw);

    private static boolean inside(double truth, double low, double high) {
      // rounding of logarithms and powers
      return low <= truth * (1 + 1e-12) && truth * (1 - 1e-12) <= high;
    }

    private static boolean crossing(
        Draw draw, IntToDoubleFunction curve, IntToDoubleFunction baseline, double truth) {
      Crossover crossover = Crossover.of(draw.curve(curve, LENGTHS), draw.quiet(baseline, LENGTHS));
      return Double.isInfinite(truth)
          ? Double.isInfinite(crossover.high())
          : inside(truth, crossover.low(), crossover.high());
    }

    private static double[] forks(Curve curve) {
      return curve.samples().getFirst().forks().stream().mapToDouble(v -> v).toArray();
    }
  }

  /// Share of trials in which an interval holds the truth.
  static double coverage(Interval interval, Setting setting, int trials) {
    Draw draw = new Draw(setting, interval.name() + setting);
    int held = 0;
    for (int trial = 0; trial < trials; trial++) {
      held += interval.holds(draw) ? 1 : 0;
    }
    return (double) held / trials;
  }

  /// Draws measurements.
  static final class Draw {
    private final Setting setting;
    private final ZigguratSampler.NormalizedGaussian normal;

    Draw(Setting setting, String purpose) {
      this.setting = setting;
      UniformRandomProvider random = Draws.generator(Draws.seedFor(SEED, purpose));
      normal = ZigguratSampler.NormalizedGaussian.of(random);
    }

    /// A curve with the setting's outlier, if it has one.
    Curve curve(IntToDoubleFunction truth, int... lengths) {
      return curve(truth, setting.spread(), setting.outlier(), lengths);
    }

    /// A curve of the setting without an outlier.
    Curve quiet(IntToDoubleFunction truth, int... lengths) {
      return curve(truth, setting.spread(), false, lengths);
    }

    /// A curve with a fifth of the spread.
    Curve quieter(IntToDoubleFunction truth, int... lengths) {
      return curve(truth, setting.spread() / 5, false, lengths);
    }

    private Curve curve(IntToDoubleFunction truth, double spread, boolean outlier, int... lengths) {
      double[][] logs = logs(lengths.length, spread, outlier);
      List<Sample> samples = new ArrayList<>();
      for (int i = 0; i < lengths.length; i++) {
        double value = truth.applyAsDouble(lengths[i]);
        samples.add(
            new Sample(
                lengths[i],
                Arrays.stream(logs[i]).mapToObj(log -> value * Math.exp(log)).toList()));
      }
      return new Curve("drawn", samples);
    }

    /// Deviations by length and fork.
    double[][] logs(int lengths, double spread, boolean outlier) {
      double[][] logs = new double[lengths][setting.forks()];
      for (int fork = 0; fork < setting.forks(); fork++) {
        double common = Math.sqrt(setting.shared()) * normal.sample();
        for (double[] length : logs) {
          double own = Math.sqrt(1 - setting.shared()) * normal.sample();
          length[fork] = spread * (common + own) + (outlier && fork == 0 ? OUTLIER : 0);
        }
      }
      return logs;
    }
  }

  /// What [Relabelling] finds in pairs of sweeps of five mechanisms at six lengths each.
  ///
  /// @param falseAlarms share of pairs of equal sweeps in which any point is called slower
  /// @param found share of pairs in which the one point that got 20 % slower is called slower
  record Comparison(double falseAlarms, double found) {
    private static final int MECHANISMS = 5;
    private static final double ALPHA = 0.05;

    static Comparison of(Setting setting, int trials) {
      Draw draw = new Draw(setting, "compare" + setting);
      int alarms = 0;
      int found = 0;
      for (int trial = 0; trial < trials; trial++) {
        List<double[]> before = sweep(draw, setting);
        List<double[]> after = sweep(draw, setting);
        Relabelling same = Relabelling.of(before, after);
        boolean alarm = false;
        for (int i = 0; i < before.size(); i++) {
          alarm |= same.slower(i) <= ALPHA;
        }
        alarms += alarm ? 1 : 0;
        after.set(3, Arrays.stream(after.get(3)).map(log -> log + Math.log(1.2)).toArray());
        Relabelling slower = Relabelling.of(before, after);
        double ratio = Student.mean(after.get(3)) - Student.mean(before.get(3));
        found += slower.slower(3) <= ALPHA && ratio > Math.log(1.05) ? 1 : 0;
      }
      return new Comparison((double) alarms / trials, (double) found / trials);
    }

    private static List<double[]> sweep(Draw draw, Setting setting) {
      List<double[]> points = new ArrayList<>();
      for (int mechanism = 0; mechanism < MECHANISMS; mechanism++) {
        points.addAll(List.of(draw.logs(LENGTHS.length, setting.spread(), false)));
      }
      return points;
    }
  }
}
