// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.variants.lowrank.Luna.Activation;
import java.util.Arrays;

/// The causal core of [Luna] for one head, one chunk of tokens at a time: running sums of kᵀA and
/// Aᵀv answer the tokens of earlier chunks, triangular products those of the chunk itself.
///
/// ```
/// weigh     A = ω(K_p p_qᵀ / √d)
/// answer    B = softmax((q S₁ + lower(q kᵀ) A) / (√d · count))
///           y = (B S₂ + lower(B Aᵀ) v) / count
/// absorb    S₁ += kᵀ A,  S₂ += Aᵀ v
/// ```
///
/// One instance belongs to one worker.
public final class LunaChunk {
  /// Largest number of tokens or queries in a chunk.
  public static final int ROWS = 64;

  private final Kernels kernels = Kernels.get();
  private final Activation activation;
  private final int l;
  private final int d;
  private final int dv;
  private final float[] packQueries;
  private final float[] keyState;
  private final float[] valueState;
  private final float[] weights;
  private final float[] pairs;
  private final float[] scores;
  private final float[] transposed;
  private final int[] realBefore;
  private int seen;

  /// Queries of a block, `[ROWS, d]`.
  public final float[] query;

  /// Keys of the chunk, `[ROWS, d]`.
  public final float[] key;

  /// Values of the chunk, `[ROWS, dv]`.
  public final float[] value;

  /// Pack keys of the chunk, `[ROWS, d]`.
  public final float[] packKey;

  /// @param scratch allocator
  /// @param activation ω
  /// @param l length of the packed sequence
  /// @param d width of queries, keys and pack keys
  /// @param dv width of values
  public LunaChunk(Scratch scratch, Activation activation, int l, int d, int dv) {
    this.activation = activation;
    this.l = l;
    this.d = d;
    this.dv = dv;
    packQueries = scratch.floats((long) d * l);
    keyState = scratch.floats((long) d * l);
    valueState = scratch.floats((long) l * dv);
    weights = scratch.floats((long) ROWS * l);
    pairs = scratch.floats((long) ROWS * ROWS);
    scores = scratch.floats((long) ROWS * l);
    transposed = scratch.floats(transposeScratch(l, d));
    realBefore = scratch.ints(ROWS + 1);
    query = scratch.floats((long) ROWS * d);
    key = scratch.floats((long) ROWS * d);
    value = scratch.floats((long) ROWS * dv);
    packKey = scratch.floats((long) ROWS * d);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int l, int d, int dv) {
    long states = 2L * d * l + (long) l * dv;
    long rows = (long) ROWS * (2L * l + ROWS + 3L * d + dv) + ROWS + 1;
    return Float.BYTES * (states + rows + transposeScratch(l, d));
  }

  private static int transposeScratch(int l, int d) {
    Kernels kernels = Kernels.get();
    return Math.max(kernels.transposedBScratch(ROWS, d), kernels.transposedBScratch(ROWS, l));
  }

  /// Starts a head: takes its pack queries and forgets all tokens.
  ///
  /// @param pack row a starts at `po + a * ld`
  public void begin(float[] pack, int po, int ld) {
    float scale = (float) (1 / Math.sqrt(d));
    for (int a = 0; a < l; a++) {
      for (int c = 0; c < d; c++) {
        packQueries[c * l + a] = scale * pack[po + a * ld + c];
      }
    }
    Arrays.fill(keyState, 0);
    Arrays.fill(valueState, 0);
    seen = 0;
    realBefore[0] = 0;
  }

  /// Pack weights of the first rows of [#packKey]; all tokens count as real until [#hide].
  public void weigh(int rows) {
    kernels.multiply(rows, l, d, packKey, 0, d, packQueries, 0, l, scores, 0, l, false);
    if (activation == Activation.ELU_PLUS_ONE) {
      kernels.eluPlusOne(rows * l, scores, 0, weights, 0);
    } else {
      kernels.softplus2(rows * l, scores, 0, weights, 0);
    }
    for (int r = 0; r < rows; r++) {
      realBefore[r + 1] = realBefore[r] + 1;
    }
  }

  /// Removes a token of a chunk of `rows` from all sums and counts.
  public void hide(int row, int rows) {
    Arrays.fill(key, row * d, (row + 1) * d, 0);
    Arrays.fill(value, row * dv, (row + 1) * dv, 0);
    Arrays.fill(weights, row * l, (row + 1) * l, 0);
    for (int r = row; r < rows; r++) {
      realBefore[r + 1]--;
    }
  }

  /// Outputs of the first `queries` rows of [#query]; row r sees the first `visible + r` tokens of
  /// the chunk, all `rows` at most, and all tokens before it.
  ///
  /// @param out row r is written at `oo + r * ldo`
  public void answer(int queries, int visible, int rows, float[] out, int oo, int ldo) {
    kernels.multiply(queries, l, d, query, 0, d, keyState, 0, l, scores, 0, l, false);
    kernels.multiplyTransposedB(
        queries, rows, d, query, 0, d, key, 0, d, pairs, 0, ROWS, false, transposed, 0);
    kernels.multiplyLower(
        queries, l, rows, visible - 1, pairs, 0, ROWS, weights, 0, l, scores, 0, l, true);
    for (int r = 0; r < queries; r++) {
      float mean = inverseCount(visible + r, rows);
      float scale = (float) (mean / Math.sqrt(d));
      kernels.scale(l, scale, scores, r * l, scores, r * l);
      kernels.softmax(l, scores, r * l);
    }
    kernels.multiply(queries, dv, l, scores, 0, l, valueState, 0, dv, out, oo, ldo, false);
    kernels.multiplyTransposedB(
        queries, rows, l, scores, 0, l, weights, 0, l, pairs, 0, ROWS, false, transposed, 0);
    kernels.multiplyLower(
        queries, dv, rows, visible - 1, pairs, 0, ROWS, value, 0, dv, out, oo, ldo, true);
    for (int r = 0; r < queries; r++) {
      kernels.scale(dv, inverseCount(visible + r, rows), out, oo + r * ldo, out, oo + r * ldo);
    }
  }

  /// 1 / the number of real tokens a query sees; 0 if there is none.
  private float inverseCount(int visible, int rows) {
    int count = seen + realBefore[Math.min(visible, rows)];
    return count == 0 ? 0 : 1f / count;
  }

  /// Adds the chunk's tokens to the running sums.
  public void absorb(int rows) {
    kernels.multiplyTransposedA(d, l, rows, key, 0, d, weights, 0, l, keyState, 0, l, true);
    kernels.multiplyTransposedA(l, dv, rows, weights, 0, l, value, 0, dv, valueState, 0, dv, true);
    seen += realBefore[rows];
  }

  /// Copies the state out of this head, to go on later.
  public void save(float[] keyStates, int ko, float[] valueStates, int vo) {
    System.arraycopy(keyState, 0, keyStates, ko, d * l);
    System.arraycopy(valueState, 0, valueStates, vo, l * dv);
  }

  /// Takes up a saved state of `tokens` real tokens.
  public void restore(float[] keyStates, int ko, float[] valueStates, int vo, int tokens) {
    System.arraycopy(keyStates, ko, keyState, 0, d * l);
    System.arraycopy(valueStates, vo, valueState, 0, l * dv);
    seen = tokens;
  }
}
