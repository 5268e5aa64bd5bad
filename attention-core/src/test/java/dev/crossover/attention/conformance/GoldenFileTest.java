// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Mask;
import dev.crossover.attention.tensor.TensorFileException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What the metadata of a golden file mean, and which files are refused.
class GoldenFileTest {
  @TempDir Path folder;

  private GoldenFile read(GoldenWriter writer) throws IOException {
    return GoldenFile.read(writer.write(folder.resolve("case.safetensors")));
  }

  private void requireRefused(String named, GoldenWriter writer) {
    TensorFileException refused = assertThrows(TensorFileException.class, () -> read(writer));
    assertTrue(refused.getMessage().contains(named), refused.getMessage());
  }

  @Test
  void keysThatAreNeitherCommonNorChecksAreParameters() throws IOException {
    GoldenFile file =
        read(
            new GoldenWriter()
                .meta("window", "3")
                .meta("seed", "7")
                .meta("note", "n")
                .meta("decision_margin", "1e-3"));
    assertEquals(Map.of("window", "3"), file.parameters());
  }

  @Test
  void tensorsAreInputsAnswersOrGradientsByTheirElements() throws IOException {
    GoldenFile file =
        read(
            new GoldenWriter()
                .f64("final_state", new int[] {1}, 5)
                .f64("out_before_norm", new int[] {1}, 5)
                .f64("grad_q", new int[] {1}, 5)
                .f32("grad_out", new int[] {1}, 5));
    assertEquals(List.of("q", "k", "v"), file.inputs().names());
    assertEquals(
        java.util.Set.of("out", "final_state", "out_before_norm"), file.expected().keySet());
    assertTrue(file.demands("final_state"));
    assertFalse(file.demands("out_before_norm"));
    assertFalse(file.demands("final_normaliser"), "it is not in the file");
    assertEquals(List.of("grad_q"), file.gradients());
  }

  @Test
  void causalOrderAndKeyMaskCombine() throws IOException {
    assertEquals(Mask.none(), read(new GoldenWriter()).mask());
    assertEquals(Mask.causal(), read(new GoldenWriter().meta("causal", "true")).mask());
    GoldenWriter offset = new GoldenWriter().meta("causal", "true").meta("causal_offset", "-1");
    assertEquals(Mask.causal(-1), read(offset).mask());
    assertFalse(read(offset).isPlainCausal());
    Mask.KeyPadding padding = Mask.keys(2, new boolean[] {false, true});
    assertEquals(padding, read(new GoldenWriter().f32("key_mask", new int[] {1, 2}, 0, 1)).mask());
    assertEquals(
        Mask.both(Mask.causal(), padding),
        read(new GoldenWriter().meta("causal", "true").f32("key_mask", new int[] {1, 2}, 0, 1))
            .mask());
  }

  @Test
  void toleranceFollowsTheMeasuredErrorForTheOutputOnly() throws IOException {
    GoldenFile plain = read(new GoldenWriter());
    assertEquals(2e-5 + 2e-5 * 3, plain.tolerance("out", -3), 1e-20);
    GoldenFile measured =
        read(new GoldenWriter().meta("float32_error", "5e-7").meta("max_abs_out", "10"));
    assertEquals(2e-6 + 1e-5, measured.tolerance("out", 10), 1e-18);
    assertEquals(2e-5 + 2e-5 * 3, measured.tolerance("final_state", 3), 1e-20);
  }

  @Test
  void toleranceOfGradientsFollowsTheLargestOfTheirTensorAndOfAll() throws IOException {
    GoldenFile file =
        read(
            new GoldenWriter()
                .f64("grad_q", new int[] {1, 1, 2, 1}, 3, -10)
                .f64("grad_k", new int[] {1, 1, 2, 1}, 0, 1)
                .f64("grad_decay", new int[] {1}, 100)
                .f32("grad_out", new int[] {1, 1, 1, 1}, 5));
    assertEquals(2e-5 * 10 + 1e-6 * 10, file.tolerance("grad_q", 3), 1e-20);
    assertEquals(2e-5 * 1 + 1e-6 * 10, file.tolerance("grad_k", 0), 1e-20);
    assertEquals(5e-5 * 100 + 1e-6 * 10, file.tolerance("grad_decay", 100), 1e-18);
  }

  @Test
  void filesThatBreakTheFormatAreRefusedByName() {
    requireRefused("format", new GoldenWriter().meta("format", "1"));
    requireRefused("mechanism", new GoldenWriter().without("mechanism"));
    requireRefused("case", new GoldenWriter().without("case"));
    requireRefused("causal", new GoldenWriter().without("causal"));
    requireRefused("causal", new GoldenWriter().meta("causal", "yes"));
    requireRefused("causal_offset", new GoldenWriter().meta("causal_offset", "1"));
    requireRefused("kv_heads", new GoldenWriter().meta("kv_heads", "2.0"));
    requireRefused("padded_query_rows", new GoldenWriter().meta("padded_query_rows", "maybe"));
    requireRefused("float32_error", new GoldenWriter().meta("float32_error", "-1"));
    requireRefused("float32_error", new GoldenWriter().meta("float32_error", "NaN"));
    requireRefused("key_mask", new GoldenWriter().f32("key_mask", new int[] {2}, 0, 1));
    requireRefused("key_mask", new GoldenWriter().f32("key_mask", new int[] {1, 2}, 0, 2));
    requireRefused("out", new GoldenWriter().without("out"));
    requireRefused("grad_out", new GoldenWriter().f64("grad_q", new int[] {1, 1, 1, 1}, 1));
  }
}
