// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// A block of query rows, each of which is told the interval of keys it sees; the same for forward
/// and backward passes.
public interface RowIntervals {

  /// Row r sees the positions `from … to - 1`; none if `from >= to`.
  void see(int r, int from, int to);
}
