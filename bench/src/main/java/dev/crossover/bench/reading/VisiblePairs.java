// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.stream.IntStream;

/// Which inputs each output of a layer reads: all heads together, because the output projection
/// mixes them.
///
/// The residual connection, through which an output reads its own input, is not among the pairs;
/// [PathLengths] adds it.
public final class VisiblePairs {
  private final BitSet[] rows;

  private VisiblePairs(BitSet[] rows) {
    this.rows = rows;
  }

  /// Whether an output reads an input.
  @FunctionalInterface
  public interface Reads {
    /// Whether output `i` reads input `j`.
    boolean reads(int i, int j);
  }

  /// The pairs of n positions for which a rule holds.
  public static VisiblePairs of(int n, Reads rule) {
    BitSet[] rows = new BitSet[n];
    for (int i = 0; i < n; i++) {
      rows[i] = new BitSet(n);
      for (int j = 0; j < n; j++) {
        rows[i].set(j, rule.reads(i, j));
      }
    }
    return new VisiblePairs(rows);
  }

  /// The pairs that any of a layer's heads has.
  ///
  /// @throws IllegalArgumentException if there is none, or lengths differ
  public static VisiblePairs union(List<VisiblePairs> heads) {
    if (heads.isEmpty() || heads.stream().anyMatch(h -> h.size() != heads.getFirst().size())) {
      throw new IllegalArgumentException("heads must be at least one, of equal lengths");
    }
    return of(heads.getFirst().size(), (i, j) -> heads.stream().anyMatch(head -> head.reads(i, j)));
  }

  /// The pairs of weights that are not exactly zero, in any head.
  ///
  /// @param heads each `[n][n]`
  public static VisiblePairs ofWeights(double[][][] heads) {
    List<VisiblePairs> all = new ArrayList<>();
    for (double[][] head : heads) {
      all.add(of(head.length, (i, j) -> head[i][j] != 0));
    }
    return union(all);
  }

  /// Number of positions.
  public int size() {
    return rows.length;
  }

  /// Whether output `i` reads input `j`.
  public boolean reads(int i, int j) {
    return rows[i].get(j);
  }

  /// Number of pairs.
  public long count() {
    return IntStream.range(0, rows.length).mapToLong(i -> rows[i].cardinality()).sum();
  }

  BitSet row(int i) {
    return rows[i];
  }
}
