package dev.crossover.reports.answer;

import dev.crossover.reports.answer.Claim.Outcome;
import dev.crossover.reports.answer.Claim.Setting;
import dev.crossover.reports.answer.Claim.Verdict;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/// The kinds of rules a [Claim] can have.
public final class ClaimRules {
  private static final double EXPONENT_TOLERANCE = 0.2;
  private static final int LEAST_LENGTHS = 4;
  private static final int LARGEST = 8192;

  private ClaimRules() {}

  /// What is compared.
  public enum Quantity {
    /// Seconds of one call.
    TIME,
    /// Counted bytes beyond inputs and output.
    MEMORY;

    private Optional<Curve> of(Series series) {
      return this == TIME ? series.time() : series.countedBytes();
    }

    private String noun() {
      return this == TIME ? "time" : "counted memory";
    }
  }

  /// A rule on measured records.
  public sealed interface Measured extends Claim.Rule permits Grows, Crosses, Times, WholeImage {
    /// Where it is measured.
    Setting setting();

    /// What it needs measured.
    List<String> specs();

    /// Whether a panel of its setting holds enough lengths.
    boolean covered(Panel panel);

    /// The verdict on a panel that covers it.
    Outcome outcome(Panel panel);
  }

  /// A quantity grows with a power of n.
  ///
  /// @param setting where
  /// @param spec the mechanism
  /// @param quantity what grows
  /// @param exponent the paper's
  public record Grows(Setting setting, String spec, Quantity quantity, double exponent)
      implements Measured {
    @Override
    public List<String> specs() {
      return List.of(spec);
    }

    @Override
    public boolean covered(Panel panel) {
      return curve(panel, spec, quantity)
          .filter(c -> c.samples().size() >= LEAST_LENGTHS && c.largest() >= LARGEST / 2)
          .isPresent();
    }

    @Override
    public Outcome outcome(Panel panel) {
      ScalingFit fit = ScalingFit.of(curve(panel, spec, quantity).orElseThrow()).orElseThrow();
      String own =
          "n^"
              + Wording.exponent(fit)
              + " over "
              + Wording.length(fit.from())
              + "–"
              + Wording.length(fit.to())
              + (fit.settled() ? "" : ", local slopes still change");
      if (fit.high() - fit.low() > 1) {
        return Outcome.incomparable(own + ": the interval decides nothing");
      }
      boolean near = Math.abs(fit.exponent() - exponent) <= EXPONENT_TOLERANCE;
      return new Outcome(near ? Verdict.REPRODUCED : Verdict.NOT_REPRODUCED, own);
    }

    @Override
    public String words() {
      return "the fitted exponent of "
          + quantity.noun()
          + " of "
          + spec
          + " lies within "
          + EXPONENT_TOLERANCE
          + " of "
          + plain(exponent)
          + "; undecided where its interval is wider than ±0.5";
    }
  }

