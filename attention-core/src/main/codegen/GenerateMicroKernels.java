import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntFunction;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/// Writes the register-blocked loops of the kernel package, every shape from the same few
/// templates.
///
/// C2 keeps an accumulator in a register only if it is a named local variable, so a block of R rows
/// and V vectors needs R·V of them spelt out; that is what this program is for. It also pastes the
/// pieces of `macros.txt` into the templates beside it, for the reason given there. Usage: `java
/// GenerateMicroKernels.java <this directory> <directory of generated sources>`.
final class GenerateMicroKernels {
  private static final String PACKAGE = "dev.crossover.attention.kernel";
  private static final int MAX_ROWS = 4;
  private static final int MAX_VECTORS = 4;

  /// Beyond this many accumulators a block with a masked last column outgrows the first compiler
  /// ("out of virtual registers"), never gets a profile and so is never optimised: it is made of
  /// two blocks.
  private static final int MAX_TAIL_ACCUMULATORS = 8;

  private GenerateMicroKernels() {}

  public static void main(String[] arguments) throws IOException {
    Path templates = Path.of(arguments[0]);
    Path directory = Path.of(arguments[1]).resolve(PACKAGE.replace('.', '/'));
    Files.createDirectories(directory);
    Map<String, List<String>> macros = macros(Files.readAllLines(templates.resolve("macros.txt")));
    for (String name : new String[] {"VectorKernels", "ScorePasses"}) {
      String template = Files.readString(templates.resolve(name + ".java.template"));
      update(directory.resolve(name + ".java"), expanded(template, macros));
    }
    write(directory, "BlockProducts", blockProducts(), macros);
    for (int rows : new int[] {5, 12}) {
      write(directory, "FusedKernels" + rows, fusedKernels(rows), macros);
    }
    write(directory, "Transpose16", transpose(), macros);
  }

  private static void write(
      Path directory, String name, String body, Map<String, List<String>> macros)
      throws IOException {
    String source =
        """
        package %s;

        import static dev.crossover.attention.kernel.Lanes.FLOATS;
        import static dev.crossover.attention.kernel.Lanes.L;

        import jdk.incubator.vector.FloatVector;
        import jdk.incubator.vector.IntVector;
        import jdk.incubator.vector.VectorOperators;

        %s\
        """
            .formatted(PACKAGE, expanded(body, macros));
    if (!body.contains("IntVector")) {
      source = source.replace("import jdk.incubator.vector.IntVector;\n", "");
    }
    if (!body.contains("#storeTail")) {
      source = source.replace("import jdk.incubator.vector.VectorOperators;\n", "");
    }
    if (!body.contains("FLOATS")) {
      source = source.replaceAll("import static [^\n]*FLOATS;\n", "");
    }
    update(directory.resolve(name + ".java"), source);
  }

  private static void update(Path file, String source) throws IOException {
    if (!Files.exists(file) || !Files.readString(file).equals(source)) {
      Files.writeString(file, source);
    }
  }

  // ---- templates

  /// Reads `#macro name parameter…` … `#end`: first the parameters, then the body.
  private static Map<String, List<String>> macros(List<String> lines) {
    Map<String, List<String>> macros = new HashMap<>();
    List<String> body = null;
    for (String line : lines) {
      if (line.startsWith("#macro ")) {
        String[] words = line.split(" ", 3);
        body = new ArrayList<>(List.of(words[2]));
        macros.put(words[1], body);
      } else if (line.equals("#end")) {
        body = null;
      } else if (body != null) {
        body.add(line);
      }
    }
    return macros;
  }

  private static String expanded(String text, Map<String, List<String>> macros) {
    List<String> out = new ArrayList<>();
    text.lines().forEach(line -> expand(line, macros, out));
    return String.join("\n", out) + "\n";
  }

