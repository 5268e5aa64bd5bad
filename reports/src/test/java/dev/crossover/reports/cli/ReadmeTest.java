package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileWriter;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The README's table and example are the program's.
class ReadmeTest {
  private static final String JAR = "java -jar reports/target/crossover.jar ";
  private static final String BEGIN = "<!-- crossover list --markdown -->\n";

  @TempDir Path folder;

  @Test
  void tableIsWhatListPrints() throws IOException {
    StringWriter out = new StringWriter();
    int code =
        Main.run(new PrintWriter(out), new PrintWriter(new StringWriter()), "list", "--markdown");
    assertEquals(0, code);
    String readme = readme();
    int begin = readme.indexOf(BEGIN) + BEGIN.length();
    String table = readme.substring(begin, readme.indexOf("<!-- end -->"));
    assertEquals(out.toString(), table, "crossover list --markdown prints the new table");
  }

  /// Options that do not exist, and lengths that the input does not have, are found by a dry run.
  @Test
  void sweepCommandsMeasureEveryPointTheyName() throws IOException {
    Path yaml = folder.resolve("mine.yaml");
    String readme = readme();
    int begin = readme.indexOf("```yaml\n") + "```yaml\n".length();
    Files.writeString(yaml, readme.substring(begin, readme.indexOf("```", begin)));
    Path tensors = folder.resolve("my-model.safetensors");
    new TensorFileWriter()
        .add("q", Draws.gaussian(1, 1, 2, 8192, 4))
        .add("k", Draws.gaussian(2, 1, 2, 8192, 4))
        .add("v", Draws.gaussian(3, 1, 2, 8192, 4))
        .writeSafeTensors(tensors);
    int commands = 0;
    for (String line : readme.lines().filter(l -> l.startsWith(JAR + "sweep")).toList()) {
      String command =
          line.substring(JAR.length())
              .replaceFirst("\\s*#.*", "")
              .replace(" --dry-run", "")
              .replace("mine.yaml", yaml.toString())
              .replace("my-model.safetensors", tensors.toString());
      String answer = answer((command + " --dry-run -o " + folder).split(" "));
      assertTrue(answer.contains(" 0 skipped"), line + "\n" + answer);
      commands++;
    }
    assertTrue(commands >= 5, "sweep commands in the README");
  }

  @Test
  void everyOptionOfEveryCommandExists() throws IOException {
    int options = 0;
    for (String line : readme().lines().filter(l -> l.startsWith(JAR)).toList()) {
      String[] words = line.substring(JAR.length()).replaceFirst("\\s*#.*", "").split(" ");
      String help = answer("help", words[0]);
      for (String word : words) {
        if (word.startsWith("-")) {
          assertTrue(help.contains(" " + word) || help.contains("," + word), line + ": " + word);
          options++;
        }
      }
    }
    assertTrue(options >= 10, "options in the README");
  }

  private static String answer(String... command) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    assertEquals(0, Main.run(new PrintWriter(out), new PrintWriter(err), command), err.toString());
    return out.toString();
  }

  @Test
  void exampleCompilesAndRuns() throws IOException {
    Tensor query = Draws.gaussian(1, 1, 8, 4096, 64);
    Tensor key = Draws.gaussian(2, 1, 8, 4096, 64);
    Tensor value = Draws.constant(1, 1, 8, 4096, 64);

    AttentionShape shape = AttentionShape.of(1, 8, 4096, 64); // batch, heads, length, head width
    Attention attention = Catalogue.parse("longformer:window=128");
    AttentionPlan plan = attention.plan(shape, Mask.causal(), 2); // allocates everything, once
    Tensor output = Tensor.zeros(attention.outputShape(shape));
    plan.forward(Tensors.qkv(query, key, value), output); // allocates nothing

    for (float mean : output.data()) {
      assertEquals(1, mean, 1e-5, "weights sum to one");
    }
    String readme = readme();
    String here =
        Files.readString(Path.of("src/test/java/dev/crossover/reports/cli/ReadmeTest.java"));
    for (String line : here.lines().map(String::strip).toList()) {
      if (line.startsWith("AttentionShape shape") || line.startsWith("plan.forward")) {
        assertTrue(readme.contains(line), line);
      }
    }
  }

  private static String readme() throws IOException {
    return Files.readString(Path.of("..", "README.md")).replace("\r\n", "\n");
  }
}
