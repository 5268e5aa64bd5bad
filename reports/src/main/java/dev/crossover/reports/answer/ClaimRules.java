// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.Student;
import dev.crossover.reports.answer.Claim.Outcome;
import dev.crossover.reports.answer.Claim.Setting;
import dev.crossover.reports.answer.Claim.Verdict;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// The kinds of rules a [Claim] can have.
public final class ClaimRules {
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
      return this == TIME ? series.time() : series.bytes(Metrics.COUNTED_BYTES);
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
      Curve curve = curve(panel, spec, quantity).orElseThrow();
      Optional<ScalingFit> fit =
          quantity == Quantity.MEMORY ? ScalingFit.counted(curve) : ScalingFit.of(curve);
      return Judgement.growth(fit.orElseThrow(), exponent);
    }

    @Override
    public String words() {
      return "the exponent of "
          + quantity.noun()
          + " of "
          + spec
          + " over the upper half of the lengths, and every local slope there, lie within "
          + Judgement.EXPONENT_DISTANCE
          + " of "
          + Judgement.plain(exponent);
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
      return Judgement.crossing(
          Crossover.of(
              curve(panel, spec, Quantity.TIME).orElseThrow(),
              curve(panel, baseline, Quantity.TIME).orElseThrow()),
          n);
    }

    @Override
    public String words() {
      return Double.isNaN(n)
          ? "the whole interval of the crossing of "
              + spec
              + " with "
              + baseline
              + " lies beyond n = 8,192"
          : "the whole interval of the crossing of "
              + spec
              + " with "
              + baseline
              + " lies within a factor of "
              + Judgement.plain(Judgement.CROSSING_FACTOR)
              + " of n = "
              + Wording.about(n);
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
      Ratio ratio = Ratio.of(other, own, n);
      return Judgement.factor(
          quantity == Quantity.MEMORY ? Ratio.exact(ratio.value()) : ratio, "", times);
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
      String seconds =
          ": "
              + Wording.seconds(ImageTime.seconds(other, n))
              + " against "
              + Wording.seconds(ImageTime.seconds(own, n))
              + " for "
              + Wording.length(n)
              + " tokens of one attention layer";
      return Judgement.factor(ImageTime.ratio(other, own, n), seconds, times);
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

  /// A rule on what is computed rather than timed.
  public sealed interface Computed extends Claim.Rule
      permits Errors, Spectra, TrainedRules.Trained, TrainedRules.Evaluated {
    /// What it is computed from, as text.
    String from();
  }

  /// One setting of a mechanism has a smaller error than another, over seeds.
  ///
  /// @param better spec without a seed
  /// @param worse spec without a seed
  public record Errors(String better, String worse) implements Computed {
    /// Positions and head width of the paper's figure.
    public static final int N = 4096;

    /// Head width.
    public static final int DIM = 16;

    /// Number of seeds: the paper's 15 do not decide about orthogonal features.
    public static final int SEEDS = 120;

    /// Factor around 1 within which there is no difference.
    public static final double NO_DIFFERENCE = 1.25;

    /// Numbers of features that are compared.
    public static final List<Integer> FEATURES = List.of(16, 64, 256);

    @Override
    public String from() {
      return "Gaussian inputs, computed";
    }

    @Override
    public String words() {
      return "squared relative error of "
          + worse
          + " over that of "
          + better
          + ", geometric mean over "
          + SEEDS
          + " seeds, exceeds 1 with its whole interval at every number of features of "
          + FEATURES
          + "; contradicted where it lies below 1 at one of them, or within a factor of "
          + Judgement.plain(NO_DIFFERENCE)
          + " of 1 at all of them";
    }

    /// The verdict.
    ///
    /// @param betterErrors squared errors by number of features, one per seed
    /// @param worseErrors the same of the other
    public static Outcome outcome(List<double[]> betterErrors, List<double[]> worseErrors) {
      List<String> words = new ArrayList<>();
      List<String> open = new ArrayList<>();
      boolean all = true;
      boolean any = false;
      boolean none = true;
      for (int i = 0; i < betterErrors.size(); i++) {
        Ratio ratio = Ratio.paired(worseErrors.get(i), betterErrors.get(i));
        words.add("m = " + FEATURES.get(i) + ": " + ratio.words() + " times");
        all &= ratio.above(1);
        any |= ratio.below(1);
        none &= ratio.above(1 / NO_DIFFERENCE) && ratio.below(NO_DIFFERENCE) && !ratio.above(1);
        if (!ratio.above(1) && !ratio.below(1)) {
          open.add("m = " + FEATURES.get(i));
        }
      }
      String own = String.join("; ", words);
      if (all || any || none) {
        return Outcome.of(all ? Verdict.REPRODUCED : Verdict.CONTRADICTED, own);
      }
      return Outcome.undecided(own, "the interval holds 1 at " + String.join(" and ", open));
    }
  }

  /// Attention matrices of a trained model are close to low rank, more so in its highest layer.
  ///
  /// @param layers inputs that hold a layer's queries and keys, the lowest layer first
  /// @param n positions
  public record Spectra(List<String> layers, int n) implements Computed {
    /// Share of the singular values' sum that the largest quarter of them must exceed.
    public static final double SKEWED = 0.5;

    /// Copies the list.
    public Spectra {
      layers = List.copyOf(layers);
    }

    @Override
    public String from() {
      return "built-in language model, held-out text, n = " + Wording.length(n) + ", computed";
    }

    @Override
    public String words() {
      return "the largest quarter of an attention matrix's singular values holds more than "
          + Wording.percent(SKEWED)
          + " of their sum in every layer, and more in the highest layer than in the lowest, mean"
          + " over heads, with the whole interval";
    }

    /// The verdict.
    ///
    /// @param shares by layer, the lowest first: share of the sum in the largest quarter, one a
    ///     head
    public Outcome outcome(List<double[]> shares) {
      double[] lowest = shares.getFirst();
      double[] highest = shares.getLast();
      Ratio higher =
          Ratio.of(Student.mean(highest) / Student.mean(lowest), Logs.of(highest), Logs.of(lowest));
      String own =
          Wording.percent(Student.mean(lowest))
              + " in the lowest layer, "
              + Wording.percent(Student.mean(highest))
              + " in the highest: "
              + higher.words(1)
              + " times";
      boolean all = true;
      boolean none = false;
      for (double[] layer : shares) {
        all &= Student.mean(layer) - Student.half(layer) > SKEWED;
        none |= Student.mean(layer) + Student.half(layer) < SKEWED;
      }
      if (none || higher.below(1)) {
        return Outcome.of(Verdict.CONTRADICTED, own);
      }
      return all && higher.above(1)
          ? Outcome.of(Verdict.REPRODUCED, own)
          : Outcome.undecided(own, "an interval over heads lies across its limit");
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

  private static String bound(double times) {
    double least =
        times < 1 ? times / Judgement.RATIO_FACTOR : Math.max(1, times / Judgement.RATIO_FACTOR);
    double most =
        times < 1 ? Math.min(1, times * Judgement.RATIO_FACTOR) : times * Judgement.RATIO_FACTOR;
    return "lies with its whole interval between "
        + Judgement.plain(least)
        + " and "
        + Judgement.plain(most)
        + " (within a factor of "
        + Judgement.plain(Judgement.RATIO_FACTOR)
        + " of the paper's, on the same side of 1)";
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
