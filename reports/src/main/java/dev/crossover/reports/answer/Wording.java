package dev.crossover.reports.answer;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Locale;

/// Numbers as people read them; the same everywhere, independent of the machine's locale.
public final class Wording {
  private static final String[] TIME_UNITS = {"ns", "µs", "ms", "s"};
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
  public static String about(double n) {
    double step = Math.pow(10, Math.floor(Math.log10(n)) - (n < 1000 ? 1 : 2));
    return String.format(Locale.ROOT, "%,d", Math.round(Math.rint(n / step) * step));
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
  public static String percent(double share) {
    if (Double.isNaN(share)) {
      return "–";
    }
    double value = share * 100;
    if (value != 0 && Math.abs(value) < 0.01) {
      return String.format(Locale.ROOT, "%.0e", value).replace("e-0", "e-") + " %";
    }
    return value == 0 ? "0 %" : rounded(value, 2) + " %";
  }

  /// Three significant digits without an exponent: `0.0123`, `12.3`, `1,230`; `–` for NaN.
  public static String digits(double value) {
    if (Double.isNaN(value)) {
      return "–";
    }
    double size = Math.abs(value);
    if (size >= 1000) {
      return String.format(Locale.ROOT, "%,.0f", value);
    }
    return size < 1e-6 ? "0" : rounded(value, 3);
  }

  private static String rounded(double value, int digits) {
    BigDecimal rounded =
        BigDecimal.valueOf(value).round(new MathContext(digits, RoundingMode.HALF_UP));
    int exponent = rounded.precision() - rounded.scale() - 1;
    return rounded
        .setScale(Math.max(0, digits - 1 - exponent), RoundingMode.HALF_UP)
        .toPlainString();
  }

  /// An exponent with half its interval: `1.98 ± 0.03`.
  public static String exponent(ScalingFit fit) {
    double half = (fit.high() - fit.low()) / 2;
    String centre = String.format(Locale.ROOT, "%.2f", fit.exponent() + 0.0).replace('-', '−');
    String width = Double.isFinite(half) ? String.format(Locale.ROOT, "%.2f", half) : "?";
    return (centre.equals("−0.00") ? "0.00" : centre) + " ± " + width;
  }

  /// A crossover for a table cell: `1,890 (1,700–2,150)`, `below 256`, `not by 8,192`.
  public static String crossover(Crossover crossover) {
    String doubt = crossover.doubtful() ? " ?" : "";
    return switch (crossover.kind()) {
      case REACHED -> about(crossover.n()) + interval(crossover);
      case BELOW_SMALLEST -> "below " + length(crossover.smallest()) + doubt;
      case NOT_REACHED -> "not by " + length(crossover.largest()) + doubt;
      case LOST_AGAIN -> "lost again by " + length(crossover.largest()) + doubt;
      case NO_COMMON_LENGTH -> "no common length";
    };
  }

  /// The interval in parentheses after a space, with open ends in words; empty without one.
  public static String interval(Crossover crossover) {
    if (!crossover.hasInterval()) {
      return "";
    }
    boolean openLow = crossover.low() == 0;
    boolean openHigh = Double.isInfinite(crossover.high());
    String low = openLow ? "below " + length(crossover.smallest()) : about(crossover.low());
    String high = openHigh ? "beyond " + length(crossover.largest()) : about(crossover.high());
    return " (" + low + (openLow || openHigh ? " to " : "–") + high + ")";
  }
}
