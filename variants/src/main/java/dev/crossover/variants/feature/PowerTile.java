// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// One block of query rows against one block of keys of [Power]'s quadratic form, with the scratch
/// of one worker.
///
/// With r the last key that row i sees, a weight is `w_ij = x_ij^p exp(c_r − c_j)`, where `x = s +
/// sign(s) score_eps`. Where all rows see the whole block, the decay splits at the block's last key
/// e into `exp(c_r − c_e)` of the row and `exp(c_e − c_j)` of the key, neither above 1: no
/// exponential of a pair is formed. Keys that a row may not see are never used, padded ones are
/// copied as zeros.
final class PowerTile {
  /// Rows of a block.
  static final int BLOCK = 64;

  /// Weights w, where row r sees them.
  final float[] weights;

  /// Signed bases x.
  final float[] bases;

  private final Kernels kernels = Kernels.get();
  private final Mask mask;
  private final PowerDecays decays;
  private final int n;
  private final int d;
  private final int dv;
  private final int group;
  private final int keyHeads;
  private final int degree;
  private final float scale;
  private final float scoreEps;
  private final float[] copiedKeys;
  private final float[] copiedValues;
  private final float[] keyFactors;
  private final float[] exponents;
  private final float[] work;

  /// Rows of keys and values of the block, and where they start.
  float[] keys = new float[0];

  int keyOffset;
  float[] values = keys;
  int valueOffset;

  /// Number of query rows and of keys.
  int rows;

  int count;

  /// First query and first key.
  int firstRow;

  int firstKey;

  private int batch;
  private int keyHead;
  private boolean padded;
  private int last;

  /// @param gradients whether bases are kept beside weights
  PowerTile(
      Power power,
      AttentionShape shape,
      Mask mask,
      PowerDecays decays,
      boolean gradients,
      Scratch scratch) {
    this.mask = mask;
    this.decays = decays;
    n = shape.keySeqLen();
    d = shape.headDim();
    dv = shape.valueDim();
    group = shape.groupSize();
    keyHeads = shape.numKeyValueHeads();
    degree = power.degree();
    scale = (float) power.scaleOf(shape);
    scoreEps = (float) power.scoreEps();
    weights = scratch.floats(BLOCK * BLOCK);
    bases = scratch.floats(gradients ? BLOCK * BLOCK : 0);
    copiedKeys = scratch.floats(mask.hasKeyPadding() ? (long) BLOCK * d : 0);
    copiedValues = scratch.floats(mask.hasKeyPadding() ? (long) BLOCK * dv : 0);
    keyFactors = scratch.floats(BLOCK);
    exponents = scratch.floats(BLOCK);
    work = scratch.floats(kernels.transposedBScratch(BLOCK, Math.max(d, dv)));
  }

  /// Takes a block of keys and values.
  ///
  /// @return whether one of them is real
  boolean take(int ofKeyHead, int first, float[] k, float[] v) {
    keyHead = ofKeyHead;
    batch = keyHead / keyHeads;
    firstKey = first;
    count = Math.min(BLOCK, n - first);
    last = decays.lastReal(batch, first + count - 1);
    if (last < first) {
      return false;
    }
    keys = k;
    values = v;
    keyOffset = (keyHead * n + first) * d;
    valueOffset = (keyHead * n + first) * dv;
    padded = mask.nextPadding(batch, first, first + count) < first + count;
    if (padded) {
      copyRows(k, keyOffset, d, copiedKeys);
      copyRows(v, valueOffset, dv, copiedValues);
      keys = copiedKeys;
      values = copiedValues;
      keyOffset = 0;
      valueOffset = 0;
    }
    keyFactors();
    return true;
  }

  private void copyRows(float[] from, int at, int width, float[] to) {
    for (int j = 0; j < count; j++) {
      if (mask.isRealKey(batch, firstKey + j)) {
        System.arraycopy(from, at + j * width, to, j * width, width);
      } else {
        Arrays.fill(to, j * width, (j + 1) * width, 0);
      }
    }
  }

  /// exp(c_e − c_j), 0 for padding.
  private void keyFactors() {
    for (int j = 0; j < count; j++) {
      boolean real = !padded || mask.isRealKey(batch, firstKey + j);
      keyFactors[j] = real ? exponent(last, firstKey + j) : Float.NEGATIVE_INFINITY;
    }
    kernels.exp(count, 1, 0, keyFactors, 0, keyFactors, 0);
  }

