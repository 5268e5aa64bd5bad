// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// The running sums of linear attention over the keys of one head: S = Σ φ(k)vᵀ and z = Σ φ(k).
///
/// With a [FeatureMap.Scaling] both are relative to `exp(reference)`. With a key shift ε the part
/// of S and z that ε contributes is kept apart, as Σ v and the number of keys, because it does not
/// scale. Normalisers accumulate in double: they grow with the number of keys and all terms have
/// one sign. S accumulates a chunk's product at a time and, beyond [#PLAIN_KEYS] keys, with the
/// rounding error of every addition carried to the next (Kahan, CACM 1965).
final class LinearState {
  /// Keys up to which plain float32 additions to S are good enough.
  private static final int PLAIN_KEYS = 16_384;

  private final Kernels kernels = Kernels.get();
  private final int width;
  private final int valueDim;
  private final FeatureMap.Scaling scaling;
  private final float[] carried;
  private final double[] exactNormaliser;
  private final double[] exactValues;

  /// S, `[M, dv]`.
  final float[] sum;

  /// z, `[M]`, rounded from the exact sums.
  final float[] normaliser;

  /// Σ v, `[dv]`, rounded; kept only with a key shift.
  final float[] values;

  /// Logarithm of the scale that S and z are relative to.
  double reference;

  /// Number of keys taken.
  long keys;

  /// Whether S and z may be other than zero.
  boolean seen;

  LinearState(Scratch scratch, FeatureMap map, int valueDim, int maxKeys) {
    this.width = map.width();
    this.valueDim = valueDim;
    this.scaling = map.scaling();
    this.sum = scratch.floats((long) width * valueDim);
    this.carried = scratch.floats(maxKeys > PLAIN_KEYS ? sum.length : 0);
    this.normaliser = scratch.floats(width);
    this.exactNormaliser = scratch.doubles(width);
    int shifted = map.keyShift() == 0 ? 0 : valueDim;
    this.values = scratch.floats(shifted);
    this.exactValues = scratch.doubles(shifted);
  }

  /// Bytes the constructor allocates.
  static long bytes(int width, int valueDim, boolean shifted, int maxKeys) {
    long sums = (maxKeys > PLAIN_KEYS ? 2L : 1L) * width * valueDim;
    long floats = sums + width + (shifted ? valueDim : 0);
    return floats * Float.BYTES + (width + (shifted ? valueDim : 0L)) * Double.BYTES;
  }

  /// Bytes that must be kept between tokens: S and the exact sums.
  long bytes() {
    return (long) (sum.length + carried.length) * Float.BYTES
        + (long) (exactNormaliser.length + exactValues.length) * Double.BYTES;
  }

  /// Forgets all keys.
  void clear() {
    Arrays.fill(sum, 0);
    Arrays.fill(carried, 0);
    Arrays.fill(normaliser, 0);
    Arrays.fill(exactNormaliser, 0);
    Arrays.fill(values, 0);
    Arrays.fill(exactValues, 0);
    reference = scaling == FeatureMap.Scaling.MAXIMUM ? Double.NEGATIVE_INFINITY : 0;
    keys = 0;
    seen = false;
  }

  /// Starts from given sums instead of zero.
  void load(float[] initialSum, int so, float[] initialNormaliser, int no) {
    System.arraycopy(initialSum, so, sum, 0, sum.length);
    for (int a = 0; a < width; a++) {
      exactNormaliser[a] = initialNormaliser[no + a];
      normaliser[a] = initialNormaliser[no + a];
    }
    seen = true;
  }

  /// Expresses S and z relative to another reference.
  void rescale(double newReference) {
    double factor = factor(reference, newReference);
    reference = newReference;
    if (factor != 1) {
      kernels.scale(sum.length, (float) factor, sum, 0, sum, 0);
      kernels.scale(carried.length, (float) factor, carried, 0, carried, 0);
      for (int a = 0; a < width; a++) {
        exactNormaliser[a] *= factor;
        normaliser[a] = (float) exactNormaliser[a];
      }
    }
  }

  /// Adds a chunk's Kᵀ v to S.
  void add(float[] product) {
    if (carried.length == 0) {
      kernels.add(sum.length, sum, 0, product, 0, sum, 0);
      return;
    }
    for (int i = 0; i < sum.length; i++) {
      float before = sum[i];
      float term = product[i] + carried[i];
      float after = before + term;
      carried[i] = term - (after - before);
      sum[i] = after;
    }
  }

  /// Adds the column sums of a chunk's features and values to z and Σ v.
  void addNormaliser(float[] columnSums, float[] valueSums, int realKeys) {
    for (int a = 0; a < width; a++) {
      exactNormaliser[a] += columnSums[a];
      normaliser[a] = (float) exactNormaliser[a];
    }
    for (int c = 0; c < exactValues.length; c++) {
      exactValues[c] += valueSums[c];
      values[c] = (float) exactValues[c];
    }
    keys += realKeys;
    seen |= realKeys > 0;
  }

  /// Puts the keys of an earlier part of the sequence in front of this one's.
  void prepend(LinearState earlier) {
    double common =
        switch (scaling) {
          case NONE -> 0;
          case MAXIMUM -> Math.max(earlier.reference, reference);
          case DECAY -> earlier.reference + reference;
        };
    float before = (float) factor(earlier.reference, common);
    if (scaling == FeatureMap.Scaling.MAXIMUM) {
      rescale(common);
    }
    reference = common;
    kernels.axpy(sum.length, before, earlier.sum, 0, sum, 0);
    for (int a = 0; a < width; a++) {
      exactNormaliser[a] += before * earlier.exactNormaliser[a];
      normaliser[a] = (float) exactNormaliser[a];
    }
    for (int c = 0; c < exactValues.length; c++) {
      exactValues[c] += earlier.exactValues[c];
      values[c] = (float) exactValues[c];
    }
    keys += earlier.keys;
    seen |= earlier.seen;
  }

  /// `exp(from − to)`, 1 for equal references even when both are infinite.
  static double factor(double from, double to) {
    return from == to ? 1 : Math.exp(from - to);
  }
}
