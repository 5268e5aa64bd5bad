// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.bench.tune.FrontRecord;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Records of a front as `crossover tune` writes them, for the problem of [Records#point]: eight
/// heads of 64, causal, two threads.
public final class FrontRecords {
  private FrontRecords() {}

  /// A setting that was tried, with errors of no width.
  ///
  /// @param n sequence length
  /// @param chosen error where settings are chosen
  /// @param other error on the other part; null for none
  public static FrontRecord of(String spec, int n, double chosen, @Nullable Double other) {
    return of(spec, n, null, chosen, other, List.of(chosen), null, "0123abc");
  }

  /// The same with all that tests vary.
  ///
  /// @param otherInput label of the input on which settings are judged; null for none
  /// @param perHead error of each head
  /// @param entropy of each head; null for none
  /// @param commit of the code
  static FrontRecord of(
      String spec,
      int n,
      @Nullable String otherInput,
      double chosen,
      @Nullable Double other,
      List<Double> perHead,
      @Nullable List<Double> entropy,
      String commit) {
    return new FrontRecord(
        FrontRecord.KIND,
        1,
        "captured",
        otherInput,
        n,
        8,
        64,
        "causal",
        2,
        7,
        spec.split(":")[0],
        spec,
        List.of(0.05, 0.1),
        1e9,
        new Interval(chosen, chosen, chosen),
        other == null ? null : new Interval(other, other, other),
        perHead,
        entropy,
        n,
        0.01,
        "Example CPU @ 2.5 GHz",
        commit);
  }
}
