// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.models.pretrained.AttentionCore;
import dev.crossover.models.pretrained.SentenceEncoder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// all-MiniLM-L6-v2 with its weights: `mvn -Pminilm`.
@Tag("minilm")
class MiniLmTest {
  static List<Path> files() throws Exception {
    Path one = MiniLmReplayTest.golden("minilm__cat.safetensors");
    try (Stream<Path> files = Files.list(one.resolveSibling(""))) {
      return files.filter(new MiniLmReplay()::accepts).sorted().toList();
    }
  }

  /// Tokens, embeddings, hidden states, and the whole table of swapped mechanisms.
  @ParameterizedTest
  @MethodSource("files")
  void everyAnswerIsWithinItsTolerance(Path file) {
    ReplayResult result = new MiniLmReplay().replay(file);
    assertTrue(result.passed(), result.line());
  }

  @Test
  void builtInTextsGiveTheirEmbeddings() throws Exception {
    SafeTensors file =
        SafeTensors.open(
            Path.of(
                Objects.requireNonNull(MiniLmTest.class.getResource("/minilm/texts.safetensors"))
                    .toURI()));
    MiniLmFiles.Loaded loaded = MiniLmReplay.model();
    List<int[]> texts = SwapTexts.builtIn().encode(loaded.requireTokenizer(), 512);
    int[] lengths = file.ints("lengths");
    int[] ids = file.ints("ids");
    double[] embeddings = file.doubles("embedding");
    assertEquals(64, texts.size());
    int at = 0;
    for (int t = 0; t < texts.size(); t++) {
      assertArrayEquals(Arrays.copyOfRange(ids, at, at + lengths[t]), texts.get(t), "text " + t);
      at += lengths[t];
      SentenceEncoder encoder =
          SentenceEncoder.plan(loaded.model(), AttentionCore.EXACT, 1, lengths[t], 2);
      assertArrayEquals(
          Arrays.copyOfRange(embeddings, t * 384, (t + 1) * 384),
          encoder.embed(texts.get(t), null)[0],
          1e-6,
          "text " + t);
    }
  }
}
