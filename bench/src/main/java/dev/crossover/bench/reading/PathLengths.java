// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.BitSet;
import java.util.List;

/// How many layers until outputs depend on inputs, counted by breadth-first search: the last column
/// of Vaswani et al. (arXiv:1706.03762), table 1, in layers and not in O().
///
/// Every output reads its own input besides its pairs (the residual connection). What is counted is
/// dependence through values, not its strength.
///
/// @param n positions
/// @param pairs pairs of one layer, mean over layers taken in turn
/// @param layers the largest number of layers from any input to any output that is to depend on it;
///     -1 if some never does
/// @param mean mean number of layers over the inputs and outputs that differ and meet
/// @param never pairs of input and output that never meet
public record PathLengths(int n, double pairs, int layers, double mean, long never) {

  /// Counts the layers.
  ///
  /// @param inTurn the layers, the one next to the input first, repeated as long as need be
  /// @param causal whether outputs are to depend on inputs up to their own position only
  /// @throws IllegalArgumentException if there is no layer, or lengths differ
  public static PathLengths of(List<VisiblePairs> inTurn, boolean causal) {
    if (inTurn.isEmpty() || inTurn.stream().anyMatch(l -> l.size() != inTurn.getFirst().size())) {
      throw new IllegalArgumentException("layers must be at least one, of equal lengths");
    }
    int n = inTurn.getFirst().size();
    BitSet[] seen = new BitSet[n];
    for (int i = 0; i < n; i++) {
      seen[i] = new BitSet(n);
      seen[i].set(i);
    }
    long targets = causal ? (long) n * (n - 1) / 2 : (long) n * (n - 1);
    long reached = 0;
    long sum = 0;
    int last = 0;
    int idle = 0;
    for (int layer = 1; reached < targets && idle < inTurn.size(); layer++) {
      VisiblePairs pairs = inTurn.get((layer - 1) % inTurn.size());
      BitSet[] next = new BitSet[n];
      boolean changed = false;
      for (int i = 0; i < n; i++) {
        next[i] = (BitSet) seen[i].clone();
        BitSet row = pairs.row(i);
        for (int j = row.nextSetBit(0); j >= 0; j = row.nextSetBit(j + 1)) {
          next[i].or(seen[j]);
        }
        int before = count(seen[i], i, causal);
        int entered = count(next[i], i, causal) - before;
        changed |= next[i].cardinality() > seen[i].cardinality();
        if (entered > 0) {
          reached += entered;
          sum += (long) entered * layer;
          last = layer;
        }
      }
      seen = next;
      idle = changed ? 0 : idle + 1;
    }
    double pairs = inTurn.stream().mapToLong(VisiblePairs::count).sum() / (double) inTurn.size();
    double mean = reached == 0 ? 0 : (double) sum / reached;
    return new PathLengths(n, pairs, reached == targets ? last : -1, mean, targets - reached);
  }

  private static int count(BitSet row, int i, boolean causal) {
    return causal ? row.get(0, i).cardinality() : row.cardinality() - 1;
  }

  /// Whether some output never depends on an input that it should.
  public boolean unreachable() {
    return layers < 0;
  }
}
