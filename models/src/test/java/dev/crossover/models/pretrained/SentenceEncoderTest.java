// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.attention.tensor.TensorFileWriter;
import dev.crossover.models.layer.HeadTensors;
import dev.crossover.models.layer.Mechanisms;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A small BERT with drawn weights beside plain loops in double precision.
class SentenceEncoderTest {
  private static final int HEADS = 2;
  private static final int WIDTH = 16;
  private static final int INNER = 24;
  private static final int LAYERS = 2;
  private static final int[] IDS = {2, 7, 11, 5, 9, 3, 0, 0};
  private static final boolean[] REAL = {true, true, true, true, true, true, false, false};

  /// Sums of at most 24 products of numbers up to about 3, twice normalised: float32 leaves some
  /// 1e-6.
  private static final double TOLERANCE = 5e-6;

  @TempDir private Path folder;

  private static Map<String, Tensor> weights() {
    Map<String, Tensor> weights = new LinkedHashMap<>();
    add(weights, "embeddings.word_embeddings.weight", 12, WIDTH);
    add(weights, "embeddings.position_embeddings.weight", 10, WIDTH);
    add(weights, "embeddings.token_type_embeddings.weight", 2, WIDTH);
    norm(weights, "embeddings.LayerNorm");
    for (int i = 0; i < LAYERS; i++) {
      String layer = "encoder.layer." + i + ".";
      for (String kind : new String[] {"query", "key", "value"}) {
        map(weights, layer + "attention.self." + kind, WIDTH, WIDTH);
      }
      map(weights, layer + "attention.output.dense", WIDTH, WIDTH);
      norm(weights, layer + "attention.output.LayerNorm");
      map(weights, layer + "intermediate.dense", INNER, WIDTH);
      map(weights, layer + "output.dense", WIDTH, INNER);
      norm(weights, layer + "output.LayerNorm");
    }
    return weights;
  }

  private static void add(Map<String, Tensor> weights, String name, int... shape) {
    weights.put(name, Draws.gaussian(Draws.seedFor(1, name), 0.4, shape));
  }

  private static void map(Map<String, Tensor> weights, String name, int out, int in) {
    add(weights, name + ".weight", out, in);
    add(weights, name + ".bias", out);
  }

  private static void norm(Map<String, Tensor> weights, String name) {
    weights.put(name + ".weight", Draws.uniform(Draws.seedFor(2, name), 0.5, 1.5, WIDTH));
    add(weights, name + ".bias", WIDTH);
  }

  private SafeTensors file(Map<String, Tensor> weights, String prefix) throws IOException {
    TensorFileWriter writer = new TensorFileWriter();
    weights.forEach((name, tensor) -> writer.add(prefix + name, tensor));
    Path path = folder.resolve("weights.safetensors");
    writer.writeSafeTensors(path);
    return SafeTensors.open(path);
  }

  private MiniLm model() throws IOException {
    return MiniLm.read(file(weights(), ""), HEADS, WIDTH);
  }

  @Test
  void everyLayerIsWhatTheEquationsSay() throws IOException {
    MiniLm model = model();
    SentenceEncoder encoder = SentenceEncoder.keeping(model, AttentionCore.EXACT, 1, IDS.length, 1);
    double[] embedding = encoder.embed(IDS, REAL)[0];
    PlainBert plain = new PlainBert(weights(), HEADS, LAYERS);
    double[][][] hidden = plain.hidden(IDS, REAL);
    for (int layer = 0; layer <= LAYERS; layer++) {
      for (int t = 0; t < 6; t++) {
        for (int c = 0; c < WIDTH; c++) {
          assertEquals(
              hidden[layer][t][c],
              encoder.hidden(layer).data()[t * WIDTH + c],
              TOLERANCE,
              "layer " + layer + ", token " + t);
        }
      }
    }
    assertArrayEquals(PlainBert.embedding(hidden[LAYERS], REAL), embedding, TOLERANCE);
  }

  @Test
  void paddingChangesNothing() throws IOException {
    MiniLm model = model();
    double[] padded =
        SentenceEncoder.plan(model, AttentionCore.EXACT, 1, IDS.length, 1).embed(IDS, REAL)[0];
    int[] bare = java.util.Arrays.copyOf(IDS, 6);
    double[] alone = SentenceEncoder.plan(model, AttentionCore.EXACT, 1, 6, 1).embed(bare, null)[0];
    assertArrayEquals(alone, padded, 1e-6);
  }

  @Test
  void batchAndThreadsGiveTheSameBits() throws IOException {
    MiniLm model = model();
    int[] two = {2, 7, 11, 3, 2, 4, 8, 3};
    SentenceEncoder encoder = SentenceEncoder.plan(model, AttentionCore.EXACT, 2, 4, 2);
    double[][] both = encoder.embed(two, null);
    SentenceEncoder single = SentenceEncoder.plan(model, AttentionCore.EXACT, 1, 4, 1);
    assertArrayEquals(single.embed(new int[] {2, 7, 11, 3}, null)[0], both[0]);
    assertArrayEquals(single.embed(new int[] {2, 4, 8, 3}, null)[0], both[1]);
  }

