// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.FLOATS;
import static dev.crossover.attention.kernel.Lanes.INTS;
import static dev.crossover.attention.kernel.Lanes.L;

import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/// Vector forms of [PackedRows], from 256 bits on, where a vector of bytes is at least the smallest
/// there is. Four rows or four vectors of columns at a time, named one by one, because only then do
/// their sums stay in registers; at most ten registers are in use.
///
/// ```
/// low plane   (float) (byte & 15)          high plane   (float) (byte >>> 4)
/// ```
final class VectorPackedRows {
  private static final int LOW = 15;
  private static final int HALF = 4;
  private static final VectorSpecies<Byte> BYTES =
      VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(64, 8 * L)));

  private VectorPackedRows() {}

  /// L bytes without a sign.
  private static IntVector bytes(byte[] b, int at) {
    return (IntVector)
        ByteVector.fromArray(BYTES, b, at).convertShape(VectorOperators.ZERO_EXTEND_B2I, INTS, 0);
  }

  private static FloatVector floats(IntVector codes) {
    return (FloatVector) codes.convert(VectorOperators.I2F, 0);
  }

  static void restoreColumns(
      int dim,
      int bits,
      byte[] b,
      int bo,
      float[] scale,
      float[] minimum,
      int go,
      float[] y,
      int yo) {
    int stride = PackedRows.stride(dim, bits);
    int mask = (1 << bits) - 1;
    for (int plane = 0, first = 0; first < dim; plane++, first += stride) {
      int end = Math.min(dim, first + stride);
      int c = first;
      for (; c <= end - L; c += L) {
        IntVector codes = bytes(b, bo + c - first).lanewise(VectorOperators.LSHR, plane * bits);
        floats(codes.and(mask))
            .mul(FloatVector.fromArray(FLOATS, scale, go + c))
            .add(FloatVector.fromArray(FLOATS, minimum, go + c))
            .intoArray(y, yo + c);
      }
      ScalarPackedRows.restoreColumns(c, end, dim, bits, b, bo, scale, minimum, go, y, yo);
    }
  }

  /// Groups of whole vectors; a vector that begins inside a group and ends in the next one, which
  /// planes of other lengths make, is left to the scalar twin.
  static void restoreGroups(
      int dim,
      int bits,
      int group,
      byte[] b,
      int bo,
      float[] scale,
      float[] minimum,
      int go,
      float[] y,
      int yo) {
    int stride = PackedRows.stride(dim, bits);
    int mask = (1 << bits) - 1;
    for (int plane = 0, first = 0; first < dim; plane++, first += stride) {
      int end = Math.min(dim, first + stride);
      int c = first;
      for (; c <= end - L && first % L == 0; c += L) {
        int g = go + c / group;
        IntVector codes = bytes(b, bo + c - first).lanewise(VectorOperators.LSHR, plane * bits);
        floats(codes.and(mask)).mul(scale[g]).add(minimum[g]).intoArray(y, yo + c);
      }
      ScalarPackedRows.restoreGroups(c, end, dim, bits, group, b, bo, scale, minimum, go, y, yo);
    }
  }

  /// Rows of 8 bits, whole vectors of them.
  static void dotsOfBytes(
      int n, int dim, float[] x, int xo, float shift, byte[] b, int bo, float[] y, int yo) {
    int stride = dim;
    for (int j = 0; j < n; j += 4) {
      int last = n - 1 - j;
      int b0 = bo + j * stride;
      int b1 = b0 + Math.min(1, last) * stride;
      int b2 = b0 + Math.min(2, last) * stride;
      int b3 = b0 + Math.min(3, last) * stride;
      FloatVector s0 = FloatVector.zero(FLOATS);
      FloatVector s1 = s0;
      FloatVector s2 = s0;
      FloatVector s3 = s0;
      for (int c = 0; c < stride; c += L) {
        FloatVector part = FloatVector.fromArray(FLOATS, x, xo + c);
        s0 = floats(bytes(b, b0 + c)).fma(part, s0);
        s1 = floats(bytes(b, b1 + c)).fma(part, s1);
        s2 = floats(bytes(b, b2 + c)).fma(part, s2);
        s3 = floats(bytes(b, b3 + c)).fma(part, s3);
      }
      store(DotProducts.sumsOfFour(s0, s1, s2, s3).add(shift), last, n - j, y, yo + j);
    }
  }

  /// Rows of 4 bits, whole vectors of them in either plane.
  static void dotsOfHalves(
      int n, int dim, float[] x, int xo, float shift, byte[] b, int bo, float[] y, int yo) {
    int stride = dim / 2;
    for (int j = 0; j < n; j += 4) {
      int last = n - 1 - j;
      int b0 = bo + j * stride;
      int b1 = b0 + Math.min(1, last) * stride;
      int b2 = b0 + Math.min(2, last) * stride;
      int b3 = b0 + Math.min(3, last) * stride;
      FloatVector s0 = FloatVector.zero(FLOATS);
      FloatVector s1 = s0;
      FloatVector s2 = s0;
      FloatVector s3 = s0;
      for (int c = 0; c < stride; c += L) {
        FloatVector low = FloatVector.fromArray(FLOATS, x, xo + c);
        FloatVector high = FloatVector.fromArray(FLOATS, x, xo + stride + c);
        IntVector v0 = bytes(b, b0 + c);
        s0 = floats(v0.and(LOW)).fma(low, s0);
        s0 = floats(v0.lanewise(VectorOperators.LSHR, HALF)).fma(high, s0);
        IntVector v1 = bytes(b, b1 + c);
        s1 = floats(v1.and(LOW)).fma(low, s1);
        s1 = floats(v1.lanewise(VectorOperators.LSHR, HALF)).fma(high, s1);
        IntVector v2 = bytes(b, b2 + c);
        s2 = floats(v2.and(LOW)).fma(low, s2);
        s2 = floats(v2.lanewise(VectorOperators.LSHR, HALF)).fma(high, s2);
        IntVector v3 = bytes(b, b3 + c);
        s3 = floats(v3.and(LOW)).fma(low, s3);
        s3 = floats(v3.lanewise(VectorOperators.LSHR, HALF)).fma(high, s3);
      }
      store(DotProducts.sumsOfFour(s0, s1, s2, s3).add(shift), last, n - j, y, yo + j);
    }
  }

  /// Writes the first lanes, as many of four as there are rows; what a whole vector writes beyond
  /// them is written again by later rows.
  private static void store(FloatVector sums, int last, int left, float[] y, int yo) {
    if (L <= left) {
      sums.intoArray(y, yo);
      return;
    }
    y[yo] = sums.lane(0);
    if (last > 0) {
      y[yo + 1] = sums.lane(1);
    }
    if (last > 1) {
      y[yo + 2] = sums.lane(2);
    }
    if (last > 2) {
      y[yo + 3] = sums.lane(3);
    }
  }

  /// Rows of 8 bits: four vectors of columns in two groups at most, or one.
  static void mixOfBytes(
      int n,
      int dim,
      int group,
      float[] w,
      int wo,
      byte[] b,
      int bo,
      float[] scale,
      float[] minimum,
      int go,
      float[] y,
      int yo) {
    int groups = dim / group;
    int c = 0;
    for (; c <= dim - 4 * L && group % (2 * L) == 0; c += 4 * L) {
      FloatVector s0 = FloatVector.fromArray(FLOATS, y, yo + c);
      FloatVector s1 = FloatVector.fromArray(FLOATS, y, yo + c + L);
      FloatVector s2 = FloatVector.fromArray(FLOATS, y, yo + c + 2 * L);
      FloatVector s3 = FloatVector.fromArray(FLOATS, y, yo + c + 3 * L);
      float shift0 = 0;
      float shift1 = 0;
      for (int j = 0; j < n; j++) {
        int g0 = go + j * groups + c / group;
        int g1 = go + j * groups + (c + 2 * L) / group;
        int row = bo + j * dim + c;
        float weight = w[wo + j];
        FloatVector f0 = FloatVector.broadcast(FLOATS, weight * scale[g0]);
        FloatVector f1 = FloatVector.broadcast(FLOATS, weight * scale[g1]);
        shift0 += weight * minimum[g0];
        shift1 += weight * minimum[g1];
        s0 = floats(bytes(b, row)).fma(f0, s0);
        s1 = floats(bytes(b, row + L)).fma(f0, s1);
        s2 = floats(bytes(b, row + 2 * L)).fma(f1, s2);
        s3 = floats(bytes(b, row + 3 * L)).fma(f1, s3);
      }
      s0.add(shift0).intoArray(y, yo + c);
      s1.add(shift0).intoArray(y, yo + c + L);
      s2.add(shift1).intoArray(y, yo + c + 2 * L);
      s3.add(shift1).intoArray(y, yo + c + 3 * L);
    }
    for (; c < dim; c += L) {
      FloatVector s = FloatVector.fromArray(FLOATS, y, yo + c);
      float shift = 0;
      for (int j = 0; j < n; j++) {
        int g = go + j * groups + c / group;
        float weight = w[wo + j];
        shift += weight * minimum[g];
        FloatVector factor = FloatVector.broadcast(FLOATS, weight * scale[g]);
        s = floats(bytes(b, bo + j * dim + c)).fma(factor, s);
      }
      s.add(shift).intoArray(y, yo + c);
    }
  }

  /// Rows of 4 bits: two vectors of columns in either plane, each in one group, or one.
  static void mixOfHalves(
      int n,
      int dim,
      int group,
      float[] w,
      int wo,
      byte[] b,
      int bo,
      float[] scale,
      float[] minimum,
      int go,
      float[] y,
      int yo) {
    int groups = dim / group;
    int stride = dim / 2;
    int c = 0;
    boolean two = group % (2 * L) == 0 && stride % (2 * L) == 0;
    for (; c <= stride - 2 * L && two; c += 2 * L) {
      FloatVector low0 = FloatVector.fromArray(FLOATS, y, yo + c);
      FloatVector low1 = FloatVector.fromArray(FLOATS, y, yo + c + L);
      FloatVector high0 = FloatVector.fromArray(FLOATS, y, yo + stride + c);
      FloatVector high1 = FloatVector.fromArray(FLOATS, y, yo + stride + c + L);
      float lowShift = 0;
      float highShift = 0;
      for (int j = 0; j < n; j++) {
        int g0 = go + j * groups + c / group;
        int g1 = go + j * groups + (stride + c) / group;
        float weight = w[wo + j];
        FloatVector low = FloatVector.broadcast(FLOATS, weight * scale[g0]);
        FloatVector high = FloatVector.broadcast(FLOATS, weight * scale[g1]);
        lowShift += weight * minimum[g0];
        highShift += weight * minimum[g1];
        IntVector v0 = bytes(b, bo + j * stride + c);
        low0 = floats(v0.and(LOW)).fma(low, low0);
        high0 = floats(v0.lanewise(VectorOperators.LSHR, HALF)).fma(high, high0);
        IntVector v1 = bytes(b, bo + j * stride + c + L);
        low1 = floats(v1.and(LOW)).fma(low, low1);
        high1 = floats(v1.lanewise(VectorOperators.LSHR, HALF)).fma(high, high1);
      }
      low0.add(lowShift).intoArray(y, yo + c);
      low1.add(lowShift).intoArray(y, yo + c + L);
      high0.add(highShift).intoArray(y, yo + stride + c);
      high1.add(highShift).intoArray(y, yo + stride + c + L);
    }
    for (; c < stride; c += L) {
      FloatVector low = FloatVector.fromArray(FLOATS, y, yo + c);
      FloatVector high = FloatVector.fromArray(FLOATS, y, yo + stride + c);
      float lowShift = 0;
      float highShift = 0;
      for (int j = 0; j < n; j++) {
        int g0 = go + j * groups + c / group;
        int g1 = go + j * groups + (stride + c) / group;
        float weight = w[wo + j];
        lowShift += weight * minimum[g0];
        highShift += weight * minimum[g1];
        IntVector v = bytes(b, bo + j * stride + c);
        FloatVector lowFactor = FloatVector.broadcast(FLOATS, weight * scale[g0]);
        FloatVector highFactor = FloatVector.broadcast(FLOATS, weight * scale[g1]);
        low = floats(v.and(LOW)).fma(lowFactor, low);
        high = floats(v.lanewise(VectorOperators.LSHR, HALF)).fma(highFactor, high);
      }
      low.add(lowShift).intoArray(y, yo + c);
      high.add(highShift).intoArray(y, yo + stride + c);
    }
  }
}
