// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.reports.answer.Claim.Outcome;
import dev.crossover.reports.answer.Claim.Verdict;
import java.util.Locale;

/// From a number with its interval and a paper's number to a verdict: the whole interval decides.
final class Judgement {
  /// Factor within which a ratio is the paper's.
  static final double RATIO_FACTOR = 1.5;

  /// Factor within which a crossing is the paper's.
  static final double CROSSING_FACTOR = 2;

  /// Distance within which an exponent is the paper's.
  static final double EXPONENT_DISTANCE = 0.2;

  private static final double LINEAR = 1;
  private static final double QUADRATIC = 2;

  private static final String ONE_FORK = "it was measured in one process only: no interval";

  private Judgement() {}

  /// A factor by which something is larger, against the paper's.
  ///
  /// @param ratio the own factor
  /// @param detail what follows the number, may be empty
  /// @param times the paper's factor; below 1 for a mechanism that loses
  static Outcome factor(Ratio ratio, String detail, double times) {
    boolean loses = times < 1;
    double paper = loses ? 1 / times : times;
    double least = Math.max(1, paper / RATIO_FACTOR);
    double most = paper * RATIO_FACTOR;
    double[] limits = loses ? new double[] {1 / most, 1 / least, 1} : new double[] {least, most, 1};
    String own = ratio.words(limits) + " times" + detail;
    if (!ratio.hasInterval()) {
      return Outcome.undecided(own, ONE_FORK);
    }
    double low = loses ? 1 / ratio.high() : ratio.low();
    double high = loses ? 1 / ratio.low() : ratio.high();
    if (low >= least && high <= most) {
      return Outcome.of(Verdict.REPRODUCED, own);
    }
    if (low > most) {
      return Outcome.of(Verdict.STRONGER, own);
    }
    if (high < 1) {
      return Outcome.of(Verdict.CONTRADICTED, own);
    }
    if (low >= 1 && high < least) {
      return Outcome.of(Verdict.WEAKER, own);
    }
    double limit = within(low, high, 1) ? 1 : within(low, high, least) ? least : most;
    return Outcome.undecided(
        own, "the interval holds " + plain(loses ? 1 / limit : limit) + ", a limit of the rule");
  }

  /// The length from which something is faster, against the paper's.
  ///
  /// @param own the own crossing
  /// @param n the paper's; NaN for never by the largest length
  static Outcome crossing(Crossover own, double n) {
    String words = Wording.crossover(own, n / CROSSING_FACTOR, n * CROSSING_FACTOR);
    if (!own.hasInterval()) {
      return Outcome.undecided(words, ONE_FORK);
    }
    double low = own.low();
    double high = own.high();
    boolean never = Double.isInfinite(low);
    if (Double.isNaN(n)) {
      if (never || Double.isFinite(high)) {
        return Outcome.of(never ? Verdict.REPRODUCED : Verdict.CONTRADICTED, words);
      }
      return Outcome.undecided(
          words, "the interval reaches to both sides of n = " + Wording.length(own.largest()));
    }
    double least = n / CROSSING_FACTOR;
    double most = n * CROSSING_FACTOR;
    if (never && own.largest() >= most) {
      return Outcome.of(Verdict.CONTRADICTED, words);
    }
    if (low >= least && high <= most) {
      return Outcome.of(Verdict.REPRODUCED, words);
    }
    if (high < least) {
      return Outcome.of(Verdict.STRONGER, words);
    }
    if (low > most && Double.isFinite(high)) {
      return Outcome.of(Verdict.WEAKER, words);
    }
    return Outcome.undecided(
        words,
        within(low, high, least)
            ? "the interval holds n = " + Wording.about(least) + ", a limit of the rule"
            : within(low, high, most) && own.largest() >= most
                ? "the interval holds n = " + Wording.about(most) + ", a limit of the rule"
                : "the interval is open beyond n = " + Wording.length(own.largest()));
  }

  /// An exponent against the paper's: the interval and every local slope of the range count.
  static Outcome growth(ScalingFit fit, double exponent) {
    String own =
        (fit.bends() ? "bends" : "n^" + Wording.exponent(fit))
            + " over "
            + Wording.range(fit)
            + ", local slopes "
            + Wording.slopes(fit);
    if (!fit.hasInterval()) {
      return Outcome.undecided(own, ONE_FORK);
    }
    double low = Math.min(fit.low(), fit.least());
    double high = Math.max(fit.high(), fit.most());
    double least = exponent - EXPONENT_DISTANCE;
    double most = exponent + EXPONENT_DISTANCE;
    boolean quadratic = exponent > (LINEAR + QUADRATIC) / 2;
    if (low >= least && high <= most) {
      return Outcome.of(Verdict.REPRODUCED, own);
    }
    if (quadratic ? low > most : high < least) {
      return Outcome.of(Verdict.STRONGER, own);
    }
    if (quadratic ? high < least : low > most) {
      boolean opposite =
          quadratic ? high < LINEAR + EXPONENT_DISTANCE : low > QUADRATIC - EXPONENT_DISTANCE;
      return Outcome.of(opposite ? Verdict.CONTRADICTED : Verdict.WEAKER, own);
    }
    return Outcome.undecided(
        own,
        fit.bends()
            ? "the curve bends, so that its growth depends on the lengths looked at"
            : "the interval or the local slopes reach beyond n^"
                + plain(within(low, high, least) ? least : most)
                + ", a limit of the rule");
  }

  private static boolean within(double low, double high, double limit) {
    return low < limit && high > limit;
  }

  /// Three significant digits, none after the point of a whole number.
  static String plain(double value) {
    return value == Math.rint(value)
        ? String.format(Locale.ROOT, "%,d", Math.round(value))
        : Wording.digits(value);
  }
}
