// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.conformance;

import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/// What became of one golden file in one mechanism.
///
/// @param file the file's name
/// @param mechanism the mechanism's name and parameters, as on the command line
/// @param status the verdict
/// @param detail why, for a file that deviated or cannot be replayed; otherwise empty
/// @param comparisons every comparison made, `out` first
/// @param skipped what the file holds and was not compared, each with the reason
public record ReplayResult(
    String file,
    String mechanism,
    Status status,
    String detail,
    List<Comparison> comparisons,
    List<String> skipped) {

  /// Verdicts.
  public enum Status {
    /// Everything compared is within tolerance.
    PASSED,
    /// Something is not.
    DEVIATED,
    /// The mechanism cannot be asked this question.
    CANNOT_REPLAY
  }

  /// Copies the lists.
  public ReplayResult {
    comparisons = List.copyOf(comparisons);
    skipped = List.copyOf(skipped);
  }

  /// Whether everything compared is within tolerance.
  public boolean passed() {
    return status == Status.PASSED;
  }

  /// Largest absolute difference over all comparisons; 0 when none was made.
  public double largestDeviation() {
    return comparisons.stream().mapToDouble(Comparison::deviation).max().orElse(0);
  }

  /// One line: verdict, file, mechanism, the comparison nearest to its tolerance, what was skipped.
  public String line() {
    StringBuilder line = new StringBuilder();
    line.append(
        switch (status) {
          case PASSED -> "passed    ";
          case DEVIATED -> "DEVIATED  ";
          case CANNOT_REPLAY -> "NO REPLAY ";
        });
    line.append(file).append("  ").append(mechanism);
    comparisons.stream()
        .max(Comparator.comparingDouble(Comparison::share))
        .ifPresent(
            worst ->
                line.append(
                    String.format(
                        Locale.ROOT,
                        "  %s deviates %.1e, allowed %.1e",
                        worst.name(),
                        worst.deviation(),
                        worst.allowed())));
    if (!detail.isEmpty()) {
      line.append("  ").append(detail);
    }
    if (!skipped.isEmpty()) {
      line.append("  (skipped: ").append(String.join("; ", skipped)).append(")");
    }
    return line.toString();
  }
}
