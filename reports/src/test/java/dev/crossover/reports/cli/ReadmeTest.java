// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Decoder;
import dev.crossover.attention.exact.ExactAttention;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileWriter;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
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
  }

  @Test
  void facadeCompilesAndRuns() {
    Tensor queries = Draws.gaussian(1, 1, 32, 40, 128);
    Tensor keys = Draws.gaussian(2, 1, 8, 40, 128);
    Tensor values = Draws.constant(1, 1, 8, 40, 128);
    Tensor query = Draws.gaussian(4, 1, 32, 1, 128);
    Tensor key = Draws.gaussian(5, 1, 8, 1, 128);
    Tensor value = Draws.constant(1, 1, 8, 1, 128);

    ExactAttention attention =
        ExactAttention.builder().heads(32).keyValueHeads(8).headDim(128).threads(2).build();
    Tensor outputs = attention.attend(queries, keys, values); // [batch, heads, n, 128], causal
    Decoder decoder = attention.decoder(1, 4096); // one sequence, room for 4096 positions
    decoder.append(queries, keys, values); // a prompt, computed once
    Tensor next = decoder.append(query, key, value); // one token or many; allocates nothing for one
    Decoder branch = decoder.fork(); // goes on apart
    decoder.truncate(16); // and back

    for (Tensor means : new Tensor[] {outputs, next}) {
      for (float mean : means.data()) {
        assertEquals(1, mean, 1e-5, "weights sum to one");
      }
    }
    assertEquals(41, branch.position(0));
    assertEquals(16, decoder.position(0));
  }

  /// Every line of the README's Java is a line of this file, so that it has been compiled and run.
  @Test
  void everyLineOfJavaIsCompiledHere() throws IOException {
    List<String> here =
        Files.readAllLines(Path.of("src/test/java/dev/crossover/reports/cli/ReadmeTest.java"))
            .stream()
            .map(String::strip)
            .toList();
    int lines = 0;
    boolean java = false;
    for (String line : readme().lines().map(String::strip).toList()) {
      if (line.startsWith("```")) {
        java = line.equals("```java");
      } else if (java) {
        assertTrue(here.contains(line), line);
        lines++;
      }
    }
    assertTrue(lines >= 12, "lines of Java in the README");
  }

  private static String readme() throws IOException {
    return Files.readString(Path.of("..", "README.md")).replace("\r\n", "\n");
  }
}
