// SPDX-License-Identifier: Apache-2.0
/// Writes the blocks of general products: small blocks of C, A by rows or by columns.
final class ProductBlocks {
  private static final int MAX_ROWS = 4;
  private static final int MAX_VECTORS = 4;

  /// A block of Aᵀ for machines with 32 registers: eight neighbours in a row of A, so that a line
  /// of the cache is read for two blocks of rows and not for four.
  private static final int TALL_ROWS = 8;

  private static final int TALL_VECTORS = 2;

  /// Beyond this many accumulators a block with a masked last column outgrows the first compiler
  /// ("out of virtual registers"), never gets a profile and so is never optimised: it is made of
  /// two blocks.
  private static final int MAX_TAIL_ACCUMULATORS = 6;

  private ProductBlocks() {}

  static String source() {
    StringBuilder out = new StringBuilder();
    out.append(
        """
        /// Generated: blocks of 1–4 rows and 1–4 vectors of C, kept in registers over the whole of
        /// k.
        final class BlockProducts {
          private BlockProducts() {}

        """);
    for (boolean byRows : new boolean[] {true, false}) {
      out.append(dispatch(byRows));
      for (int rows = 1; rows <= MAX_ROWS; rows++) {
        for (int vectors = 1; vectors <= MAX_VECTORS; vectors++) {
          out.append(block(byRows, rows, vectors, false));
          if (rows * vectors <= MAX_TAIL_ACCUMULATORS) {
            out.append(block(byRows, rows, vectors, true));
          }
        }
      }
    }
    out.append("  /// `C[8, 2·L] (+)= Aᵀ · B`.\n");
    out.append(
        block(false, TALL_ROWS, TALL_VECTORS, false).replace("private static void", "static void"));
    return out.append(TriangleBlocks.source()).append("}\n").toString();
  }

  private static String dispatch(boolean byRows) {
    String family = byRows ? "byRows" : "byColumns";
    String arguments = "k, a, ao, lda, b, bo, ldb, c, co, ldc, accumulate";
    StringBuilder cases = new StringBuilder();
    for (int rows = 1; rows <= MAX_ROWS; rows++) {
      for (int vectors = 1; vectors <= MAX_VECTORS; vectors++) {
        String full = "%s%dx%d(%s);".formatted(family, rows, vectors, arguments);
        String tail =
            rows * vectors <= MAX_TAIL_ACCUMULATORS
                ? "%s%dx%dTail(%s, tail);".formatted(family, rows, vectors, arguments)
                : "%s%dx%d(%s);\n          %s%dx1Tail(%s, tail);"
                    .formatted(
                        family,
                        rows,
                        vectors - 1,
                        arguments,
                        family,
                        rows,
                        lastVector(arguments, vectors - 1));
        cases.append(
            """
                  case %d -> {
                    if (tail == L) {
                      %s
                    } else {
                      %s
                    }
                  }
            """
                .formatted(rows * 8 + vectors, full, tail));
      }
    }
    return """
      /// `C[rows, (vectors - 1)·L + tail] (+)= A%s · B`.
      static void %s(
          int rows, int vectors, int tail, int k,
          float[] a, int ao, int lda,
          float[] b, int bo, int ldb,
          float[] c, int co, int ldc,
          boolean accumulate) {
        switch (rows * 8 + vectors) {
    %s      default -> throw new IllegalStateException("no such block");
        }
      }

    """
        .formatted(byRows ? "" : "ᵀ", family, cases);
  }

  /// The arguments of a block that starts some vectors further right in B and C.
  private static String lastVector(String arguments, int vectors) {
    return arguments
        .replace(" bo,", " bo + %d * L,".formatted(vectors))
        .replace(" co,", " co + %d * L,".formatted(vectors));
  }

  private static String block(boolean byRows, int rows, int vectors, boolean masked) {
    StringBuilder out = new StringBuilder();
    out.append(
        """
          private static void %s%dx%d%s(
              int k, float[] a, int ao, int lda, float[] b, int bo, int ldb,
              float[] c, int co, int ldc, boolean accumulate%s) {
        """
            .formatted(
                byRows ? "byRows" : "byColumns",
                rows,
                vectors,
                masked ? "Tail" : "",
                masked ? ", int tail" : ""));
    for (int r = 0; r < rows; r++) {
      for (int v = 0; v < vectors; v++) {
        out.append(
            "    FloatVector %s = FloatVector.zero(FLOATS);\n".formatted(Pieces.accumulator(r, v)));
      }
    }
    out.append("    if (accumulate) {\n");
    for (int r = 0; r < rows; r++) {
      for (int v = 0; v < vectors; v++) {
        String c = Pieces.accumulator(r, v);
        if (masked && v == vectors - 1) {
          out.append("      int %sAt = co + %d * ldc + %d * L;\n".formatted(c, r, v));
          out.append("      #loadTail %sOld c %sAt\n".formatted(c, c));
          out.append("      %s = %sOld;\n".formatted(c, c));
        } else {
          out.append(
              "      %s = FloatVector.fromArray(FLOATS, c, co + %d * ldc + %d * L);\n"
                  .formatted(c, r, v));
        }
      }
    }
    out.append("    }\n");
    if (byRows) {
      for (int r = 0; r < rows; r++) {
        out.append("    int a%d = ao + %d * lda;\n".formatted(r, r));
      }
    }
    out.append("    for (int l = 0; l < k; l++) {\n");
    out.append(Pieces.loadB(vectors, masked));
    out.append(
        Pieces.multiplyAdd(rows, vectors, r -> byRows ? "a[a" + r + " + l]" : "a[ao + " + r + "]"));
    out.append("      bo += ldb;\n");
    if (!byRows) {
      out.append("      ao += lda;\n");
    }
    out.append("    }\n");
    out.append(Pieces.storeC(rows, vectors, masked));
    return out.append("  }\n\n").toString();
  }
}
