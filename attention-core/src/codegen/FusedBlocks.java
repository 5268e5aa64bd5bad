// SPDX-License-Identifier: Apache-2.0
/// Writes the products of fused attention: tall blocks, two vectors wide.
///
/// Where the compiler has to keep a running address and one address per row of C alive beside the
/// accumulators, it moves them between general and vector registers inside the loop. So loops over
/// two whole vectors take two steps a turn, compute the row of B from the counter, and get place
/// and stride of the store as parameters of their own, which nothing in the loop reads.
final class FusedBlocks {
  private FusedBlocks() {}

  /// A product with a score tile: how its factor is read and how one goes on to later steps.
  private enum Product {
    WEIGHTED("weighted", "`c[r] += Σ_{l < k} p[r][l] · b[l]`", "po + l + %d + %d * STRIDE", "even"),
    TRANSPOSED(
        "transposed",
        "`c[r] += Σ_{l < k} p[l][r] · b[l]`",
        "po + (l + %d) * STRIDE + %d",
        "even * STRIDE");

    final String method;
    final String meaning;
    final String place;
    final String evenSteps;

    Product(String method, String meaning, String place, String evenSteps) {
      this.method = method;
      this.meaning = meaning;
      this.place = place;
      this.evenSteps = evenSteps;
    }

    String factor(int step, int row) {
      return "p[" + place.formatted(step, row) + "]";
    }
  }

  static String source(int rows) {
    StringBuilder out = new StringBuilder();
    out.append(
        """
        /// Generated: the products of fused attention for groups of %d query rows. Rows of a score
        /// tile, s and p, are `STRIDE` apart.
        final class FusedKernels%d {
          private static final int ROWS = %d;
          private static final int STRIDE = Lanes.TILE;
          private FusedKernels%d() {}

          /// Scores of one group and `panels` panels: `s[r] = start[r] +
          /// Σ_{l < k} q[l][r] · panel[l]`.
          static void scores(
              int k, float[] q, int qo, float[] panel, int po, int panels,
              float[] s, int so, float[] start, int offset) {
            for (int p = 0; p < panels; p++) {
              if ((k & 1) == 0) {
                scoresByTwo(k, q, qo, panel, po, 2 * L, s, so, start, offset);
              } else {
                scoresByOne(k, q, qo, panel, po, 2 * L, s, so, start, offset);
              }
              po += 2 * L * k;
              so += 2 * L;
            }
          }

        """
            .formatted(rows, rows, rows, rows));
    out.append(scores(rows, 1)).append(scores(rows, 2));
    for (Product product : Product.values()) {
      out.append(pairs(product));
      out.append(sums(product, rows, 2, 2, false));
      for (int vectors = 2; vectors >= 1; vectors--) {
        out.append(sums(product, rows, vectors, 1, false));
        out.append(sums(product, rows, vectors, 1, true));
      }
    }
    return out.append("}\n").toString();
  }

  /// Scores of one group and one panel, some steps a turn.
  private static String scores(int rows, int steps) {
    StringBuilder out = new StringBuilder();
    out.append(
        """
          private static void scoresBy%s(
              int k, float[] q, int qo, float[] b, int bo, int ldb,
              float[] s, int so, float[] start, int offset) {
        """
            .formatted(name(steps)));
    for (int r = 0; r < rows; r++) {
      out.append(
          "    FloatVector %s = FloatVector.broadcast(FLOATS, start[offset + %d]), %s = %s;\n"
              .formatted(
                  Pieces.accumulator(r, 0), r, Pieces.accumulator(r, 1), Pieces.accumulator(r, 0)));
    }
    out.append(
        Pieces.turns(
            rows, 2, steps, false, (u, r) -> "q[qo + ROWS * l + %d]".formatted(u * rows + r)));
    out.append(Pieces.store("s", "so", "STRIDE", rows, 2, false));
    return out.append("  }\n\n").toString();
  }

  /// A product of two vectors of columns: by two steps as far as that goes.
  private static String pairs(Product product) {
    return """
      /// %s for two vectors of columns.
      static void %s2(
          int k, float[] p, int po, float[] b, int bo, int ldb,
          float[] c, int co, int ldc) {
        int even = k & -2;
        if (even > 0) {
          %s2ByTwo(even, p, po, b, bo, ldb, c, co, ldc, co, ldc);
        }
        if (even < k) {
          %s2ByOne(1, p, po + %s, b, bo + even * ldb, ldb, c, co, ldc);
        }
      }

    """
        .formatted(
            product.meaning, product.method, product.method, product.method, product.evenSteps);
  }

  private static String sums(Product product, int rows, int vectors, int steps, boolean masked) {
    boolean apart = steps > 1;
    String kind = vectors == 2 && !masked ? "By" + name(steps) : masked ? "Tail" : "";
    StringBuilder out = new StringBuilder();
    out.append(
        """
          /// %s for %s of columns%s%s.
          %sstatic void %s%d%s(
              int k, float[] p, int po, float[] b, int bo, int ldb,
              float[] c, int co, int ldc%s%s) {
        """
            .formatted(
                product.meaning,
                vectors == 2 ? "two vectors" : "one vector",
                masked ? ", `tail` columns of the last" : "",
                apart ? ".\n  /// k is even; `to` and `ldt` repeat `co` and `ldc`" : "",
                kind.startsWith("By") ? "private " : "",
                product.method,
                vectors,
                kind,
                apart ? ", int to, int ldt" : "",
                masked ? ", int tail" : ""));
    out.append(Pieces.loadC(rows, vectors));
    out.append(Pieces.turns(rows, vectors, steps, masked, product::factor));
    out.append(Pieces.store("c", apart ? "to" : "co", apart ? "ldt" : "ldc", rows, vectors, false));
    return out.append("  }\n\n").toString();
  }

  private static String name(int steps) {
    return steps == 2 ? "Two" : "One";
  }
}
