// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.layer.HeadTensors;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TaskTraining;
import dev.crossover.models.training.TrainedModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ModelInputTest {
  private static final int N = 24;
  private static final AttentionShape WISH = AttentionShape.of(1, 1, N, 8);

  @TempDir private Path folder;
  private Path weights = Path.of("");
  private Path text = Path.of("");

  /// Four query heads of width 8 that share two key heads, three blocks, positions by rotation.
  @BeforeEach
  void train() throws IOException {
    weights = trained("tiled", "weights.safetensors");
    text = folder.resolve("text");
    Files.writeString(text, "Sentences that no model has read, one after the other.");
  }

  private Path trained(String mixer, String name) throws IOException {
    Task task = Tasks.parse("bytes:n=32");
    Map<String, String> small = new HashMap<>();
    small.putAll(Map.of("width", "32", "layers", "3", "batch", "2", "steps", "2"));
    small.putAll(Map.of("positions", "rope", "heads", "4", "kv_heads", "2"));
    TaskTraining training =
        new TaskTraining(task, Recipe.of(task, mixer, small, task.positions()), 1, 42, 1);
    training.step();
    Path file = folder.resolve(name);
    training.save(file);
    return file;
  }

  private String label(String options) {
    return "model:" + options + "weights=" + weights;
  }

  private Tensors load(String label) throws IOException {
    InputSource input = InputSource.parse(label);
    return input.load(input.shapeFor(WISH), 1);
  }

  @Test
  void labelsMakeTheSourceAgain() {
    for (String label :
        List.of("model:layer=0", "model:layer=2,text=/a%2Cb,heads=0/3,weights=x.safetensors")) {
      assertEquals(label, InputSource.parse(label).label());
    }
    assertEquals("model:layer=0", InputSource.parse("model").label());
  }

  /// Exact attention over what is read, scores divided by √8, gives the layer's own head outputs.
  @Test
  void theyAreWhatTheLayersOwnMechanismReads() throws IOException {
    TrainedModel trained = PretrainedModel.load(weights.toString()).model();
    Model whole =
        Model.plan(
            ModelKind.LANGUAGE_MODEL,
            trained.layers(),
            trained.parameters(),
            ModelShape.of(1, N),
            Purpose.HEADS,
            1);
    int[] tokens = Bytes.tokens(Files.readAllBytes(text), 0, N);
    List<HeadTensors> layers = whole.heads(new Batch(tokens, null, null, null, null));
    assertEquals(3, layers.size());
    for (int layer = 0; layer < 3; layer++) {
      String label = label("layer=" + layer + ",text=" + text + ",");
      InputSource input = InputSource.parse(label);
      AttentionShape shape = input.shapeFor(WISH);
      assertEquals(new AttentionShape(1, 4, 2, N, N, 8, 8, 8), shape);
      Tensors read = input.load(shape, 1);
      assertArrayEquals(layers.get(layer).query().data(), read.get("q").data());
      assertArrayEquals(layers.get(layer).key().data(), read.get("k").data());
      assertArrayEquals(layers.get(layer).value().data(), read.get("v").data());
      Tensor out = Tensor.zeros(1, 4, N, 8);
      new Materialised().plan(shape, Mask.causal(), 1).forward(read, out);
      assertArrayEquals(layers.get(layer).out().data(), out.data(), 1e-5f, label);
    }
  }

  @Test
  void chosenHeadsKeepACopyOfTheKeyHeadTheyShare() throws IOException {
    Tensors all = load(label("text=" + text + ","));
    Tensors some = load(label("text=" + text + ",heads=3/0,"));
    int head = N * 8;
    for (String name : List.of("q", "k", "v")) {
      int third = name.equals("q") ? 3 : 1;
      float[] from = all.get(name).data();
      float[] to = some.get(name).data();
      assertEquals(2 * head, to.length);
      assertArrayEquals(
          Arrays.copyOfRange(from, third * head, (third + 1) * head), Arrays.copyOf(to, head));
      assertArrayEquals(Arrays.copyOf(from, head), Arrays.copyOfRange(to, head, 2 * head));
    }
  }

  /// The model is causal: a longer text changes nothing before its end. Without a text of one's own
  /// it is what training never saw.
  @Test
  void shorterSequencesAreTheBeginningOfLongerOnes() throws IOException {
    InputSource input = InputSource.parse(label("layer=1,heads=2,"));
    assertEquals(
        new Bytes(2, "", Bytes.Part.HELD_OUT).ofPart().length,
        input.maxSeqLen(),
        "held-out part of the built-in text");
    Tensors few = input.load(input.shapeFor(WISH), 1);
    Tensors more = input.load(input.shapeFor(WISH.withSeqLens(2 * N, 2 * N)), 1);
    for (String name : List.of("q", "k", "v")) {
      float[] start = Arrays.copyOf(more.get(name).data(), N * 8);
      assertArrayEquals(few.get(name).data(), start, 1e-6f, name);
    }
  }

  @Test
  void whatIsNotThereIsRefusedByName() throws IOException {
    assertTrue(refusal(label("layer=3,")).contains("layer must be below the model's number (3)"));
    assertTrue(refusal(label("heads=4,")).contains("heads must be below the model's number (4)"));
    assertTrue(refusal(label("text=" + text + ",")).contains("n must be at most the bytes"));
    assertTrue(refusal("model:lair=1").contains("did you mean layer?"));
    String recurrent = "model:weights=" + trained("gru+positions=none", "gru.safetensors");
    assertTrue(refusal(recurrent).contains("must hold an attention mechanism, but was gru"));
    String none = "model:weights=" + folder.resolve("none");
    assertThrows(IOException.class, () -> InputSource.parse(none).maxSeqLen());
    if (!PretrainedModel.hasBuiltIn()) {
      assertTrue(refusal("model:layer=1").contains("must be part of this build"));
    }
  }

  private static String refusal(String label) {
    AttentionShape longer = WISH.withSeqLens(60, 60);
    return String.valueOf(
        assertThrows(
                IllegalArgumentException.class, () -> InputSource.parse(label).shapeFor(longer))
            .getMessage());
  }
}
