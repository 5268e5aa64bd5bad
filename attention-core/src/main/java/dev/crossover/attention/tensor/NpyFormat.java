// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.nio.ByteOrder;
import java.util.Objects;

/// How to write a NumPy array; every choice reads back as the same tensor.
///
/// @param version of the format, 1 to 3
/// @param fortranOrder whether the first index runs fastest in the file, instead of the last
/// @param byteOrder of the elements
public record NpyFormat(int version, boolean fortranOrder, ByteOrder byteOrder) {
  /// Version 1, C order, little-endian: what NumPy writes on common machines.
  public static final NpyFormat DEFAULT = new NpyFormat(1, false, ByteOrder.LITTLE_ENDIAN);

  /// Validates the version.
  public NpyFormat {
    if (version < 1 || version > 3) {
      throw new IllegalArgumentException("version must be 1, 2 or 3, but was " + version);
    }
    Objects.requireNonNull(byteOrder, "byteOrder");
  }
}
