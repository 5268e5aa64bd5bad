// SPDX-License-Identifier: Apache-2.0
import java.util.Map;

/// Writes the products of one vector with rows of a narrow type, which are widened in registers:
/// the same loops for every type.
final class NarrowBlocks {
  private NarrowBlocks() {}

  /// Rows of signed bytes, each with a scale.
  static String bytes() {
    return source(
        Map.of(
            "TITLE", "signed bytes",
            "NAME", "ByteRows",
            "TYPE", "byte",
            "LOAD", "VectorWidening.byteVector",
            "TAIL", "ScalarNarrowRows.byteDot",
            "MIX_TAIL", "ScalarNarrowRows.byteMix",
            "SCALES", "scale, so, ",
            "SCALE_PARAMETERS", " float[] scale, int so,",
            "WEIGHT", "w[wo + j] * scale[so + j]"));
  }

  /// Rows of bfloat16.
  static String brain() {
    return source(
        Map.of(
            "TITLE", "bfloat16",
            "NAME", "BrainRows",
            "TYPE", "short",
            "LOAD", "VectorWidening.brainVector",
            "TAIL", "ScalarNarrowRows.brainDot",
            "MIX_TAIL", "ScalarNarrowRows.brainMix",
            "SCALES", "",
            "SCALE_PARAMETERS", "",
            "WEIGHT", "w[wo + j]"));
  }

  private static String source(Map<String, String> words) {
    String text =
        """
        /// Generated: products of one vector with rows of #{TITLE}, from 256 bits on. Dot products
        /// take four rows at a time against the same part of x, and add the lanes of all four in
        /// butterflies, so that a row's sum does not depend on its place; means of rows take four
        /// vectors of columns at a time.
        final class #{NAME}Products {
          private #{NAME}Products() {}

          /// `y[j] = Σ_c x[c] · b[j·dim + c]` for n rows.
          static void dots(
              int n, int dim, float[] x, int xo, #{TYPE}[] b, int bo, float[] y, int yo) {
            int whole = dim / L * L;
            for (int j = 0; j < n; j += 4) {
              int last = n - 1 - j;
              int b0 = bo + j * dim;
              int b1 = b0 + Math.min(1, last) * dim;
              int b2 = b0 + Math.min(2, last) * dim;
              int b3 = b0 + Math.min(3, last) * dim;
              FloatVector s0 = FloatVector.zero(FLOATS);
              FloatVector s1 = s0;
              FloatVector s2 = s0;
              FloatVector s3 = s0;
              for (int c = 0; c < whole; c += L) {
                FloatVector part = FloatVector.fromArray(FLOATS, x, xo + c);
                s0 = #{LOAD}(b, b0 + c).fma(part, s0);
                s1 = #{LOAD}(b, b1 + c).fma(part, s1);
                s2 = #{LOAD}(b, b2 + c).fma(part, s2);
                s3 = #{LOAD}(b, b3 + c).fma(part, s3);
              }
              FloatVector sums = DotProducts.sumsOfFour(s0, s1, s2, s3);
              if (j + L <= n) {
                sums.intoArray(y, yo + j);
              } else {
                y[yo + j] = sums.lane(0);
                if (last > 0) {
                  y[yo + j + 1] = sums.lane(1);
                }
                if (last > 1) {
                  y[yo + j + 2] = sums.lane(2);
                }
                if (last > 2) {
                  y[yo + j + 3] = sums.lane(3);
                }
              }
            }
            for (int j = 0; whole < dim && j < n; j++) {
              y[yo + j] += #{TAIL}(whole, dim, x, xo, b, bo + j * dim);
            }
          }

          /// `y[c] += Σ_j weight[j] · b[j·dim + c]` for n rows and the first `width` columns.
          static void mix(
              int n, int dim, int width, float[] w, int wo, #{TYPE}[] b, int bo,
             #{SCALE_PARAMETERS} float[] y, int yo) {
            int c = 0;
            for (; c <= width - 4 * L; c += 4 * L) {
              FloatVector s0 = FloatVector.fromArray(FLOATS, y, yo + c);
              FloatVector s1 = FloatVector.fromArray(FLOATS, y, yo + c + L);
              FloatVector s2 = FloatVector.fromArray(FLOATS, y, yo + c + 2 * L);
              FloatVector s3 = FloatVector.fromArray(FLOATS, y, yo + c + 3 * L);
              for (int j = 0; j < n; j++) {
                int row = bo + j * dim + c;
                FloatVector weight = FloatVector.broadcast(FLOATS, #{WEIGHT});
                s0 = #{LOAD}(b, row).fma(weight, s0);
                s1 = #{LOAD}(b, row + L).fma(weight, s1);
                s2 = #{LOAD}(b, row + 2 * L).fma(weight, s2);
                s3 = #{LOAD}(b, row + 3 * L).fma(weight, s3);
              }
              s0.intoArray(y, yo + c);
              s1.intoArray(y, yo + c + L);
              s2.intoArray(y, yo + c + 2 * L);
              s3.intoArray(y, yo + c + 3 * L);
            }
            for (; c <= width - L; c += L) {
              FloatVector s = FloatVector.fromArray(FLOATS, y, yo + c);
              for (int j = 0; j < n; j++) {
                FloatVector weight = FloatVector.broadcast(FLOATS, #{WEIGHT});
                s = #{LOAD}(b, bo + j * dim + c).fma(weight, s);
              }
              s.intoArray(y, yo + c);
            }
            if (c < width) {
              #{MIX_TAIL}(n, dim, c, width, w, wo, b, bo, #{SCALES}y, yo);
            }
          }
        }
        """;
    for (Map.Entry<String, String> word : words.entrySet()) {
      text = text.replace("#{" + word.getKey() + "}", word.getValue());
    }
    return text;
  }
}
