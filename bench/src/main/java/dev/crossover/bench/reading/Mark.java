// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

/// What stands at one end of an edge of a partial ancestral graph; the order is that of the numbers
/// 0 to 3 in golden files.
public enum Mark {
  /// There is no edge.
  NONE,
  /// The graphs that explain the same independences disagree.
  CIRCLE,
  /// This token is no ancestor of the other one in any of them.
  ARROW,
  /// This token is an ancestor of the other one, or of a selection variable, in all of them.
  TAIL
}
