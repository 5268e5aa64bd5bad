// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.swap.MiniLmFiles;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TaskTraining;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What the command says where something is missing; `mvn -Pminilm` tests what it computes.
class SwapCommandTest {
  @TempDir private Path folder;

  @AfterEach
  void forgetWeights() {
    System.clearProperty(MiniLmFiles.WEIGHTS);
    System.clearProperty(MiniLmFiles.TOKENIZER);
  }

  private int code;

  private String run(String... arguments) {
    StringWriter text = new StringWriter();
    PrintWriter writer = new PrintWriter(text, true);
    code = Main.run(writer, writer, arguments);
    return text.toString();
  }

  @Test
  void absentWeightsAreAskedFor() {
    String absent = folder.resolve("absent.onnx").toString();
    String told = run("swap", "--weights", absent, "-o", folder.resolve("out").toString());
    assertEquals(Main.FAILED, code);
    assertTrue(told.contains("mvn -Pminilm") && told.contains("--weights"), told);
    assertTrue(Files.notExists(folder.resolve("out")));
  }

  @Test
  void filesThatAreNoWeightsAreRefused() throws Exception {
    Path text = Files.writeString(folder.resolve("weights.txt"), "none");
    assertTrue(run("swap", "--weights", text.toString()).contains(".onnx, .safetensors"));
    assertEquals(Main.USAGE, code);
    Path jar = Files.writeString(folder.resolve("weights.jar"), "none");
    assertTrue(run("swap", "--weights", jar.toString()).contains("must be a jar"));
    assertEquals(Main.FAILED, code);
    Path onnx = Files.writeString(folder.resolve("weights.onnx"), "\u0008\u0007");
    assertTrue(run("swap", "--weights", onnx.toString()).contains("must be an ONNX model"));
    assertEquals(Main.FAILED, code);
  }

  @Test
  void unknownModelsAndSettingsAreRefusedBeforeAnythingIsRead() {
    assertTrue(run("swap", "--model", "minlm").contains("minilm"));
    assertEquals(Main.USAGE, code);
    assertTrue(run("swap", "-m", "longformer:window=8+global=all").contains("global=ends"));
    assertEquals(Main.USAGE, code);
  }

  /// A model of one small block, two steps old, and a text: from the command to the page.
  @Test
  void languageModelsAreSwappedToAPage() throws Exception {
    Path text = folder.resolve("text.txt");
    Files.writeString(text, "what is read here is read over and over. ".repeat(200));
    Task task = Tasks.parse("bytes:n=16,text=" + text);
    Map<String, String> small =
        Map.of("width", "16", "layers", "1", "heads", "2", "batch", "2", "steps", "2");
    TaskTraining training = new TaskTraining(task, Recipe.of(task, "tiled", small, 16), 1, 42, 1);
    training.step();
    Path weights = folder.resolve("weights.safetensors");
    training.save(weights);
    List<String> words = new ArrayList<>(List.of("swap", "--model", "bytes"));
    words.addAll(List.of("--weights", weights.toString(), "--texts", text.toString()));
    words.addAll(List.of("--n", "16,32", "--windows", "2", "-m", "tiled,longformer:window=2"));
    words.addAll(List.of("--scratch-steps", "1", "--batch", "2", "--train-n", "16"));
    words.addAll(List.of("--threads", "1", "-o", folder.resolve("out").toString()));
    List<String> dry = new ArrayList<>(words);
    dry.add("--dry-run");
    String predicted = run(dry.toArray(String[]::new));
    assertEquals(0, code, predicted);
    assertTrue(predicted.contains("2 mechanisms, about"), predicted);
    assertTrue(Files.notExists(folder.resolve("out")));
    String told = run(words.toArray(String[]::new));
    assertEquals(0, code, told);
    assertTrue(told.contains("checking that an exact mechanism gives the original's loss"), told);
    assertTrue(told.contains("From scratch:"), told);
    assertTrue(Files.exists(folder.resolve("out").resolve("language-swap.md")));
    String name = weights.toString();
    String out = folder.resolve("explained").toString();
    String read = run("explain", "--model", name, "--text", "what is read", "-o", out);
    assertEquals(0, code, read);
    assertTrue(read.contains("layer 0, head 0"), read);
    String page = Files.readString(folder.resolve("explained").resolve("explain.html"));
    assertTrue(page.contains("weights.safetensors, 1 layers, 12 bytes"), page);
    String again = run(words.toArray(String[]::new));
    assertFalse(again.contains("checking that"), again);
  }

  @Test
  void optionsOfOneModelAreRefusedForTheOther() {
    assertTrue(run("swap", "--n", "16").contains("model must be bytes with --n"));
    assertEquals(Main.USAGE, code);
    assertTrue(run("swap", "--model", "bytes", "--tokenizer", "x").contains("tokenizer must not"));
    assertEquals(Main.USAGE, code);
    if (!PretrainedModel.hasBuiltIn()) {
      assertTrue(run("swap", "--model", "bytes").contains("must be part of this build"));
      assertEquals(Main.USAGE, code);
    }
  }

  @Test
  void conformanceSaysWhatGivesTheWeights() throws Exception {
    Path golden =
        Path.of("..", "bench", "src", "test", "resources", "golden", "minilm__cat.safetensors");
    String absent = folder.resolve("absent.onnx").toString();
    String told = run("conformance", "--weights", absent, golden.toString());
    assertEquals(Main.FAILED, code);
    assertTrue(told.contains("NO REPLAY") && told.contains("mvn -Pminilm"), told);
  }

  @Test
  void explainedTextsNeedTheWeightsAndNothingElse() {
    String absent = folder.resolve("absent.onnx").toString();
    String told = run("explain", "--text", "a cat", "--weights", absent);
    assertEquals(Main.FAILED, code);
    assertTrue(told.contains("mvn -Pminilm"), told);
    assertTrue(run("explain", "--text", "a cat", "--n", "8").contains("must not be given"));
    assertEquals(Main.USAGE, code);
    assertTrue(run("explain", "--weights", absent).contains("text must be given"));
    assertTrue(run("explain", "--model", "builtin").contains("text must be given"));
    String both = run("explain", "--text", "a", "--model", "x", "--weights", absent);
    assertTrue(both.contains("must not be given with --model"), both);
    assertEquals(Main.USAGE, code);
  }
}
