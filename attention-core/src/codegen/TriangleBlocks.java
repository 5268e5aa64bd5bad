// SPDX-License-Identifier: Apache-2.0
/// Blocks of products up to a diagonal, four rows high: a triangle times a matrix, and forward
/// substitution.
final class TriangleBlocks {
  private static final int MAX_ROWS = 4;
  private static final int MAX_VECTORS = 4;

  private TriangleBlocks() {}

  /// The methods `lower` and `solve` with the blocks they choose from.
  static String source() {
    StringBuilder out = new StringBuilder();
    for (boolean solving : new boolean[] {false, true}) {
      out.append(triangularDispatch(solving));
      for (int vectors = 1; vectors <= MAX_VECTORS; vectors++) {
        out.append(triangular(solving, vectors));
      }
    }
    return out.toString();
  }

  private static String triangularDispatch(boolean solving) {
    StringBuilder cases = new StringBuilder();
    for (int vectors = 1; vectors <= MAX_VECTORS; vectors++) {
      cases.append(
          "      case %d -> %s4x%d(k, a, ao, lda, %sc, co, ldc%s);\n"
              .formatted(
                  vectors,
                  solving ? "solve" : "lower",
                  vectors,
                  solving ? "" : "b, bo, ldb, ",
                  solving ? "" : ", accumulate"));
    }
    return """
      /// %s
      static void %s(
          int vectors, int k, float[] a, int ao, int lda,
          %sfloat[] c, int co, int ldc%s) {
        switch (vectors) {
    %s      default -> throw new IllegalStateException("no such block");
        }
      }

    """
        .formatted(
            solving
                ? "Four rows of a forward substitution, k rows below the first: `C[r] += Σ_l A[r,l]"
                    + " X[l]`."
                : "`C[r] (+)= Σ_{l < k + r} A[r,l] · B[l]` for four rows.",
            solving ? "solve" : "lower",
            solving ? "" : "float[] b, int bo, int ldb, ",
            solving ? "" : ", boolean accumulate",
            cases);
  }

  /// Four rows up to a diagonal: k columns that all rows have, then a triangle of three, in
  /// registers.
  private static String triangular(boolean solving, int vectors) {
    StringBuilder out = new StringBuilder();
    out.append(
        """
          private static void %s4x%d(
              int k, float[] a, int ao, int lda,%s float[] c, int co, int ldc%s) {
        """
            .formatted(
                solving ? "solve" : "lower",
                vectors,
                solving ? "" : " float[] b, int bo, int ldb,",
                solving ? "" : ", boolean accumulate"));
    String load = "FloatVector.fromArray(FLOATS, c, co + %d * ldc + %d * L);\n";
    for (int r = 0; r < MAX_ROWS; r++) {
      for (int v = 0; v < vectors; v++) {
        String initial = solving ? load.formatted(r, v) : "FloatVector.zero(FLOATS);\n";
        out.append("    FloatVector %s = %s".formatted(Pieces.accumulator(r, v), initial));
      }
    }
    if (solving) {
      out.append("    float[] b = c;\n    int bo = co - k * ldc;\n    int ldb = ldc;\n");
    } else {
      out.append("    if (accumulate) {\n");
      for (int r = 0; r < MAX_ROWS; r++) {
        for (int v = 0; v < vectors; v++) {
          out.append("      %s = %s".formatted(Pieces.accumulator(r, v), load.formatted(r, v)));
        }
      }
      out.append("    }\n");
    }
    for (int r = 0; r < MAX_ROWS; r++) {
      out.append("    int a%d = ao + %d * lda;\n".formatted(r, r));
    }
    out.append("    for (int l = 0; l < k; l++) {\n");
    out.append(Pieces.loadB(vectors, false));
    out.append(Pieces.multiplyAdd(MAX_ROWS, vectors, r -> "a[a" + r + " + l]"));
    out.append("      bo += ldb;\n    }\n");
    for (int step = 0; step + 1 < MAX_ROWS; step++) {
      for (int v = 0; v < vectors; v++) {
        String row = "t%dx%d".formatted(step, v);
        out.append(
            "    FloatVector %s = %s;\n"
                .formatted(
                    row,
                    solving
                        ? Pieces.accumulator(step, v)
                        : "FloatVector.fromArray(FLOATS, b, bo + %d * ldb + %d * L)"
                            .formatted(step, v)));
        for (int r = step + 1; r < MAX_ROWS; r++) {
          out.append(
              "    %s = %s.fma(FloatVector.broadcast(FLOATS, a[a%d + k + %d]), %s);\n"
                  .formatted(Pieces.accumulator(r, v), row, r, step, Pieces.accumulator(r, v)));
        }
      }
    }
    out.append(Pieces.storeC(MAX_ROWS, vectors, false));
    return out.append("  }\n\n").toString();
  }
}
