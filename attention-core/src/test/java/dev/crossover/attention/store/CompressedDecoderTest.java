// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class CompressedDecoderTest {
  private static final int N = 40;
  private static final int PROMPT = 25;
  private static final AttentionShape SHAPE = new AttentionShape(2, 4, 2, N, N, 8, 8, 6);

  static List<String> policies() {
    return CachePolicies.all().stream().map(RecordType::name).toList();
  }

  @Test
  void everyGoldenFileIsReproduced() throws Exception {
    Path folder =
        Path.of(
                Objects.requireNonNull(
                        CompressedDecoderTest.class.getResource(
                            "/golden/kv_compression__h2o.safetensors"))
                    .toURI())
            .resolveSibling("");
    CacheReplay replay = new CacheReplay();
    try (Stream<Path> files = Files.list(folder)) {
      List<Path> ours = files.filter(replay::accepts).toList();
      assertTrue(ours.size() >= 20, "files found: " + ours.size());
      for (Path file : ours) {
        ReplayResult result = replay.replay(file);
        assertTrue(result.passed(), result.line());
      }
    }
  }

  private static float[][] tensors() {
    return new float[][] {
      Draws.gaussian(1, 8, N, 8).data(),
      Draws.gaussian(2, 4, N, 8).data(),
      Draws.gaussian(3, 4, N, 6).data()
    };
  }

  private static float[] rows(float[] from, int heads, int width, int first, int count) {
    float[] rows = new float[heads * count * width];
    for (int h = 0; h < heads; h++) {
      System.arraycopy(from, (h * N + first) * width, rows, h * count * width, count * width);
    }
    return rows;
  }

  private static float[] decoded(
      CachePolicy policy, int interval, Storage storage, int threads, int[][] attended) {
    float[][] x = tensors();
    CompressedDecoder decoder = new CompressedDecoder(policy, interval, storage, SHAPE, threads);
    float[] out = new float[8 * N * 6];
    float[] q = rows(x[0], 8, 8, 0, PROMPT);
    float[] prompt = new float[8 * PROMPT * 6];
    decoder.prefill(q, rows(x[1], 4, 8, 0, PROMPT), rows(x[2], 4, 6, 0, PROMPT), q, PROMPT, prompt);
    for (int h = 0; h < 8; h++) {
      System.arraycopy(prompt, h * PROMPT * 6, out, h * N * 6, PROMPT * 6);
    }
    float[] row = new float[8 * 6];
    for (int t = PROMPT; t < N; t++) {
      decoder.step(rows(x[0], 8, 8, t, 1), rows(x[1], 4, 8, t, 1), rows(x[2], 4, 6, t, 1), row);
      for (int h = 0; h < 8; h++) {
        System.arraycopy(row, h * 6, out, (h * N + t) * 6, 6);
      }
      attended[t - PROMPT] = decoder.attended(3);
    }
    assertEquals(N, decoder.position());
    return out;
  }

  private static float[] exact() {
    float[][] x = tensors();
    Tensor out = Tensor.zeros(2, 4, N, 6);
    new Tiled()
        .plan(SHAPE, Mask.causal(), 1)
        .forward(
            Tensors.qkv(
                Tensor.of(x[0], 2, 4, N, 8),
                Tensor.of(x[1], 2, 2, N, 8),
                Tensor.of(x[2], 2, 2, N, 6)),
            out);
    return out.data();
  }

  @ParameterizedTest
  @MethodSource("policies")
  void aBudgetThatSufficesIsExactAttention(String name) {
    CachePolicy policy = CachePolicies.create(name, Map.of());
    float[] out = decoded(policy, 1, Storage.F32, 1, new int[N - PROMPT][]);
    assertArrayEquals(exact(), out, 2e-6f, name);
  }

  @ParameterizedTest
  @MethodSource("policies")
  void aSmallBudgetKeepsSoManyPositionsWithTheNewestLastAndTheSameForAnyThreads(String name) {
    Map<String, String> small =
        switch (name) {
          case "h2o" -> Map.of("heavy_budget", "4", "recent_budget", "6");
          case "quest" -> Map.of("budget", "10", "page_size", "5", "minimum_pages", "1");
          case "snapkv" -> Map.of("budget", "10", "observation_window", "4");
          case "pyramidkv" ->
              Map.of(
                  "budget",
                  "10",
                  "observation_window",
                  "4",
                  "layers",
                  "3",
                  "layer",
                  "1",
                  "beta",
                  "2");
          default -> Map.of("budget", "10");
        };
    CachePolicy policy = CachePolicies.create(name, small);
    int[][] attended = new int[N - PROMPT][];
    float[] one = decoded(policy, 1, Storage.F32, 1, attended);
    float[] three = decoded(policy, 1, Storage.F32, 3, new int[N - PROMPT][]);
    assertArrayEquals(one, three, name);
    for (int t = 0; t < attended.length; t++) {
      int count = attended[t].length;
      if (name.equals("quest")) {
        assertTrue(count >= 6 && count <= 10, name + " reads " + count);
      } else {
        assertEquals(policy.budget(PROMPT) + 1, count, name + " step " + t);
        assertEquals(PROMPT + t, attended[t][count - 1], name + " sees its own key");
      }
      for (int s = 1; s < count; s++) {
        assertTrue(attended[t][s] > attended[t][s - 1], name + " keeps the order");
      }
    }
  }

  @Test
  void sinksAndTheWindowAreWhatStreamingKeeps() {
    int[][] attended = new int[N - PROMPT][];
    CachePolicy policy =
        CachePolicies.create("streaming_llm", Map.of("budget", "6", "sink_tokens", "2"));
    decoded(policy, 1, Storage.F32, 1, attended);
    assertArrayEquals(new int[] {0, 1, 35, 36, 37, 38, 39}, attended[N - PROMPT - 1]);
  }

  @Test
  void storesOfFewerBitsStayNearTheExactResult() {
    CachePolicy all = CachePolicies.create("streaming_llm", Map.of());
    float[] exact = exact();
    assertArrayEquals(exact, decoded(all, 0, Storage.F16, 1, new int[N][]), 4e-3f);
    assertArrayEquals(exact, decoded(all, 0, Storage.BF16, 1, new int[N][]), 3e-2f);
    assertArrayEquals(exact, decoded(all, 0, Storage.INT8_ROW, 1, new int[N][]), 4e-2f);
  }

  @Test
  void whatIsWrongIsRefusedByName() {
    assertRefused("streaming", Map.of(), "streaming_llm");
    assertRefused("h2o", Map.of("heavy_budget", "-1"), "heavy_budget");
    assertRefused("knorm", Map.of("budget", "4", "compression_ratio", "0.5"), "budget");
    assertRefused("knorm", Map.of("compression_ratio", "1"), "compression_ratio");
    assertRefused("snapkv", Map.of("kernel_size", "4"), "kernel_size");
    assertRefused("pyramidkv", Map.of("layer", "3"), "layer");
    assertRefused("quest", Map.of("page_size", "0"), "page_size");
  }

  private static void assertRefused(String name, Map<String, String> parameters, String reason) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> CachePolicies.create(name, parameters))
            .getMessage();
    assertTrue(message.contains(reason), message);
  }
}