  @Test
  void onnxExportsAndPrefixedNamesGiveTheSameBits() throws IOException {
    Map<String, Tensor> weights = weights();
    OnnxBytes onnx = new OnnxBytes();
    weights.forEach(
        (name, tensor) -> {
          boolean map = tensor.shape().length == 2 && name.startsWith("encoder.");
          String bias = name.replace(".weight", ".bias");
          if (map) {
            onnx.map("onnx::MatMul_" + name.hashCode(), transposed(tensor), bias, true);
          } else {
            onnx.tensor(name, tensor, false);
          }
        });
    Path path = folder.resolve("model.onnx");
    MiniLm fromOnnx = MiniLm.read(path, OnnxFile.read(path, onnx.toByteArray()), HEADS, WIDTH);
    MiniLm prefixed = MiniLm.read(file(weights, "bert."), HEADS, WIDTH);
    double[] expected = embedding(model());
    assertArrayEquals(expected, embedding(fromOnnx));
    assertArrayEquals(expected, embedding(prefixed));
    assertEquals(LAYERS, fromOnnx.layers());
    assertEquals(10, fromOnnx.positions());
  }

  private static double[] embedding(MiniLm model) {
    return SentenceEncoder.plan(model, AttentionCore.EXACT, 1, IDS.length, 1).embed(IDS, REAL)[0];
  }

  private static Tensor transposed(Tensor tensor) {
    int rows = tensor.extent(0);
    int columns = tensor.extent(1);
    Tensor result = Tensor.zeros(columns, rows);
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < columns; c++) {
        result.data()[c * rows + r] = tensor.data()[r * columns + c];
      }
    }
    return result;
  }

  @Test
  void anotherExactMechanismChangesNothingAndAWindowDoes() throws IOException {
    MiniLm model = model();
    int[] ids = {2, 7, 11, 5, 9, 10, 4, 3};
    double[] exact = embedding(model, AttentionCore.EXACT, ids);
    assertArrayEquals(exact, embedding(model, AttentionCore.of(new Materialised()), ids), 1e-6);
    AttentionCore window = AttentionCore.of(Mechanisms.parse("longformer:window=1"));
    double[] narrow = embedding(model, window, ids);
    double difference = 0;
    for (int c = 0; c < WIDTH; c++) {
      difference = Math.max(difference, Math.abs(narrow[c] - exact[c]));
    }
    assertTrue(difference > 1e-3, "difference " + difference);
    Tensor all = Draws.constant(1, 1, 8);
    AttentionCore global =
        new AttentionCore(
            Mechanisms.parse("longformer:window=1"), Map.of("global_mask", all), false);
    assertArrayEquals(exact, embedding(model, global, ids), 1e-6);
  }

  private static double[] embedding(MiniLm model, AttentionCore core, int[] ids) {
    return SentenceEncoder.plan(model, core, 1, ids.length, 1).embed(ids, null)[0];
  }

  /// With shared queries and keys every score is that of two queries, or of two keys.
  @Test
  void sharedQueriesAndKeysComeFromEither() throws IOException {
    MiniLm model = model();
    SentenceEncoder encoder =
        SentenceEncoder.keeping(
            model, new AttentionCore(new Materialised(), Map.of(), true), 1, 6, 1);
    encoder.embed(java.util.Arrays.copyOf(IDS, 6), null);
    HeadTensors heads = encoder.heads(0);
    assertArrayEquals(heads.key().data(), heads.query().data());
  }

  @Test
  void whatDoesNotFitIsRefusedByName() throws IOException {
    Map<String, Tensor> weights = weights();
    weights.remove("encoder.layer.1.output.dense.weight");
    SafeTensors incomplete = file(weights, "");
    String missing =
        assertThrows(TensorFileException.class, () -> MiniLm.read(incomplete, HEADS, WIDTH))
            .getMessage();
    assertTrue(missing.contains("encoder.layer.1.output.dense.weight"), missing);
    String wide =
        assertThrows(TensorFileException.class, () -> MiniLm.read(file(weights(), "")))
            .getMessage();
    assertTrue(wide.contains("384"), wide);
    MiniLm model = model();
    SentenceEncoder encoder = SentenceEncoder.plan(model, AttentionCore.EXACT, 1, 2, 1);
    assertThrows(IllegalArgumentException.class, () -> encoder.embed(new int[] {2, 12}, null));
    assertThrows(IllegalArgumentException.class, () -> encoder.embed(new int[] {2}, null));
    assertThrows(
        IllegalArgumentException.class,
        () -> encoder.embed(new int[] {2, 3}, new boolean[] {false, false}));
    assertThrows(
        IllegalArgumentException.class,
        () -> SentenceEncoder.plan(model, AttentionCore.EXACT, 1, 11, 1));
    AttentionCore causal = AttentionCore.of(Mechanisms.parse("retnet"));
    String refused =
        assertThrows(
                IllegalArgumentException.class, () -> SentenceEncoder.plan(model, causal, 1, 4, 1))
            .getMessage();
    assertTrue(refused.contains("retnet"), refused);
  }
}
