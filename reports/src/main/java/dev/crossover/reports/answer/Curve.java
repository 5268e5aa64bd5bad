// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.Comparator;
import java.util.List;

/// One quantity of one mechanism against sequence length, at least one length, ascending, no length
/// twice.
///
/// @param label what the curve is called
/// @param samples one entry per length
public record Curve(String label, List<Sample> samples) {
  /// Sorts by length and validates.
  ///
  /// @throws IllegalArgumentException if there is no length, or one appears twice
  public Curve {
    samples = samples.stream().sorted(Comparator.comparingInt(Sample::n)).toList();
    if (samples.isEmpty()) {
      throw new IllegalArgumentException("samples must hold at least one length, but was empty");
    }
    for (int i = 1; i < samples.size(); i++) {
      if (samples.get(i).n() == samples.get(i - 1).n()) {
        throw new IllegalArgumentException(
            "samples must hold each length once, but held n = " + samples.get(i).n() + " twice");
      }
    }
  }

  /// The largest length.
  public int largest() {
    return samples.getLast().n();
  }

  /// The smallest length.
  public int smallest() {
    return samples.getFirst().n();
  }
}
