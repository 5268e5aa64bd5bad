// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// A term of the scores that is computed tile by tile, in both directions, so that no array of size
/// nq × nk exists: relative positions, forget gates.
public interface ScoreTerm {

  /// First key that a query may attend to, by position, not decreasing from one query to the next:
  /// tiles of keys before those of all their rows are skipped, neither their scores nor their
  /// gradients are asked for. What lies before it in other tiles must be −∞ in [#scores].
  default int firstKey(int query) {
    return 0;
  }

  /// Writes what is added to the scaled scores of some query rows and some keys; −∞ means *may not
  /// attend*. What lies beyond causal order may be anything: it is not used.
  ///
  /// @param firstQuery position of the first query
  /// @param queries number of queries, one after the other
  /// @param keys positions of the keys, ascending
  /// @param count number of keys
  /// @param to that of row r and key c is written at `at + r * ld + c`
  void scores(int firstQuery, int queries, int[] keys, int count, float[] to, int at, int ld);

  /// Takes the gradients of what [#scores] wrote, for the same tile; zero where a row may not
  /// attend.
  void gradients(int firstQuery, int queries, int[] keys, int count, float[] from, int at, int ld);
}
