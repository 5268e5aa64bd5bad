// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TaskTraining;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GenerateCommandTest {
  @TempDir Path folder;

  private static String run(int code, String... words) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    List<String> command = new ArrayList<>(List.of("generate"));
    command.addAll(Arrays.asList(words));
    int found =
        Main.run(new PrintWriter(out), new PrintWriter(err), command.toArray(String[]::new));
    assertEquals(code, found, err.toString());
    return code == 0 ? out.toString() : err.toString();
  }

  private static String continued(String... words) {
    List<String> command =
        new ArrayList<>(List.of("--prompt", "The quick brown fox", "--tokens", "20", "--random"));
    command.addAll(Arrays.asList(words));
    return run(0, command.toArray(String[]::new));
  }

  private static String refused(String... words) {
    List<String> command = new ArrayList<>(List.of("--prompt", "a", "--random"));
    command.addAll(Arrays.asList(words));
    return run(2, command.toArray(String[]::new));
  }

  private static String text(String answer) {
    return answer.substring(0, answer.indexOf("\nmodel "));
  }

  private static long bytes(String answer) {
    String line =
        answer.lines().filter(l -> l.startsWith("state")).findFirst().orElseThrow().strip();
    return Long.parseLong(line.replaceFirst("state\\s+(\\d+) bytes.*", "$1"));
  }

  /// A temperature makes the text depend on the smallest change of the probabilities' order.
  @Test
  void exactStoresAndBudgetsThatSufficeSayTheSame() {
    String plain = continued("--temperature", "1");
    assertTrue(plain.contains("random weights"), plain);
    assertTrue(plain.contains("its text means nothing"), plain);
    assertTrue(plain.contains("generated  20 tokens, "), plain);
    assertEquals(39L * 2 * 2 * 64 * Float.BYTES, bytes(plain), plain);
    for (String[] same :
        new String[][] {
          {"--store", "f32"},
          {"--threads", "1"},
          {"--cache", "h2o,budget=1000"},
          {"-m", "tiled+layers=2+heads=4", "--cache", "quest,page_size=1,budget=99"}
        }) {
      List<String> words = new ArrayList<>(List.of("--temperature", "1"));
      words.addAll(Arrays.asList(same));
      String found = continued(words.toArray(String[]::new));
      assertEquals(text(plain), text(found), Arrays.toString(same));
    }
    assertNotEquals(text(plain), text(continued("--temperature", "1", "--seed", "3")));
  }

  @Test
  void storesAndBudgetsTakeFewerBytesWithAnyMechanism() {
    long exact = bytes(continued());
    String half = continued("--store", "f16");
    assertEquals(exact, 2 * bytes(half));
    assertTrue(half.contains("mixer      tiled:store=f16"), half);
    assertEquals(
        39L * 2 * 2 * (64 + 4 * Float.BYTES),
        bytes(continued("--store", "int8")),
        "bytes, and a scale per head");
    assertEquals(10 * exact, 39 * bytes(continued("--cache", "streaming_llm,budget=10")));
    assertTrue(bytes(continued("-m", "gla+layers=1")) > 0);
  }

  @Test
  void checkpointsOfTrainingAreContinuedInTheirOwnTokens() throws IOException {
    Task task = Tasks.parse("mqar:n=16,pairs=2");
    Recipe recipe =
        Recipe.of(task, "tiled", Map.of("width", "16", "layers", "1", "steps", "2"), 40);
    TaskTraining training = new TaskTraining(task, recipe, 1, 2, 1);
    training.step();
    Path file = folder.resolve("model.safetensors");
    training.save(file);
    String[] words = {"--prompt", "1 2 3", "--tokens", "5", "--checkpoint", file.toString()};
    String answer = run(0, words);
    assertTrue(answer.contains("trained on " + Tasks.describe(task)), answer);
    assertTrue(text(answer).strip().matches("\\d+( \\d+){4}"), answer);
    List<String> stored = new ArrayList<>(List.of(words));
    stored.addAll(List.of("-m", "tiled", "--store", "f32"));
    assertEquals(text(answer), text(run(0, stored.toArray(String[]::new))));
    Path half = folder.resolve("half.safetensors");
    StringWriter told = new StringWriter();
    PrintWriter out = new PrintWriter(told);
    assertEquals(0, Main.run(out, out, "train", "--export", file.toString(), half.toString()));
    assertTrue(told.toString().contains("weights in half precision"), told.toString());
    words[5] = half.toString();
    assertTrue(text(run(0, words)).strip().matches("\\d+( \\d+){4}"));
    String tooLong = run(2, "--prompt", "1", "--tokens", "50", "--checkpoint", file.toString());
    assertTrue(tooLong.contains("max_length"), tooLong);
    String words2 = run(2, "--prompt", "a b", "--checkpoint", file.toString());
    assertTrue(words2.contains("prompt must be numbers"), words2);
  }

  /// Without a model of its own a build says what to name, and makes nothing up.
  @Test
  void theBuiltInModelIsTheDefaultWhereThereIsOne() {
    String[] words = {"--prompt", "import ", "--tokens", "2"};
    if (PretrainedModel.hasBuiltIn()) {
      assertTrue(run(0, words).contains("model      builtin, trained on bytes"));
    } else {
      assertTrue(run(2, words).contains("checkpoint or --random must be given"));
      assertTrue(run(2, "--prompt", "a", "--checkpoint", "builtin").contains("part of this build"));
    }
  }

  @Test
  void whatIsWrongIsRefusedByName() {
    assertTrue(run(2, "--prompt", "", "--random").contains("prompt must hold a token"));
    assertTrue(run(2, "--prompt", "a", "--tokens", "0").contains("tokens must be >= 1"));
    assertTrue(refused("--store", "int7").contains("store must be one of"));
    assertTrue(refused("-m", "gla", "--store", "f16").contains("gla: store"));
    assertTrue(refused("-m", "tiled+wide=3").contains("option must be one of"));
    assertTrue(refused("--temperature", "-1").contains("temperature"));
    assertTrue(refused("--checkpoint", "builtin").contains("must not be given with --random"));
    assertTrue(run(2, "--prompt", "a", "-m", "tiled+layers=3").contains("without --random"));
    String absent = folder.resolve("absent").toString();
    assertTrue(run(1, "--prompt", "a", "--checkpoint", absent).contains("absent"));
  }
}
