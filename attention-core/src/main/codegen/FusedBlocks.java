// SPDX-License-Identifier: Apache-2.0
/// Writes the products of fused attention: tall blocks, two vectors wide.
final class FusedBlocks {
  private FusedBlocks() {}

  static String source(int rows) {
    StringBuilder out = new StringBuilder();
    out.append(
        """
        /// Generated: the products of fused attention for groups of %d query rows.
        final class FusedKernels%d {
          private static final int ROWS = %d;
          private static final int STRIDE = Lanes.TILE;
          private FusedKernels%d() {}

          /// Scores of one group and `panels` key panels: `s[r][·] = start[r] + Σ_c q[c][r] ·
          /// k[c][·]`.
          static void scores(
              int k, float[] q, int qo, float[] panel, int po, int panels,
              float[] s, int so, float[] start, int offset) {
            for (int p = 0; p < panels; p++) {
        """
            .formatted(rows, rows, rows, rows));
    for (int r = 0; r < rows; r++) {
      out.append(
          "      FloatVector %s = FloatVector.broadcast(FLOATS, start[offset + %d]), %s = %s;\n"
              .formatted(
                  Pieces.accumulator(r, 0), r, Pieces.accumulator(r, 1), Pieces.accumulator(r, 0)));
    }
    out.append("      int a = qo;\n      for (int l = 0; l < k; l++) {\n");
    out.append(Pieces.loadFrom("panel", "po", 2, false).indent(2));
    out.append(Pieces.multiplyAdd(rows, 2, r -> "q[a + " + r + "]").indent(2));
    out.append("        a += ROWS;\n        po += 2 * L;\n      }\n");
    for (int r = 0; r < rows; r++) {
      for (int v = 0; v < 2; v++) {
        out.append(
            "      %s.intoArray(s, so + %d * STRIDE + %d * L);\n"
                .formatted(Pieces.accumulator(r, v), r, v));
      }
    }
    out.append("      so += 2 * L;\n    }\n  }\n\n");
    for (int vectors = 2; vectors >= 1; vectors--) {
      out.append(weighted(rows, vectors, false)).append(weighted(rows, vectors, true));
    }
    for (int vectors = 2; vectors >= 1; vectors--) {
      out.append(transposed(rows, vectors, false)).append(transposed(rows, vectors, true));
    }
    return out.append("}\n").toString();
  }

  private static String weighted(int rows, int vectors, boolean masked) {
    StringBuilder out = new StringBuilder();
    out.append(
        """
          /// `o[r] += Σ_{j < k} p[r][j] · v[j]` for %d vector(s) of columns%s.
          static void weighted%d%s(
              int k, float[] p, int po, float[] b, int bo, int ldb,
              float[] c, int co, int ldc%s) {
        """
            .formatted(
                vectors,
                masked ? ", `tail` columns of the last" : "",
                vectors,
                masked ? "Tail" : "",
                masked ? ", int tail" : ""));
    out.append(Pieces.loadC(rows, vectors));
    out.append("    for (int j = po, end = po + k; j < end; j++) {\n");
    out.append(Pieces.loadB(vectors, masked));
    out.append(Pieces.multiplyAdd(rows, vectors, r -> "p[" + r + " * STRIDE + j]"));
    out.append("      bo += ldb;\n    }\n");
    out.append(Pieces.storeC(rows, vectors, false));
    return out.append("  }\n\n").toString();
  }

  private static String transposed(int rows, int vectors, boolean masked) {
    StringBuilder out = new StringBuilder();
    out.append(
        """
          /// `c[r] += Σ_{i < k} p[i][r] · b[i]` for %d vector(s) of columns%s: a product with a
          /// score tile's transpose.
          static void transposed%d%s(
              int k, float[] p, int po, float[] b, int bo, int ldb,
              float[] c, int co, int ldc%s) {
        """
            .formatted(
                vectors,
                masked ? ", `tail` columns of the last" : "",
                vectors,
                masked ? "Tail" : "",
                masked ? ", int tail" : ""));
    out.append(Pieces.loadC(rows, vectors));
    out.append("    for (int i = 0; i < k; i++) {\n");
    out.append(Pieces.loadB(vectors, masked));
    out.append(Pieces.multiplyAdd(rows, vectors, r -> "p[po + " + r + "]"));
    out.append("      bo += ldb;\n      po += STRIDE;\n    }\n");
    out.append(Pieces.storeC(rows, vectors, false));
    return out.append("  }\n\n").toString();
  }
}