  /// A mechanism gets faster than a baseline from a length on, or never does.
  ///
  /// @param setting where
  /// @param spec the mechanism
  /// @param baseline the named exact baseline
  /// @param n the paper's crossing, NaN for never by 8192
  public record Crosses(Setting setting, String spec, String baseline, double n)
      implements Measured {
    @Override
    public List<String> specs() {
      return List.of(spec, baseline);
    }

    @Override
    public boolean covered(Panel panel) {
      Optional<Curve> own = curve(panel, spec, Quantity.TIME);
      Optional<Curve> other = curve(panel, baseline, Quantity.TIME);
      if (own.isEmpty() || other.isEmpty()) {
        return false;
      }
      List<Sample> common = Crossover.Common.of(own.get(), other.get()).curve();
      double low = Double.isNaN(n) ? LARGEST : n / 2;
      double high = Double.isNaN(n) ? LARGEST : Math.min(LARGEST, 2 * n);
      return common.size() >= LEAST_LENGTHS
          && common.getFirst().n() <= low
          && common.getLast().n() >= high;
    }

    @Override
    public Outcome outcome(Panel panel) {
      Crossover own =
          Crossover.of(
              curve(panel, spec, Quantity.TIME).orElseThrow(),
              curve(panel, baseline, Quantity.TIME).orElseThrow(),
              PanelAnswer.SEED);
      String words = Wording.crossover(own);
      if (!own.hasInterval()) {
        return Outcome.incomparable(words + ": one fork, no interval");
      }
      double low = own.low();
      double high = own.high();
      boolean holds;
      boolean fails;
      if (Double.isNaN(n)) {
        holds = Double.isInfinite(low);
        fails = Double.isFinite(high);
      } else {
        holds = low <= 2 * n && high >= n / 2 && near(own);
        fails = low > 2 * n || high < n / 2;
      }
      if (holds || fails) {
        return new Outcome(holds ? Verdict.REPRODUCED : Verdict.NOT_REPRODUCED, words);
      }
      return Outcome.incomparable(words + ": the interval decides nothing");
    }

    private boolean near(Crossover own) {
      return own.kind() == Crossover.Kind.REACHED && own.n() >= n / 2 && own.n() <= 2 * n;
    }

    @Override
    public String words() {
      return Double.isNaN(n)
          ? "the whole interval of the crossing of "
              + spec
              + " with "
              + baseline
              + " lies beyond n = 8,192"
          : spec
              + " crosses "
              + baseline
              + " within a factor of 2 of n = "
              + Wording.about(n)
              + "; not reproduced where the whole interval lies outside";
    }
  }

  /// A mechanism saves a factor against a baseline at one length.
  ///
  /// @param setting where
  /// @param spec the mechanism
  /// @param baseline what it is compared with
  /// @param n the length
  /// @param quantity what is saved
  /// @param times baseline over mechanism in the paper
  public record Times(
      Setting setting, String spec, String baseline, int n, Quantity quantity, double times)
      implements Measured {
    @Override
    public List<String> specs() {
      return List.of(spec, baseline);
    }

    @Override
    public boolean covered(Panel panel) {
      return holds(curve(panel, spec, quantity), n) && holds(curve(panel, baseline, quantity), n);
    }

    @Override
    public Outcome outcome(Panel panel) {
      Curve own = curve(panel, spec, quantity).orElseThrow();
      Curve other = curve(panel, baseline, quantity).orElseThrow();
      Ratio ratio = Ratio.of(other, own, n, PanelAnswer.SEED);
      if (quantity == Quantity.MEMORY) {
        double exact = ratio.value();
        return verdict(new Ratio(exact, exact, exact), Wording.digits(exact) + " times", times);
      }
      return verdict(ratio, ratio.words() + " times", times);
    }

    @Override
    public String words() {
      return quantity.noun() + " of " + baseline + " over that of " + spec + " " + bound(times);
    }
  }

  /// A mechanism generates a whole image faster than another, token by token.
  ///
  /// @param setting where
  /// @param spec the mechanism
  /// @param baseline what it is compared with
  /// @param n tokens of the image
  /// @param times baseline over mechanism in the paper
  public record WholeImage(Setting setting, String spec, String baseline, int n, double times)
      implements Measured {
    @Override
    public List<String> specs() {
      return List.of(spec, baseline);
    }

    @Override
    public boolean covered(Panel panel) {
      return spans(curve(panel, spec, Quantity.TIME))
          && spans(curve(panel, baseline, Quantity.TIME));
    }

    private boolean spans(Optional<Curve> curve) {
      return curve
          .filter(
              c -> c.samples().size() >= LEAST_LENGTHS && c.largest() >= n && c.smallest() <= n / 8)
          .isPresent();
    }

    @Override
    public Outcome outcome(Panel panel) {
      Curve own = curve(panel, spec, Quantity.TIME).orElseThrow();
      Curve other = curve(panel, baseline, Quantity.TIME).orElseThrow();
      Ratio ratio = ImageTime.ratio(other, own, n, PanelAnswer.SEED);
      String words =
          ratio.words()
              + " times: "
              + Wording.seconds(ImageTime.seconds(other, n))
              + " against "
              + Wording.seconds(ImageTime.seconds(own, n))
              + " for "
              + Wording.length(n)
              + " tokens of one attention layer";
      return verdict(ratio, words, times);
    }

    @Override
    public String words() {
      return "time of all "
          + Wording.length(n)
          + " tokens of "
          + baseline
          + " over that of "
          + spec
          + ", summed over measured contexts, "
          + bound(times);
    }
  }

