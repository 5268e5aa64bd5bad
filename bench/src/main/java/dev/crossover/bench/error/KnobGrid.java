// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import java.util.List;

/// The settings of a [KnobCurve]: one parameter of a mechanism at several values, over seeds.
///
/// @param label what readers call it
/// @param spec the mechanism without the parameter
/// @param parameter the parameter's name, for example `num_features`
/// @param values of the parameter, in order
/// @param seeds seeds of random mechanisms
public record KnobGrid(
    String label, String spec, String parameter, List<Integer> values, int seeds) {

  /// Copies the values.
  public KnobGrid {
    values = List.copyOf(values);
  }

  /// The mechanism at one value, with each of its seeds.
  ///
  /// @throws IllegalArgumentException if the spec or parameter is not valid
  List<String> specs(ErrorProblem problem, int value) {
    return problem.seeded(ErrorProblem.with(spec, parameter, Integer.toString(value)), seeds);
  }

  /// The mechanism at all values, with each of its seeds.
  ///
  /// @throws IllegalArgumentException if the spec or parameter is not valid
  public List<String> specs(ErrorProblem problem) {
    return values.stream().flatMap(value -> specs(problem, value).stream()).toList();
  }
}
