// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import org.jspecify.annotations.Nullable;

/// What [SoftmaxTile] needs done, by scalar or by vector code; its documentation applies.
interface TileEngine {

  /// Starts a block; row r is row `index[from + r]` of the source, or row r where `index` is null.
  void begin(
      float[] q, int qo, int ldq, int @Nullable [] index, int from, int newRows, float scale);

  /// Row r sees the keys `max(from, low[lo + r]) … min(to, high[ho + r]) - 1`, or `from … to - 1`
  /// where `low` is null; `bias`, where given, is added.
  void attend(
      KeyPanels keys,
      float[] v,
      int vo,
      int ldv,
      int from,
      int to,
      int @Nullable [] low,
      int lo,
      int @Nullable [] high,
      int ho,
      float @Nullable [] bias,
      int bo,
      int ldb);

  /// Puts sums and references aside; row r goes to row `index[from + r]`, or to row r where `index`
  /// is null.
  void suspend(
      float[] x, int xo, int ldx, int @Nullable [] index, int from, float[] marks, int mo, int ldm);

  /// Takes up what [#suspend] put aside.
  void resume(
      float[] x, int xo, int ldx, int @Nullable [] index, int from, float[] marks, int mo, int ldm);

  /// Writes the quotients.
  void finish(float[] out, int oo, int ldo);

  /// Writes the log-sum-exps, that of row r at `lo + r * ldl`.
  void logSumExp(float[] lse, int lo, int ldl);
}
