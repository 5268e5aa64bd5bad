// SPDX-License-Identifier: Apache-2.0
/// Writes dot products of one vector with many rows that are read once, in the order in which they
/// lie.
final class DotBlocks {
  /// Vectors of x kept in registers; wider rows are read in slabs.
  private static final int MAX_VECTORS = 8;

  /// Row vectors of a block. Blocks of twice as many outgrow the first compiler and stay
  /// interpreted.
  private static final int MAX_LOADS = 32;

  private DotBlocks() {}

  static String source() {
    StringBuilder out = new StringBuilder();
    out.append(
        """
        /// Generated: dot products of one vector with blocks of 4 or 8 rows. Lanes are added for
        /// all rows of a block at once, in butterflies of distances 1, 2, 4, 8, so that a row's sum
        /// does not depend on its place. Rows are read one after another: prefetchers lose a block
        /// whose rows are read side by side.
        final class DotProducts {
          /// Widest rows, in vectors, of [#rows].
          static final int MAX_VECTORS = %d;

          private static final VectorMask<Float> UPPER_1 = upper(1);
          private static final VectorMask<Float> UPPER_2 = upper(2);
          private static final VectorMask<Float> UPPER_4 = upper(4);
          private static final VectorShuffle<Float> SWAP_1 = swap(1);
          private static final VectorShuffle<Float> SWAP_2 = swap(2);
          private static final VectorShuffle<Float> SWAP_4 = swap(4);

          private DotProducts() {}

          private static VectorMask<Float> upper(int distance) {
            return VectorMath.LANE_NUMBERS
                .and(distance)
                .compare(VectorOperators.NE, 0)
                .cast(FLOATS);
          }

          private static VectorShuffle<Float> swap(int distance) {
            return VectorShuffle.fromOp(FLOATS, lane -> (lane ^ distance) %% L);
          }

        """
            .formatted(MAX_VECTORS));
    out.append(sumsOfFour());
    out.append(dispatch());
    for (int rows : new int[] {8, 4}) {
      for (int vectors = 1; vectors <= MAX_VECTORS; vectors++) {
        if (rows * vectors <= MAX_LOADS) {
          out.append(block(rows, vectors, false)).append(block(rows, vectors, true));
        }
      }
    }
    return out.append("}\n").toString();
  }

  private static String sumsOfFour() {
    StringBuilder out = new StringBuilder();
    out.append(
        """
          /// The sums of the lanes of four vectors, in lanes 0 to 3.
          static FloatVector sumsOfFour(
              FloatVector s0r0, FloatVector s0r1, FloatVector s0r2, FloatVector s0r3) {
        """);
    String sums = sums(out, 4);
    return out.append("    return %s;\n  }\n\n".formatted(sums)).toString();
  }

  private static String dispatch() {
    StringBuilder cases = new StringBuilder();
    for (int vectors = 1; vectors <= MAX_VECTORS; vectors++) {
      String arguments = "(n, x, xo, b, bo, ldb, c, co, accumulate)";
      cases.append("      case %d -> ".formatted(vectors));
      if (8 * vectors <= MAX_LOADS) {
        cases.append(
            """
            {
                    if (L >= 8) {
                      rows8x%d%s;
                    } else {
                      rows4x%d%s;
                    }
                  }
            """
                .formatted(vectors, arguments, vectors, arguments));
      } else {
        cases.append("rows4x%d%s;\n".formatted(vectors, arguments));
      }
    }
    return """
      /// `c[j] (+)= Σ_i x[i] · b[j][i]` for n rows j of `vectors` whole vectors.
      static void rows(
          int vectors, int n, float[] x, int xo, float[] b, int bo, int ldb,
          float[] c, int co, boolean accumulate) {
        switch (vectors) {
    %s      default -> throw new IllegalStateException("no such block");
        }
      }

    """
        .formatted(cases);
  }

  private static String block(int rows, int vectors, boolean last) {
    StringBuilder out = new StringBuilder();
    String shape = rows + "x" + vectors;
    out.append(
        """
          private static void %s%s(
              int n, float[] x, int xo, float[] b, int bo, int ldb,
              float[] c, int co, boolean accumulate) {
        """
            .formatted(last ? "last" : "rows", shape));
    for (int v = 0; v < vectors; v++) {
      out.append(
          "    FloatVector x%d = FloatVector.fromArray(FLOATS, x, xo + %d * L);\n".formatted(v, v));
    }
    if (!last) {
      out.append("    int j = 0;\n    for (; j + Math.max(L, ROWS) <= n; j += ROWS) {\n");
    }
    for (int r = 0; r < rows; r++) {
      out.append(row(r, vectors, last));
    }
    String sums = sums(out, rows);
    out.append(
        last
            ? """
                if (accumulate) {
                  #loadTail old c co
                  SUMS = SUMS.add(old);
                }
                #storeTail SUMS c co n
              }

            """
            : """
                  if (accumulate) {
                    SUMS =
                        SUMS.blend(0f, VectorMath.LANES.compare(VectorOperators.GE, ROWS))
                            .add(FloatVector.fromArray(FLOATS, c, co + j));
                  }
                  SUMS.intoArray(c, co + j);
                  bo += ROWS * ldb;
                }
                for (; j < n; j += ROWS) {
                  last%s(Math.min(ROWS, n - j), x, xo, b, bo, ldb, c, co + j, accumulate);
                  bo += ROWS * ldb;
                }
              }

            """
                .formatted(shape));
    return out.toString().replace("ROWS", Integer.toString(rows)).replace("SUMS", sums);
  }

  /// The products of one row, lane by lane; a row that is missing is the last one again.
  private static String row(int r, int vectors, boolean last) {
    StringBuilder out = new StringBuilder();
    out.append(
        last
            ? "      int b%d = bo + Math.min(%d, n - 1) * ldb;\n".formatted(r, r)
            : "      int b%d = bo + %d * ldb;\n".formatted(r, r));
    for (int v = 0; v < vectors; v++) {
      String load = "FloatVector.fromArray(FLOATS, b, b%d + %d * L)".formatted(r, v);
      out.append(
          v == 0
              ? "      FloatVector s0r%d = x0.mul(%s);\n".formatted(r, load)
              : "      s0r%d = x%d.fma(%s, s0r%d);\n".formatted(r, v, load, r));
    }
    return out.toString();
  }

  /// Adds the lanes of all rows; the sums lie in the first lanes of the variable returned.
  private static String sums(StringBuilder out, int rows) {
    int stage = 0;
    for (int distance = 1; distance < rows; distance <<= 1, stage++) {
      for (int r = 0; r < rows; r += 2 * distance) {
        String low = "s%dr%d".formatted(stage, r);
        String high = "s%dr%d".formatted(stage, r + distance);
        out.append(
            "      FloatVector s%dr%d = %s.blend(%s, UPPER_%d).add(%s.blend(%s, UPPER_%d).rearrange(SWAP_%d));\n"
                .formatted(stage + 1, r, low, high, distance, high, low, distance, distance));
      }
    }
    String sums = "s%dr0".formatted(stage);
    for (int distance = rows; distance <= 8; distance <<= 1) {
      out.append(
          "      if (L > %d) {\n        %s = %s.add(%s.rearrange(VectorMath.BY_%d));\n      }\n"
              .formatted(distance, sums, sums, sums, distance));
    }
    return sums;
  }
}
