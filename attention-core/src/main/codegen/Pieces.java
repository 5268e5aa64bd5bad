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
    StringBuilder out = new StringBuilder();
    for (int r = 0; r < rows; r++) {
      for (int v = 0; v < vectors; v++) {
        String c = accumulator(r, v);
        if (masked && v == vectors - 1) {
          out.append("    int %sStart = co + %d * ldc + %d * L;\n".formatted(c, r, v));
          out.append("    #storeTail %s c %sStart tail\n".formatted(c, c));
        } else {
          out.append("    %s.intoArray(c, co + %d * ldc + %d * L);\n".formatted(c, r, v));
        }
      }
    }
    return out.toString();
  }
}
