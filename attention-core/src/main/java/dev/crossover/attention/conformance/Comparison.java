// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.conformance;

/// One expected tensor beside what a mechanism computed.
///
/// @param name what was compared: `out`, `final_state`, …, or `out, token by token`
/// @param deviation largest absolute difference; infinite where a NaN or a wrong size came out
/// @param allowed the tolerance at the element that comes nearest to it or exceeds it most
/// @param share largest quotient of difference and tolerance; at most 1 when all elements are
///     within
public record Comparison(String name, double deviation, double allowed, double share) {

  /// Whether every element is within its tolerance.
  public boolean passed() {
    return share <= 1;
  }
}
