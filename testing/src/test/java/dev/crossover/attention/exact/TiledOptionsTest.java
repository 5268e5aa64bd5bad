// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.conformance.GoldenFile;
import dev.crossover.attention.conformance.Replay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.tensor.Tensor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// Score options of exact attention, alone and together, against plain loops in double precision
/// and against golden files.
class TiledOptionsTest {
  private static final MechanismType TILED = MechanismType.of(Tiled.class);

  private static Attention with(String... options) {
    Map<String, String> values = new LinkedHashMap<>();
    for (String option : options) {
      values.put(
          option.substring(0, option.indexOf('=')), option.substring(option.indexOf('=') + 1));
    }
    return TILED.create(values);
  }

  @Test
  void everyGoldenFileIsReproduced() throws Exception {
    Path folder =
        Path.of(
            Objects.requireNonNull(TiledOptionsTest.class.getResource("/golden-options")).toURI());
    try (Stream<Path> files = Files.list(folder)) {
      List<Path> all = files.toList();
      assertTrue(all.size() >= 20, "files found: " + all.size());
      for (Path file : all) {
        ReplayResult result = Replay.run(GoldenFile.read(file), TILED);
        assertTrue(result.passed(), result.line());
        for (String skipped : result.skipped()) {
          assertTrue(skipped.startsWith("token by token:"), result.line());
        }
      }
    }
  }

  @Test
  void filesWithOptionsAreNotForMechanismsWithout() throws Exception {
    GoldenFile file =
        GoldenFile.read(
            Path.of(
                Objects.requireNonNull(
                        TiledOptionsTest.class.getResource(
                            "/golden-options/softmax__sink_logit_mask.safetensors"))
                    .toURI()));
    assertTrue(Replay.covers(file, TILED));
    assertTrue(!Replay.covers(file, MechanismType.of(Materialised.class)));
  }

  @Test
  void aWindowOfEverythingAndCapsAndSinksThatDoNothingAreExactAttention() {
    AttentionShape shape = AttentionShape.of(1, 2, 150, 8);
    Tensors inputs = new Tiled().adapt(shape, Tensors.NONE, 3);
    float[] plain = run(new Tiled(), shape, inputs);
    assertArrayEquals(plain, run(with("window_size=150"), shape, inputs), 2e-6f);
    assertArrayEquals(plain, run(with("logit_softcap=1e6"), shape, inputs), 2e-5f);
    Tensor never = Tensor.zeros(2);
    Arrays.fill(never.data(), -1e30f);
    assertArrayEquals(
        plain, run(with("sink_logit=true"), shape, inputs.with("sink_logit", never)), 2e-6f);
  }

  private static float[] run(Attention attention, AttentionShape shape, Tensors inputs) {
    Tensor out = Tensor.zeros(1, 2, 150, 8);
    attention.plan(shape, Mask.causal(), 1).forward(inputs, out);
    return out.data();
  }

  @Test
  void slopesAreThoseOfThePaper() {
    assertArrayEquals(
        new float[] {0.25f, 0.0625f, 0.015625f, 0.00390625f, 0.5f, 0.125f},
        ScoreOptions.geometricSlopes(6));
    assertArrayEquals(new float[] {1 / 16f, 1 / 256f}, ScoreOptions.geometricSlopes(2));
  }

  @Test
  void whatIsWrongIsRefusedByName() {
    for (String wrong :
        List.of(
            "rope_dim=3",
            "logit_softcap=0",
            "window_size=0",
            "sink_tokens=2",
            "qk_norm_eps=-1",
            "rope_base=0")) {
      String message =
          String.valueOf(
              assertThrows(IllegalArgumentException.class, () -> with(wrong)).getMessage());
      assertTrue(message.contains(wrong.substring(0, wrong.indexOf('='))), message);
    }
    Attention wide = with("rope=half", "rope_dim=10");
    AttentionShape shape = AttentionShape.of(1, 1, 4, 8);
    String message =
        String.valueOf(
            assertThrows(IllegalArgumentException.class, () -> wide.plan(shape, Mask.causal(), 1))
                .getMessage());
    assertTrue(message.contains("rope_dim"), message);
  }
}
