// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;

/// Exact softmax attention of one block of query rows over any stream of keys: the online softmax
/// (Milakov and Gimelshein, arXiv:1805.02867; Dao et al., arXiv:2205.14135), fused.
///
/// ```
/// tile.begin(query rows, scale)
/// tile.attend(keys, values, visible intervals)     any number of times, any key sets
/// tile.finish(output rows, log-sum-exp)
/// ```
///
/// Weights are taken relative to a score that may lie up to 60·ln 2 below the row's largest, so
/// rows of n keys stay finite for values up to 2⁶⁷/n. Scores may be of any size as long as they are
/// finite in units of log 2, below 2¹²⁷; large ones are as exact as a sum of float32 products. A
/// key attended twice counts twice. A row that saw no key ends as zeros with a log-sum-exp of −∞. A
/// key a row may not see never influences that row, not even when it or its value holds NaN; a NaN
/// that a row may see makes the row NaN. One instance belongs to one worker.
public final class SoftmaxTile {
  private final TileEngine engine;

  /// @param scratch allocator
  /// @param maxRows largest number of query rows in a block
  /// @param dim width of query and key rows
  /// @param valueDim width of value and output rows
  public SoftmaxTile(Scratch scratch, int maxRows, int dim, int valueDim) {
    engine =
        KernelSelection.VECTOR
            ? new VectorTile(scratch, maxRows, dim, valueDim)
            : new ScalarTile(scratch, maxRows, dim, valueDim);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxRows, int dim, int valueDim) {
    return KernelSelection.VECTOR
        ? VectorTile.bytes(maxRows, dim, valueDim)
        : ScalarTile.bytes(maxRows, dim, valueDim);
  }

  /// Number of query rows that fill a block well; a good `maxRows`.
  public static int preferredRows() {
    return KernelSelection.VECTOR ? VectorTile.preferredRows() : 64;
  }

  /// Starts a block: takes `newRows` query rows and forgets everything before.
  ///
  /// @param q source, row r starts at `qo + r * ldq`
  /// @param scale factor on the dot products
  public void begin(float[] q, int qo, int ldq, int newRows, float scale) {
    engine.begin(q, qo, ldq, null, 0, newRows, scale);
  }

  /// Starts a block of gathered query rows.
  ///
  /// @param index row numbers: row r is row `index[from + r]` of the source
  public void begin(float[] q, int qo, int ldq, int[] index, int from, int newRows, float scale) {
    engine.begin(q, qo, ldq, index, from, newRows, scale);
  }

  /// Lets every row see all keys at positions `from … to - 1`.
  ///
  /// @param v values, the value of the key at position j starts at `vo + j * ldv`
  public void attend(KeyPanels keys, float[] v, int vo, int ldv, int from, int to) {
    engine.attend(keys, v, vo, ldv, from, to, null, 0, null, 0, null, 0, 0);
  }

  /// Lets row r see the keys at positions `max(from, low[lo + r]) … min(to, high[ho + r]) - 1`.
  ///
  /// @param v values, the value of the key at position j starts at `vo + j * ldv`
  public void attend(
      KeyPanels keys,
      float[] v,
      int vo,
      int ldv,
      int from,
      int to,
      int[] low,
      int lo,
      int[] high,
      int ho) {
    engine.attend(keys, v, vo, ldv, from, to, low, lo, high, ho, null, 0, 0);
  }

  /// Lets row r see the keys at positions `from … to - 1` with an addition to each scaled score; −∞
  /// means *may not attend*.
  ///
  /// @param bias the addition for row r and the key at position j is at `bo + r * ldb + (j - from)`
  public void attendBiased(
      KeyPanels keys, float[] v, int vo, int ldv, int from, int to, float[] bias, int bo, int ldb) {
    engine.attend(keys, v, vo, ldv, from, to, null, 0, null, 0, bias, bo, ldb);
  }

  /// Lets row r see the keys at positions `max(from, low[lo + r]) … min(to, high[ho + r]) - 1` with
  /// an addition to each scaled score; −∞ means *may not attend*.
  ///
  /// @param bias the addition for row r and the key at position j is at `bo + r * ldb + (j - from)`
  public void attendBiased(
      KeyPanels keys,
      float[] v,
      int vo,
      int ldv,
      int from,
      int to,
      int[] low,
      int lo,
      int[] high,
      int ho,
      float[] bias,
      int bo,
      int ldb) {
    engine.attend(keys, v, vo, ldv, from, to, low, lo, high, ho, bias, bo, ldb);
  }

  /// Saves the block, to be restored and continued with other keys: per row its weighted values
  /// relative to a reference, not yet divided, and two marks, the sum of the weights and that
  /// reference as a base-2 logarithm; 0 and −∞ for a row that saw no key.
  ///
  /// A row that meets its keys in several blocks of queries costs two copies each time, instead of
  /// a division, a logarithm and an exponential.
  ///
  /// @param x row r is written at `xo + r * ldx`
  /// @param marks those of row r are written from `mo + r * ldm`
  public void suspend(float[] x, int xo, int ldx, float[] marks, int mo, int ldm) {
    engine.suspend(x, xo, ldx, null, 0, marks, mo, ldm);
  }

  /// Puts a block of gathered rows aside; row r becomes row `index[from + r]`.
  public void suspend(
      float[] x, int xo, int ldx, int[] index, int from, float[] marks, int mo, int ldm) {
    engine.suspend(x, xo, ldx, index, from, marks, mo, ldm);
  }

  /// Right after [#begin] of the same query rows: takes up what [#suspend] put aside.
  ///
  /// @param x row r starts at `xo + r * ldx`
  /// @param marks those of row r start at `mo + r * ldm`
  public void resume(float[] x, int xo, int ldx, float[] marks, int mo, int ldm) {
    engine.resume(x, xo, ldx, null, 0, marks, mo, ldm);
  }

  /// Takes up a block of gathered rows; row r is row `index[from + r]`.
  public void resume(
      float[] x, int xo, int ldx, int[] index, int from, float[] marks, int mo, int ldm) {
    engine.resume(x, xo, ldx, index, from, marks, mo, ldm);
  }

  /// Divides and writes the output rows.
  ///
  /// @param out row r is written at `oo + r * ldo`
  public void finish(float[] out, int oo, int ldo) {
    engine.finish(out, oo, ldo);
  }

  /// Divides and writes the output rows and their log-sum-exp (natural logarithm, of the scaled
  /// scores).
  ///
  /// @param lse that of row r is written at `lo + r`; −∞ for a row that saw no key
  public void finish(float[] out, int oo, int ldo, float[] lse, int lo) {
    finish(out, oo, ldo, lse, lo, 1);
  }

  /// Divides and writes the output rows and their log-sum-exp.
  ///
  /// @param lse that of row r is written at `lo + r * ldl`; −∞ for a row that saw no key
  public void finish(float[] out, int oo, int ldo, float[] lse, int lo, int ldl) {
    engine.finish(out, oo, ldo);
    engine.logSumExp(lse, lo, ldl);
  }
}
