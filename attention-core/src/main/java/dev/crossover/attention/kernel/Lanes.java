// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/// Vector width and block shapes, fixed once per JVM.
///
/// Species must be static final constants, or every operation loses a tenth to a fifth of its
/// speed.
final class Lanes {
  /// Vectors of floats.
  static final VectorSpecies<Float> FLOATS =
      VectorSpecies.of(float.class, VectorShape.forBitSize(bits()));

  /// Vectors of ints of the same width.
  static final VectorSpecies<Integer> INTS =
      VectorSpecies.of(int.class, VectorShape.forBitSize(FLOATS.vectorBitSize()));

  /// Floats per vector.
  static final int L = FLOATS.length();

  /// Whether 32 vector registers are at hand (AVX-512, AArch64), rather than 16.
  static final boolean MANY_REGISTERS =
      FloatVector.SPECIES_PREFERRED.vectorBitSize() >= 512
          || System.getProperty("os.arch", "").equals("aarch64");

  /// Query rows of a fused block: with two vectors of columns, 24 accumulators of 32 registers or
  /// 10 of 16. Measured inside the fused kernel: 12 × 2 beats 4 × 4 by 7–10 % on AVX-512; 5 × 2
  /// reaches 109 GFLOP/s on AVX2 where 4 × 2 reaches 105, 6 × 2 80, 12 × 2 70 and 3 × 4 41.
  static final int ROWS = MANY_REGISTERS ? 12 : 5;

  /// Keys of a panel.
  static final int PANEL = 2 * L;

  /// Columns of a score tile, also its row stride; a multiple of every panel.
  static final int TILE = 256;

  private Lanes() {}

  private static int bits() {
    int preferred = IntVector.SPECIES_PREFERRED.vectorBitSize();
    return Math.min(preferred, Integer.getInteger(KernelSelection.BITS_PROPERTY, preferred));
  }

  /// `value` rounded up to a multiple of `step`, a power of two.
  static int roundUp(int value, int step) {
    return (value + step - 1) & -step;
  }
}
