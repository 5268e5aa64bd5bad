// SPDX-License-Identifier: Apache-2.0
import java.util.function.IntFunction;

/// What blocks of accumulators have in common: their names, loads, multiply-adds and stores.
final class Pieces {
  private Pieces() {}

  static String accumulator(int row, int vector) {
    return "c" + row + "v" + vector;
  }

  static String loadB(int vectors, boolean masked) {
    return loadFrom("b", "bo", vectors, masked);
  }

  static String loadFrom(String array, String offset, int vectors, boolean masked) {
    StringBuilder out = new StringBuilder();
    for (int v = 0; v < vectors; v++) {
      if (masked && v == vectors - 1) {
        out.append("      int b%dAt = %s + %d * L;\n".formatted(v, offset, v));
        out.append("      #loadTail b%d %s b%dAt\n".formatted(v, array, v));
      } else {
        out.append(
            "      FloatVector b%d = FloatVector.fromArray(FLOATS, %s, %s + %d * L);\n"
                .formatted(v, array, offset, v));
      }
    }
    return out.toString();
  }

  static String multiplyAdd(int rows, int vectors, IntFunction<String> element) {
    StringBuilder out = new StringBuilder("      FloatVector x;\n");
    for (int r = 0; r < rows; r++) {
      out.append("      x = FloatVector.broadcast(FLOATS, %s);\n".formatted(element.apply(r)));
      for (int v = 0; v < vectors; v++) {
        String c = accumulator(r, v);
        out.append("      %s = x.fma(b%d, %s);\n".formatted(c, v, c));
      }
    }
    return out.toString();
  }

  static String loadC(int rows, int vectors) {
    StringBuilder out = new StringBuilder();
    for (int r = 0; r < rows; r++) {
      for (int v = 0; v < vectors; v++) {
        out.append(
            "    FloatVector %s = FloatVector.fromArray(FLOATS, c, co + %d * ldc + %d * L);\n"
                .formatted(accumulator(r, v), r, v));
      }
    }
    return out.toString();
  }

  static String storeC(int rows, int vectors, boolean masked) {
    return store("c", "co", "ldc", rows, vectors, masked);
  }

  static String store(
      String array, String offset, String stride, int rows, int vectors, boolean masked) {
    StringBuilder out = new StringBuilder();
    for (int r = 0; r < rows; r++) {
      for (int v = 0; v < vectors; v++) {
        String c = accumulator(r, v);
        String place = "%s + %d * %s + %d * L".formatted(offset, r, stride, v);
        if (masked && v == vectors - 1) {
          out.append("    int %sStart = %s;\n".formatted(c, place));
          out.append("    #storeTail %s %s %sStart tail\n".formatted(c, array, c));
        } else {
          out.append("    %s.intoArray(%s, %s);\n".formatted(c, array, place));
        }
      }
    }
    return out.toString();
  }

  /// What a step multiplies the rows of B by.
  interface Factor {
    /// @param step of the turn
    /// @param row of the block
    String of(int step, int row);
  }

  /// The loop over k, some steps a turn: a row of B, and a factor for each row of the block.
  static String turns(int rows, int vectors, int steps, boolean masked, Factor factor) {
    StringBuilder out = new StringBuilder();
    out.append("    for (int l = 0; l < k; l += %d) {\n".formatted(steps));
    for (int step = 0; step < steps; step++) {
      int u = step;
      String body =
          loadFrom("b", "bo + (l + %d) * ldb".formatted(u), vectors, masked)
              + multiplyAdd(rows, vectors, r -> factor.of(u, r));
      out.append(steps == 1 ? body : "      {\n" + body.indent(2) + "      }\n");
    }
    return out.append("    }\n").toString();
  }
}
