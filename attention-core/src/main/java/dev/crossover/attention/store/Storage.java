// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Nearest;
import java.util.List;
import java.util.Locale;

/// How cached keys and values are stored.
///
/// | kind | bytes per number | restored |
/// |---|---|---|
/// | `f32` | 4 | exactly |
/// | `f16` | 2 | to 2⁻¹¹ of the value (IEEE half, nearest even) |
/// | `bf16` | 2 | to 2⁻⁸ of the value |
/// | `int8_row` | 1, and one scale per row | to max│x│ / 254 |
/// | `grouped` | bits / 8, and a scale and a minimum per group | to (max − min) / (2 (2^bits − 1)) |
///
/// Grouped is KIVI (Liu et al., ICML 2024, arXiv:2402.02750): keys are grouped per channel over
/// consecutive tokens, values per token over consecutive channels; the newest rows stay in full
/// precision.
///
/// @param kind form of a row
/// @param bits bits per number of grouped storage: 2, 4 or 8
/// @param groupSize numbers that share a scale, grouped storage
/// @param residualLength newest rows in full precision, a multiple of the group size, grouped
///     storage
public record Storage(Kind kind, int bits, int groupSize, int residualLength) {

  /// Forms of a row.
  public enum Kind {
    /// Floats.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// Bytes, one scale per row.
    INT8_ROW,
    /// KIVI's groups.
    GROUPED
  }

  private static final List<String> NAMES =
      List.of("f32", "f16", "bf16", "int8", "int8_grouped", "int4_grouped", "int2_grouped");
  private static final int USUAL_GROUP = 32;

  /// Floats.
  public static final Storage F32 = of(Kind.F32);

  /// IEEE half precision.
  public static final Storage F16 = of(Kind.F16);

  /// bfloat16.
  public static final Storage BF16 = of(Kind.BF16);

  /// Bytes, one scale per row.
  public static final Storage INT8_ROW = of(Kind.INT8_ROW);

  /// Validates the sizes of grouped storage.
  public Storage {
    if (kind == Kind.GROUPED) {
      require(bits == 2 || bits == 4 || bits == 8, "bits must be 2, 4 or 8", bits);
      require(groupSize >= 1, "group_size must be >= 1", groupSize);
      require(
          residualLength >= groupSize && residualLength % groupSize == 0,
          "residual_length must be a multiple of group_size (" + groupSize + ")",
          residualLength);
    }
  }

  private static Storage of(Kind kind) {
    return new Storage(kind, 0, 0, 0);
  }

  /// KIVI's groups.
  public static Storage grouped(int bits, int groupSize, int residualLength) {
    return new Storage(Kind.GROUPED, bits, groupSize, residualLength);
  }

  /// The names that [#parse] knows.
  public static List<String> names() {
    return NAMES;
  }

  /// The storage of a name: `f32`, `f16`, `bf16`, `int8`, or `int8_grouped`, `int4_grouped`,
  /// `int2_grouped`, which may be followed by the group size and the residual length, as in
  /// `int4_grouped/32/128`.
  ///
  /// @throws IllegalArgumentException if there is none, with the nearest name
  public static Storage parse(String text) {
    String[] parts = text.split("/", -1);
    int name = NAMES.indexOf(parts[0]);
    if (name < 0) {
      throw new IllegalArgumentException(
          "store must be one of " + NAMES + ", but was " + text + Nearest.hint(parts[0], NAMES));
    }
    if (name < 4) {
      if (parts.length > 1) {
        throw new IllegalArgumentException("store must be grouped to have sizes, but was " + text);
      }
      return List.of(F32, F16, BF16, INT8_ROW).get(name);
    }
    try {
      int group = parts.length > 1 ? Integer.parseInt(parts[1]) : USUAL_GROUP;
      int residual = parts.length > 2 ? Integer.parseInt(parts[2]) : group;
      if (parts.length <= 3) {
        return grouped(8 >> (name - 4), group, residual);
      }
    } catch (NumberFormatException e) {
      // answered below
    }
    throw new IllegalArgumentException("store must read NAME/group/residual, but was " + text);
  }

  /// The shortest text that [#parse] turns into this storage.
  public String label() {
    if (kind != Kind.GROUPED) {
      return kind == Kind.INT8_ROW ? "int8" : kind.name().toLowerCase(Locale.ROOT);
    }
    String name = "int" + bits + "_grouped";
    boolean usual = groupSize == USUAL_GROUP && residualLength == groupSize;
    String sizes =
        residualLength == groupSize ? "/" + groupSize : "/" + groupSize + "/" + residualLength;
    return usual ? name : name + sizes;
  }

  private static void require(boolean holds, String rule, int value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }

  /// An empty store of key rows of one head.
  RowStore keys(int dim, int capacity) {
    return kind == Kind.GROUPED ? new GroupedRows(this, dim, capacity, true) : plain(dim, capacity);
  }

  /// An empty store of value rows of one head.
  RowStore values(int dim, int capacity) {
    if (kind == Kind.GROUPED) {
      require(
          dim % groupSize == 0,
          "valueDim must be a multiple of group_size (" + groupSize + ")",
          dim);
      return new GroupedRows(this, dim, capacity, false);
    }
    return plain(dim, capacity);
  }

  private RowStore plain(int dim, int capacity) {
    return switch (kind) {
      case F16, BF16 -> new ShortRows(kind == Kind.F16, dim, capacity);
      case INT8_ROW -> new ByteRows(dim, capacity);
      default -> new FloatRows(dim, capacity);
    };
  }
}
