// SPDX-License-Identifier: Apache-2.0
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// Writes the 16 × 16 transpose in four butterfly stages, of distances 8, 4, 2, 1.
final class Butterflies {
  private Butterflies() {}

  static String transpose() {
    StringBuilder out = new StringBuilder();
    out.append(
        """
        /// Generated: transposes a 16 × 16 block in registers; for 512-bit vectors only.
        final class Transpose16 {
        """);
    out.append(selectors());
    out.append(
        """

          private Transpose16() {}

        """);
    for (boolean gathered : new boolean[] {false, true}) {
      out.append(transpose(gathered));
    }
    return out.append("}\n").toString();
  }

  private static String transpose(boolean gathered) {
    StringBuilder out = new StringBuilder();
    out.append(
        """
          /// `out[c][r] = scale · in[%s][c]` for 16 columns c and rows r = 0…15; only the first
          /// `rows` rows are read, the last of them standing in for the missing ones.
          static void %s(
              float[] in, int io, int ldi,%s int rows, float scale,
              float[] out, int oo, int ldo) {
        """
            .formatted(
                gathered ? "index[from + r]" : "r",
                gathered ? "gather" : "run",
                gathered ? " int[] index, int from," : ""));
    for (int r = 0; r < 16; r++) {
      String row = "Math.min(%d, rows - 1)".formatted(r);
      out.append(
          """
              IntVector s0r%d =
                  FloatVector.fromArray(FLOATS, in, io + %s * ldi)
                      .mul(scale)
                      .reinterpretAsInts();
          """
              .formatted(r, gathered ? "index[from + " + row + "]" : row));
    }
    int stage = 0;
    for (int distance = 8; distance > 0; distance >>= 1, stage++) {
      for (int r = 0; r < 16; r++) {
        if ((r & distance) == 0) {
          for (int half = 0; half < 2; half++) {
            out.append(
                "    IntVector s%dr%d = %s.selectFrom(s%dr%d, s%dr%d);\n"
                    .formatted(
                        stage + 1,
                        r + half * distance,
                        selector(distance, half),
                        stage,
                        r,
                        stage,
                        r + distance));
          }
        }
      }
    }
    for (int r = 0; r < 16; r++) {
      out.append(
          "    s4r%d.reinterpretAsFloats().intoArray(out, oo + %d * ldo);\n".formatted(r, r));
    }
    return out.append("  }\n\n").toString();
  }

  private static String selector(int distance, int half) {
    return (half == 0 ? "LOW" : "HIGH") + distance;
  }

  private static String lanes(int distance, int half) {
    return IntStream.range(0, 16)
        .map(
            lane ->
                half == 0
                    ? ((lane & distance) == 0 ? lane : 16 + lane - distance)
                    : ((lane & distance) == 0 ? lane + distance : 16 + lane))
        .mapToObj(Integer::toString)
        .collect(Collectors.joining(", "));
  }

  private static String selectors() {
    StringBuilder out = new StringBuilder();
    for (int distance = 8; distance > 0; distance >>= 1) {
      for (int half = 0; half < 2; half++) {
        out.append(
            "  private static final IntVector %s =\n      IntVector.fromArray(Lanes.INTS, new int[] {%s}, 0);\n"
                .formatted(selector(distance, half), lanes(distance, half)));
      }
    }
    return out.toString();
  }
}
