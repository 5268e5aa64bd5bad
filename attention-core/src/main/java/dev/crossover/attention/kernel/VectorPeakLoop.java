// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/// [PeakLoop] with vectors.
///
/// Twelve independent chains of the widest vectors hide the latency of a fused multiply-add on
/// every processor that has two units of four or five cycles, and fit the sixteen registers of
/// AVX2.
final class VectorPeakLoop {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int CHAINS = 12;

  private VectorPeakLoop() {}

  /// See [PeakLoop#flops].
  static double flops(int steps) {
    return 2.0 * CHAINS * SPECIES.length() * steps;
  }

  /// See [PeakLoop#run].
  static float run(int steps, float factor, float addend) {
    FloatVector a = FloatVector.broadcast(SPECIES, factor);
    FloatVector b = FloatVector.broadcast(SPECIES, addend);
    FloatVector c0 = b;
    FloatVector c1 = b;
    FloatVector c2 = b;
    FloatVector c3 = b;
    FloatVector c4 = b;
    FloatVector c5 = b;
    FloatVector c6 = b;
    FloatVector c7 = b;
    FloatVector c8 = b;
    FloatVector c9 = b;
    FloatVector c10 = b;
    FloatVector c11 = b;
    for (int i = 0; i < steps; i++) {
      c0 = c0.fma(a, b);
      c1 = c1.fma(a, b);
      c2 = c2.fma(a, b);
      c3 = c3.fma(a, b);
      c4 = c4.fma(a, b);
      c5 = c5.fma(a, b);
      c6 = c6.fma(a, b);
      c7 = c7.fma(a, b);
      c8 = c8.fma(a, b);
      c9 = c9.fma(a, b);
      c10 = c10.fma(a, b);
      c11 = c11.fma(a, b);
    }
    FloatVector low = c0.add(c1).add(c2).add(c3).add(c4).add(c5);
    FloatVector high = c6.add(c7).add(c8).add(c9).add(c10).add(c11);
    return low.sub(high).reduceLanes(VectorOperators.ADD);
  }

  /// See [PeakLoop#read]: eight accumulators over the streams.
  static float read(float[] x, int from, int count, int streams) {
    int lanes = SPECIES.length();
    int part = count / streams;
    int inPart = 8 / streams;
    int step = inPart * lanes;
    int[] o = new int[8];
    for (int i = 0; i < 8; i++) {
      o[i] = i / inPart * part + i % inPart * lanes;
    }
    int o1 = o[1];
    int o2 = o[2];
    int o3 = o[3];
    int o4 = o[4];
    int o5 = o[5];
    int o6 = o[6];
    int o7 = o[7];
    FloatVector s0 = FloatVector.zero(SPECIES);
    FloatVector s1 = s0;
    FloatVector s2 = s0;
    FloatVector s3 = s0;
    FloatVector s4 = s0;
    FloatVector s5 = s0;
    FloatVector s6 = s0;
    FloatVector s7 = s0;
    for (int i = from; i < from + part; i += step) {
      s0 = s0.add(FloatVector.fromArray(SPECIES, x, i));
      s1 = s1.add(FloatVector.fromArray(SPECIES, x, i + o1));
      s2 = s2.add(FloatVector.fromArray(SPECIES, x, i + o2));
      s3 = s3.add(FloatVector.fromArray(SPECIES, x, i + o3));
      s4 = s4.add(FloatVector.fromArray(SPECIES, x, i + o4));
      s5 = s5.add(FloatVector.fromArray(SPECIES, x, i + o5));
      s6 = s6.add(FloatVector.fromArray(SPECIES, x, i + o6));
      s7 = s7.add(FloatVector.fromArray(SPECIES, x, i + o7));
    }
    FloatVector low = s0.add(s1).add(s2).add(s3);
    return low.add(s4).add(s5).add(s6).add(s7).reduceLanes(VectorOperators.ADD);
  }
}