  /// One setting of a mechanism has a smaller error than another, over seeds.
  ///
  /// @param better spec without a seed
  /// @param worse spec without a seed
  public record Errors(String better, String worse) implements Claim.Rule {
    /// Positions, head width and seeds of the paper's figure.
    public static final int N = 4096;

    /// Head width.
    public static final int DIM = 16;

    /// Number of seeds.
    public static final int SEEDS = 15;

    /// Numbers of features that are compared.
    public static final List<Integer> FEATURES = List.of(16, 64, 256);

    @Override
    public String words() {
      return "squared relative error of "
          + worse
          + " over that of "
          + better
          + ", means over "
          + SEEDS
          + " seeds, exceeds 1 with its whole 95 % bootstrap interval at every number of features"
          + " of "
          + FEATURES;
    }

    /// The verdict.
    ///
    /// @param betterErrors squared errors by number of features, one per seed
    /// @param worseErrors the same of the other
    public static Outcome outcome(List<double[]> betterErrors, List<double[]> worseErrors) {
      List<String> words = new ArrayList<>();
      boolean all = true;
      boolean any = false;
      for (int i = 0; i < betterErrors.size(); i++) {
        Ratio ratio = MeanRatio.of(worseErrors.get(i), betterErrors.get(i), PanelAnswer.SEED);
        words.add("m = " + FEATURES.get(i) + ": " + ratio.words() + " times");
        all &= ratio.above(1);
        any |= ratio.below(1);
      }
      String own = String.join("; ", words);
      if (all || any) {
        return new Outcome(all ? Verdict.REPRODUCED : Verdict.NOT_REPRODUCED, own);
      }
      return Outcome.incomparable(own + ": an interval holds 1");
    }
  }

  /// A claim that cannot be looked at here.
  ///
  /// @param why the reason
  public record Closed(String why) implements Claim.Rule {
    @Override
    public String words() {
      return "none: " + why;
    }
  }

  /// At least half of the paper's factor, and at least 1; for factors below 1, below 1.
  private static Outcome verdict(Ratio ratio, String words, double times) {
    if (!ratio.hasInterval()) {
      return Outcome.incomparable(words + ": one fork, no interval");
    }
    double least = Math.max(1, times / 2);
    boolean holds = times < 1 ? ratio.below(1) : ratio.above(least);
    boolean fails = times < 1 ? ratio.above(1) : ratio.below(least);
    if (holds || fails) {
      return new Outcome(holds ? Verdict.REPRODUCED : Verdict.NOT_REPRODUCED, words);
    }
    return Outcome.incomparable(words + ": the interval decides nothing");
  }

  private static String bound(double times) {
    return times < 1
        ? "lies below 1 with its whole interval"
        : "exceeds "
            + plain(Math.max(1, times / 2))
            + " with its whole interval"
            + (times / 2 > 1 ? " (half the paper's)" : "");
  }

  /// Three significant digits, none after the point of a whole number.
  static String plain(double value) {
    return value == Math.rint(value)
        ? String.format(Locale.ROOT, "%,d", Math.round(value))
        : Wording.digits(value);
  }

  private static boolean holds(Optional<Curve> curve, int n) {
    return curve.filter(c -> c.samples().stream().anyMatch(s -> s.n() == n)).isPresent();
  }

  private static Optional<Curve> curve(Panel panel, String spec, Quantity quantity) {
    return panel.series().stream()
        .filter(s -> s.spec().equals(spec))
        .findFirst()
        .flatMap(quantity::of);
  }
}
