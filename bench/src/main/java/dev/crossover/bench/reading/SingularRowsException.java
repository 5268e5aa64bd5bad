// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.Arrays;
import java.util.List;

/// Attention rows of some tokens are linearly dependent, so that a partial correlation among them
/// has no meaning.
public final class SingularRowsException extends IllegalArgumentException {
  private static final long serialVersionUID = 1L;

  /// Tokens of the test; none where the message says all.
  private final int[] nodes;

  /// The token whose row adds nothing to those before it.
  private final int dependent;

  /// @param nodes the tokens of the test
  /// @param dependent the one whose row adds nothing to those before it
  SingularRowsException(int[] nodes, int dependent) {
    super(message(Arrays.toString(nodes), Integer.toString(dependent)));
    this.nodes = nodes.clone();
    this.dependent = dependent;
  }

  /// The same message with the tokens' names.
  String message(List<String> names) {
    return nodes.length == 0
        ? String.valueOf(getMessage())
        : message(
            Arrays.stream(nodes).mapToObj(names::get).toList().toString(), names.get(dependent));
  }

  private static String message(String tokens, String dependent) {
    return "attention rows of a test must be linearly independent, but among the tokens "
        + tokens
        + " the row of "
        + dependent
        + " is a combination of the others";
  }

  /// @param tokens number of rows
  /// @param rank how many of them are independent
  SingularRowsException(int tokens, int rank) {
    super(
        "attention rows of the tokens must be linearly independent, but the "
            + tokens
            + " rows have rank "
            + rank
            + ": their covariance is singular, and tests that condition on more than "
            + Math.max(0, rank - 2)
            + " tokens mean nothing (fewer tokens, more of the mechanism's features or landmarks,"
            + " or a max order of at most "
            + Math.max(0, rank - 2)
            + " would do)");
    this.nodes = new int[0];
    this.dependent = -1;
  }
}