  /// Copies a line, or the macro it invokes with its arguments put in.
  private static void expand(String line, Map<String, List<String>> macros, List<String> out) {
    String text = line.strip();
    if (!text.startsWith("#")) {
      out.add(line);
      return;
    }
    String[] words = text.substring(1).split(" ");
    List<String> macro = macros.get(words[0]);
    if (macro == null) {
      throw new IllegalArgumentException("no macro for: " + line);
    }
    String[] parameters = macro.getFirst().split(" ");
    String indent = line.substring(0, line.indexOf('#'));
    for (String bodyLine : macro.subList(1, macro.size())) {
      String filled = bodyLine;
      for (int p = 0; p < parameters.length; p++) {
        filled = filled.replace("{" + parameters[p] + "}", words[p + 1]);
      }
      expand(indent + filled, macros, out);
    }
  }

  // ---- general products: small blocks of C, A by rows or by columns

  private static String blockProducts() {
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
    return out.append("}\n").toString();
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
        out.append("    FloatVector %s = FloatVector.zero(FLOATS);\n".formatted(accumulator(r, v)));
      }
    }
    out.append("    if (accumulate) {\n");
    for (int r = 0; r < rows; r++) {
      for (int v = 0; v < vectors; v++) {
        String c = accumulator(r, v);
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
    out.append(loadB(vectors, masked));
    out.append(multiplyAdd(rows, vectors, r -> byRows ? "a[a" + r + " + l]" : "a[ao + " + r + "]"));
    out.append("      bo += ldb;\n");
    if (!byRows) {
      out.append("      ao += lda;\n");
    }
    out.append("    }\n");
    out.append(storeC(rows, vectors, masked));
    return out.append("  }\n\n").toString();
  }

  // ---- fused attention: tall blocks, two vectors wide

  private static String fusedKernels(int rows) {
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
              .formatted(accumulator(r, 0), r, accumulator(r, 1), accumulator(r, 0)));
    }
    out.append("      int a = qo;\n      for (int l = 0; l < k; l++) {\n");
    out.append(loadFrom("panel", "po", 2, false).indent(2));
    out.append(multiplyAdd(rows, 2, r -> "q[a + " + r + "]").indent(2));
    out.append("        a += ROWS;\n        po += 2 * L;\n      }\n");
    for (int r = 0; r < rows; r++) {
      for (int v = 0; v < 2; v++) {
        out.append(
            "      %s.intoArray(s, so + %d * STRIDE + %d * L);\n"
                .formatted(accumulator(r, v), r, v));
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
    out.append(loadC(rows, vectors));
    out.append("    for (int j = po, end = po + k; j < end; j++) {\n");
    out.append(loadB(vectors, masked));
    out.append(multiplyAdd(rows, vectors, r -> "p[" + r + " * STRIDE + j]"));
    out.append("      bo += ldb;\n    }\n");
    out.append(storeC(rows, vectors, false));
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
    out.append(loadC(rows, vectors));
    out.append("    for (int i = 0; i < k; i++) {\n");
    out.append(loadB(vectors, masked));
    out.append(multiplyAdd(rows, vectors, r -> "p[po + " + r + "]"));
    out.append("      bo += ldb;\n      po += STRIDE;\n    }\n");
    out.append(storeC(rows, vectors, false));
    return out.append("  }\n\n").toString();
  }

  // ---- pieces

  private static String accumulator(int row, int vector) {
    return "c" + row + "v" + vector;
  }

  private static String loadB(int vectors, boolean masked) {
    return loadFrom("b", "bo", vectors, masked);
  }

  private static String loadFrom(String array, String offset, int vectors, boolean masked) {
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

  private static String multiplyAdd(int rows, int vectors, IntFunction<String> element) {
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

  private static String loadC(int rows, int vectors) {
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

  private static String storeC(int rows, int vectors, boolean masked) {
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

  // ---- 16 x 16 transpose in four butterfly stages

  private static String transpose() {
    StringBuilder out = new StringBuilder();
    out.append(
        """
        /// Generated: transposes a 16 × 16 block in registers; for 512-bit vectors only.
        final class Transpose16 {
        """);
    for (int distance = 8; distance > 0; distance >>= 1) {
      for (int half = 0; half < 2; half++) {
        out.append(
            "  private static final IntVector %s =\n      IntVector.fromArray(Lanes.INTS, new int[] {%s}, 0);\n"
                .formatted(selector(distance, half), lanes(distance, half)));
      }
    }
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
}
