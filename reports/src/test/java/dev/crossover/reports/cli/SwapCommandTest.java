// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.swap.MiniLmFiles;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
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
    assertEquals(Main.USAGE, code);
  }
}
