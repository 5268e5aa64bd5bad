package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;
import java.util.Arrays;

/// Exact softmax attention of one block of query rows over any stream of keys: the online softmax
/// (Milakov and Gimelshein, arXiv:1805.02867; Dao et al., arXiv:2205.14135), fused.
///
/// ```
/// tile.begin(query rows, scale)
/// tile.attend(keys, values, visible intervals)     any number of times, any key sets
/// tile.finish(output rows, log-sum-exp)
/// ```
///
/// A key attended twice counts twice. A row that saw no key ends as zeros with a log-sum-exp of −∞. A key
/// a row may not see never influences that row, not even when it or its value holds NaN. One instance
/// belongs to one worker.
public final class SoftmaxTile {
  private final int dim;
  private final int valueDim;
  private final float[] query;
  private final float[] numerator;
  private final float[] max;
  private final float[] denominator;
  private int rows;

  /// @param scratch allocator
  /// @param maxRows largest number of query rows in a block
  /// @param dim width of query and key rows
  /// @param valueDim width of value and output rows
  public SoftmaxTile(Scratch scratch, int maxRows, int dim, int valueDim) {
    this.dim = dim;
    this.valueDim = valueDim;
    this.query = scratch.floats((long) maxRows * dim);
    this.numerator = scratch.floats((long) maxRows * valueDim);
    this.max = scratch.floats(maxRows);
    this.denominator = scratch.floats(maxRows);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxRows, int dim, int valueDim) {
    return (long) maxRows * (dim + valueDim + 2) * Float.BYTES;
  }

  /// Number of query rows that fill a block well; a good `maxRows`.
  public static int preferredRows() {
    return 64;
  }

  /// Starts a block: takes `newRows` query rows and forgets everything before.
  ///
  /// @param q source, row r starts at `qo + r * ldq`
  /// @param scale factor on the dot products
  public void begin(float[] q, int qo, int ldq, int newRows, float scale) {
    rows = newRows;
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < dim; c++) {
        query[r * dim + c] = q[qo + r * ldq + c] * scale;
      }
    }
    Arrays.fill(numerator, 0, rows * valueDim, 0);
    Arrays.fill(max, 0, rows, Float.NEGATIVE_INFINITY);
    Arrays.fill(denominator, 0, rows, 0);
  }

  /// Starts a block of gathered query rows.
  ///
  /// @param index row numbers: row r is row `index[from + r]` of the source
  public void begin(
      float[] q, int qo, int ldq, int[] index, int from, int newRows, float scale) {
    rows = newRows;
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < dim; c++) {
        query[r * dim + c] = q[qo + index[from + r] * ldq + c] * scale;
      }
    }
    Arrays.fill(numerator, 0, rows * valueDim, 0);
    Arrays.fill(max, 0, rows, Float.NEGATIVE_INFINITY);
    Arrays.fill(denominator, 0, rows, 0);
  }

  /// Lets every row see all keys at positions `from … to - 1`.
  ///
  /// @param v values, the value of the key at position j starts at `vo + j * ldv`
  public void attend(KeyPanels keys, float[] v, int vo, int ldv, int from, int to) {
    for (int r = 0; r < rows; r++) {
      row(r, keys, v, vo, ldv, from, to, null, 0);
    }
  }

  /// Lets row r see the keys at positions `max(from, low[lo + r]) … min(to, high[ho + r]) - 1`.
  ///
  /// @param v values, the value of the key at position j starts at `vo + j * ldv`
  public void attend(
      KeyPanels keys, float[] v, int vo, int ldv, int from, int to,
      int[] low, int lo, int[] high, int ho) {
    for (int r = 0; r < rows; r++) {
      int begin = Math.max(from, low[lo + r]);
      row(r, keys, v, vo, ldv, begin, Math.min(to, high[ho + r]), null, 0);
    }
  }

  /// Lets row r see the keys at positions `from … to - 1` with an addition to each scaled score; −∞
  /// means *may not attend*.
  ///
  /// @param bias the addition for row r and the key at position j is at `bo + r * ldb + (j - from)`
  public void attendBiased(
      KeyPanels keys, float[] v, int vo, int ldv, int from, int to,
      float[] bias, int bo, int ldb) {
    for (int r = 0; r < rows; r++) {
      row(r, keys, v, vo, ldv, from, to, bias, bo + r * ldb - from);
    }
  }

  /// Divides and writes the output rows.
  ///
  /// @param out row r is written at `oo + r * ldo`
  public void finish(float[] out, int oo, int ldo) {
    for (int r = 0; r < rows; r++) {
      float inverse = denominator[r] == 0 ? 0 : 1 / denominator[r];
      for (int c = 0; c < valueDim; c++) {
        out[oo + r * ldo + c] = numerator[r * valueDim + c] * inverse;
      }
    }
  }

  /// Divides and writes the output rows and their log-sum-exp (natural logarithm, of the scaled scores).
  ///
  /// @param lse that of row r is written at `lo + r`; −∞ for a row that saw no key
  public void finish(float[] out, int oo, int ldo, float[] lse, int lo) {
    finish(out, oo, ldo);
    for (int r = 0; r < rows; r++) {
      lse[lo + r] =
          denominator[r] == 0
              ? Float.NEGATIVE_INFINITY
              : max[r] + (float) Math.log(denominator[r]);
    }
  }

  private void row(
      int r, KeyPanels keys, float[] v, int vo, int ldv, int from, int to,
      float @org.jspecify.annotations.Nullable [] bias, int biasOffset) {
    for (int j = from; j < to; j++) {
      float score = 0;
      for (int c = 0; c < dim; c++) {
        score = Math.fma(query[r * dim + c], keys.data[j * dim + c], score);
      }
      if (bias != null) {
        if (bias[biasOffset + j] == Float.NEGATIVE_INFINITY) {
          continue;
        }
        score += bias[biasOffset + j];
      }
      if (score > max[r]) {
        float rescale = (float) Math.exp(max[r] - score);
        max[r] = score;
        denominator[r] *= rescale;
        for (int c = 0; c < valueDim; c++) {
          numerator[r * valueDim + c] *= rescale;
        }
      }
      float p = (float) Math.exp(score - max[r]);
      denominator[r] += p;
      for (int c = 0; c < valueDim; c++) {
        numerator[r * valueDim + c] =
            Math.fma(p, v[vo + j * ldv + c], numerator[r * valueDim + c]);
      }
    }
  }
}
