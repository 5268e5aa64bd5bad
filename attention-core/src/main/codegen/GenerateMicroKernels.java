// SPDX-License-Identifier: Apache-2.0
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/// Writes the register-blocked loops of the kernel package, every shape from the same few
/// templates.
///
/// C2 keeps an accumulator in a register only if it is a named local variable, so a block of R rows
/// and V vectors needs R·V of them spelt out; that is what this program is for. It also pastes the
/// pieces of `macros.txt` into the templates beside it, for the reason given there. Usage: `java
/// GenerateMicroKernels.java <this directory> <directory of generated sources>`.
final class GenerateMicroKernels {
  private static final String PACKAGE = "dev.crossover.attention.kernel";

  private GenerateMicroKernels() {}

  public static void main(String[] arguments) throws IOException {
    Path templates = Path.of(arguments[0]);
    Path directory = Path.of(arguments[1]).resolve(PACKAGE.replace('.', '/'));
    Files.createDirectories(directory);
    Map<String, List<String>> macros =
        Templates.macros(Files.readAllLines(templates.resolve("macros.txt")));
    for (String name : new String[] {"VectorKernels", "ScorePasses"}) {
      String template = Files.readString(templates.resolve(name + ".java.template"));
      update(directory.resolve(name + ".java"), Templates.expanded(template, macros));
    }
    write(directory, "BlockProducts", ProductBlocks.source(), macros);
    for (int rows : new int[] {5, 12}) {
      write(directory, "FusedKernels" + rows, FusedBlocks.source(rows), macros);
    }
    write(directory, "DotProducts", DotBlocks.source(), macros);
    write(directory, "ByteRowsProducts", NarrowBlocks.bytes(), macros);
    write(directory, "BrainRowsProducts", NarrowBlocks.brain(), macros);
    write(directory, "Transpose16", Butterflies.transpose(), macros);
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
        import jdk.incubator.vector.VectorMask;
        import jdk.incubator.vector.VectorOperators;
        import jdk.incubator.vector.VectorShuffle;

        %s\
        """
            .formatted(PACKAGE, Templates.expanded(body, macros));
    for (String type :
        new String[] {"IntVector", "VectorMask", "VectorOperators", "VectorShuffle"}) {
      if (!Templates.expanded(body, macros).contains(type)) {
        source = source.replace("import jdk.incubator.vector." + type + ";\n", "");
      }
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
}