  private float exponent(int from, int j) {
    return decays.decay() ? (float) (decays.at(keyHead, from) - decays.at(keyHead, j)) : 0;
  }

  /// Whether the block of keys is the one that the queries stand at.
  boolean diagonal() {
    return firstRow == firstKey;
  }

  /// Number of the block's keys that row r sees.
  int limit(int r) {
    return diagonal() ? r + 1 : count;
  }

  /// Takes a block of query rows and forms weights, and bases where they are kept.
  void weigh(int problem, int first, float[] q) {
    firstRow = first;
    rows = Math.min(BLOCK, n - first);
    products(d, q, (problem * n + first) * d, keys, keyOffset, weights);
    for (int r = 0; r < rows; r++) {
      int at = r * BLOCK;
      int limit = limit(r);
      kernels.scale(limit, scale, weights, at, weights, at);
      for (int j = at; j < at + limit && scoreEps > 0; j++) {
        weights[j] += Math.copySign(scoreEps, weights[j]);
      }
      if (bases.length > 0) {
        System.arraycopy(weights, at, bases, at, limit);
      }
      kernels.power(limit, 1, degree, weights, at);
      decay(r, weights);
    }
  }

  /// Turns bases into `∂w/∂s = p x^(p − 1) exp(c_r − c_j)`, times the factor on q·k.
  void slopes() {
    for (int r = 0; r < rows; r++) {
      int at = r * BLOCK;
      int limit = limit(r);
      kernels.power(limit, 1, degree - 1, bases, at);
      kernels.scale(limit, degree * scale, bases, at, bases, at);
      decay(r, bases);
    }
  }

  /// Products of query-side rows and key-side rows, at least where a row sees the key.
  void products(int width, float[] x, int xo, float[] y, int yo, float[] to) {
    if (diagonal()) {
      kernels.multiplyTransposedBLower(
          1, rows, count, width, x, xo, width, y, yo, width, to, 0, BLOCK, work, 0);
    } else {
      kernels.multiplyTransposedB(
          rows, count, width, x, xo, width, y, yo, width, to, 0, BLOCK, false, work, 0);
    }
  }

  /// `to[r] += Σ_j m[r,j] y[j]` over the keys that row r sees.
  void addToRows(int width, float[] m, float[] y, int yo, float[] to, int at) {
    if (diagonal()) {
      kernels.multiplyLower(rows, width, count, 0, m, 0, BLOCK, y, yo, width, to, at, width, true);
    } else {
      kernels.multiply(rows, width, count, m, 0, BLOCK, y, yo, width, to, at, width, true);
    }
  }

  /// `to[j] += Σ_r m[r,j] x[r]` over the rows that see key j.
  void addToKeys(int width, float[] m, float[] x, int xo, float[] to, int at) {
    if (diagonal()) {
      kernels.multiplyTransposedLower(rows, width, m, 0, BLOCK, x, xo, width, to, at, width, true);
    } else {
      kernels.multiplyTransposedA(
          count, width, rows, m, 0, BLOCK, x, xo, width, to, at, width, true);
    }
  }

  /// Multiplies what row r sees with exp(c_r − c_j), and with 0 for padding.
  private void decay(int r, float[] m) {
    if (!decays.decay() && !padded) {
      return;
    }
    int at = r * BLOCK;
    int limit = limit(r);
    int seen = decays.lastReal(batch, firstRow + r);
    if (!diagonal()) {
      kernels.multiplyElements(limit, m, at, keyFactors, 0, m, at);
      if (decays.decay()) {
        kernels.scale(limit, (float) Math.exp(exponent(seen, last)), m, at, m, at);
      }
      return;
    }
    if (seen < firstKey) {
      Arrays.fill(m, at, at + limit, 0);
      return;
    }
    for (int j = 0; j < limit; j++) {
      boolean real = !padded || mask.isRealKey(batch, firstKey + j);
      exponents[j] = real ? exponent(seen, firstKey + j) : Float.NEGATIVE_INFINITY;
    }
    kernels.exp(limit, 1, 0, exponents, 0, exponents, 0);
    kernels.multiplyElements(limit, m, at, exponents, 0, m, at);
  }

  /// The query head's key/value head, counted over the batch.
  int keyHeadOf(int problem) {
    return problem / group;
  }
}
