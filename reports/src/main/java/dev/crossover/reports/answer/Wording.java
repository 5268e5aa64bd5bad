// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Arrays;
import java.util.Locale;

/// Numbers as people read them; the same everywhere, independent of the machine's locale.
public final class Wording {
  private static final String[] TIME_UNITS = {"ns", "µs", "ms", "s"};
  private static final int MOST_DIGITS = 17;
  private static final String[] BYTE_UNITS = {"B", "KiB", "MiB", "GiB", "TiB"};

  private Wording() {}

  /// A measured length: `8,192`.
  public static String length(int n) {
    return String.format(Locale.ROOT, "%,d", n);
  }

  /// A number rounded to a whole one: `2,596`.
  public static String whole(double value) {
    return String.format(Locale.ROOT, "%,d", Math.round(value));
  }

  /// An interpolated length, two significant digits below 1,000 and three above: `1,890`.
  ///
  /// @param n the length
  /// @param limits values of which it must stay on the same side when rounded
  public static String about(double n, double... limits) {
    int digits = n < 1000 ? 2 : 3;
    return String.format(Locale.ROOT, "%,.0f", round(n, digits, limits));
  }

  /// A duration: `3.21 ms`; `–` for NaN.
  public static String seconds(double seconds) {
    if (!(seconds >= 0)) {
      return "–";
    }
    double value = seconds * 1e9;
    int unit = 0;
    while (value >= 999.5 && unit < TIME_UNITS.length - 1) {
      value /= 1000;
      unit++;
    }
    return digits(value) + " " + TIME_UNITS[unit];
  }

  /// A size: `1.5 MiB`; `–` for NaN.
  public static String bytes(double bytes) {
    if (!(bytes >= 0)) {
      return "–";
    }
    double value = bytes;
    int unit = 0;
    while (value >= 1023.5 && unit < BYTE_UNITS.length - 1) {
      value /= 1024;
      unit++;
    }
    return (unit == 0 ? Long.toString(Math.round(value)) : digits(value)) + " " + BYTE_UNITS[unit];
  }

  /// A share as a percentage with two significant digits: `3.1 %`; below 0.01 % in powers of ten.
  ///
  /// @param share the share
  /// @param limits shares of which it must stay on the same side when rounded: 0.1004 is `10.04 %`
  ///     beside a limit of 0.1
  public static String percent(double share, double... limits) {
    if (Double.isNaN(share)) {
      return "–";
    }
    double value = share * 100;
    if (value != 0 && Math.abs(value) < 0.01) {
      return String.format(Locale.ROOT, "%.0e", value).replace("e-0", "e-") + " %";
    }
    double[] scaled = Arrays.stream(limits).map(limit -> limit * 100).toArray();
    return value == 0 ? "0 %" : plain(round(value, 2, scaled), 2) + " %";
  }

  /// Three significant digits without an exponent: `0.0123`, `12.3`, `1,230`; `–` for NaN.
  ///
  /// @param value the number
  /// @param limits numbers of which it must stay on the same side when rounded: 0.9996 is `0.9996`
  ///     beside a limit of 1
  public static String digits(double value, double... limits) {
    if (Double.isNaN(value)) {
      return "–";
    }
    double size = Math.abs(value);
    if (size >= 1000) {
      return String.format(Locale.ROOT, "%,.0f", value);
    }
    return size < 1e-6 ? "0" : plain(round(value, 3, limits), 3);
  }

  /// Rounds to significant digits, to more of them where a value would otherwise change sides.
  private static BigDecimal round(double value, int digits, double... limits) {
    BigDecimal exact = BigDecimal.valueOf(value);
    for (int more = digits; more < MOST_DIGITS; more++) {
      BigDecimal rounded = exact.round(new MathContext(more, RoundingMode.HALF_UP));
      double there = rounded.doubleValue();
      if (Arrays.stream(limits)
          .allMatch(limit -> Double.compare(there, limit) == Double.compare(value, limit))) {
        return rounded;
      }
    }
    return exact;
  }

  /// Without an exponent, with at least so many significant digits.
  private static String plain(BigDecimal rounded, int digits) {
    int exponent = rounded.precision() - rounded.scale() - 1;
    return rounded
        .setScale(Math.max(Math.max(0, digits - 1 - exponent), kept(rounded)), RoundingMode.HALF_UP)
        .toPlainString();
  }

  private static int kept(BigDecimal rounded) {
    return Math.max(0, rounded.stripTrailingZeros().scale());
  }

  /// An exponent with half its interval: `1.98 ± 0.03`, `1.98` for a counted quantity, `1.98 ± ?`
  /// without an interval, and `bends, 0.83–1.41` with the local slopes of a curve that bends.
  public static String exponent(ScalingFit fit) {
    if (fit.bends()) {
      return "bends, " + slopes(fit);
    }
    double half = (fit.high() - fit.low()) / 2;
    String width = Double.isFinite(half) ? String.format(Locale.ROOT, "%.2f", half) : "?";
    return slope(fit.exponent()) + (half == 0 ? "" : " ± " + width);
  }

  /// The local slopes of a range: `0.83–1.41`.
  public static String slopes(ScalingFit fit) {
    String least = slope(fit.least());
    String most = slope(fit.most());
    return least.equals(most) ? least : least + "–" + most;
  }

  /// The lengths of a range: `1,024–8,192`.
  public static String range(ScalingFit fit) {
    return length(fit.from()) + "–" + length(fit.to());
  }

  private static String slope(double slope) {
    String text = String.format(Locale.ROOT, "%.2f", slope + 0.0).replace('-', '−');
    return text.equals("−0.00") ? "0.00" : text;
  }

  /// A crossover for a table cell: `1,890 (1,700–2,150)`, `below 256`, `not by 8,192`; with its
  /// interval where noise leaves the kind open, `not by 8,192 (5,100 to beyond 8,192)`.
  ///
  /// @param crossover the crossover
  /// @param limits lengths of which it must stay on the same side when rounded
  public static String crossover(Crossover crossover, double... limits) {
    String doubt = crossover.doubtful() ? interval(crossover, limits) : "";
    return switch (crossover.kind()) {
      case REACHED -> about(crossover.n(), limits) + interval(crossover, limits);
      case BELOW_SMALLEST -> "below " + length(crossover.smallest()) + doubt;
      case NOT_REACHED -> "not by " + length(crossover.largest()) + doubt;
      case LOST_AGAIN -> "lost again by " + length(crossover.largest()) + doubt;
      case NO_COMMON_LENGTH -> "no common length";
    };
  }

  /// The interval in parentheses after a space, with open ends in words; empty without one.
  public static String interval(Crossover crossover, double... limits) {
    if (!crossover.hasInterval()) {
      return "";
    }
    boolean openLow = crossover.low() == 0;
    boolean openHigh = Double.isInfinite(crossover.high());
    String low = openLow ? "below " + length(crossover.smallest()) : about(crossover.low(), limits);
    String high =
        openHigh ? "beyond " + length(crossover.largest()) : about(crossover.high(), limits);
    return " (" + low + (openLow || openHigh ? " to " : "–") + high + ")";
  }
}
