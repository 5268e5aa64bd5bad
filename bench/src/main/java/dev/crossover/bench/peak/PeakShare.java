// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peak;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.PeakRange;
import java.util.Locale;

/// A share of the peak, or why there is none: the peak moved among the samples that were taken with
/// it, or the share is above 100 %.
public final class PeakShare {
  private PeakShare() {}

  /// The share in percent as a table shows it, or `disturbed: …`.
  ///
  /// @param rate what was reached, in the peak's unit
  /// @param peak what the peak's loop reached between the samples
  public static String of(double rate, PeakRange peak) {
    String disturbance = disturbance(rate, peak);
    return disturbance.isEmpty()
        ? String.format(Locale.ROOT, "%.0f", 100 * rate / peak.median())
        : "disturbed: " + disturbance;
  }

  /// Why a share means nothing; empty when it is one.
  public static String disturbance(double rate, PeakRange peak) {
    double moved = peak.high() / peak.low() - 1;
    if (!(moved <= ResultRecord.PEAK_MOVES)) {
      return String.format(Locale.ROOT, "the peak moved by %.0f %%", 100 * moved);
    }
    return rate > peak.median()
        ? String.format(Locale.ROOT, "%.1f %% of the peak", 100 * rate / peak.median())
        : "";
  }

  /// The peak with its least and most, for example `205.3 (204.9–206.0)`.
  public static String words(PeakRange peak) {
    return String.format(Locale.ROOT, "%.1f (%.1f–%.1f)", peak.median(), peak.low(), peak.high());
  }
}
