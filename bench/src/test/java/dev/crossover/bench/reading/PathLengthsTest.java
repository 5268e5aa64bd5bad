// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Path lengths against numbers counted by a separate program, and closed formulas against counts.
class PathLengthsTest {
  /// Layers by their definitions; mean path to three decimals.
  @ParameterizedTest
  @CsvSource({
    "full, false, 16, 256, 1, 1.000, 0",
    "full, true, 16, 136, 1, 1.000, 0",
    "step, true, 16, 31, 15, 5.667, 0",
    "conv 3, false, 16, 46, 15, 5.667, 0",
    "conv 5, false, 16, 74, 8, 3.100, 0",
    "conv 3, true, 16, 45, 8, 3.100, 0",
    "dilated 3, false, 16, 39, 5, 2.592, 0",
    "dilated 3, true, 16, 35, 3, 1.992, 0",
    "dilated 2, true, 16, 28, 4, 2.825, 0",
    "conv 9, false, 16, 124, 4, 1.833, 0",
    "segments 4, true, 16, 88, 3, 1.533, 0",
    "full, false, 64, 4096, 1, 1.000, 0",
    "full, true, 64, 2080, 1, 1.000, 0",
    "step, true, 64, 127, 63, 21.667, 0",
    "conv 3, false, 64, 190, 63, 21.667, 0",
    "conv 5, false, 64, 314, 32, 11.087, 0",
    "conv 3, true, 64, 189, 32, 11.087, 0",
    "dilated 3, false, 64, 172, 8, 3.970, 0",
    "dilated 3, true, 64, 162, 4, 3.051, 0",
    "dilated 2, true, 64, 117, 6, 4.513, 0",
    "conv 9, false, 64, 556, 16, 5.802, 0",
    "segments 8, true, 64, 736, 7, 2.778, 0",
  })
  void layersByTheirDefinitions(
      String layer, boolean causal, int n, long pairs, int layers, double mean, long never) {
    String[] words = layer.split(" ");
    int k = words.length > 1 ? Integer.parseInt(words[1]) : 0;
    List<VisiblePairs> patterns =
        switch (words[0]) {
          case "full" -> List.of(LayerPatterns.full(n, causal));
          case "step" -> List.of(LayerPatterns.recurrentStep(n));
          case "conv" -> List.of(LayerPatterns.convolution(n, k, 1, causal));
          case "dilated" -> LayerPatterns.dilatedConvolutions(n, k, causal);
          default -> List.of(LayerPatterns.segments(n, k, k));
        };
    assertCounts(PathLengths.of(patterns, causal), pairs, layers, mean, never);
  }

  /// Mechanisms run for their pairs; those in turn are joined by `+`.
  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "sparse_transformer:stride=4; true; 16; 82; 2; 1.450; 0",
        "sparse_transformer:stride=4,pattern=local+sparse_transformer:stride=4,pattern=strided;"
            + " true; 16; 49; 2; 1.650; 0",
        "sparse_transformer:stride=4,pattern=strided+sparse_transformer:stride=4,pattern=local;"
            + " true; 16; 49; 2; 1.800; 0",
        "sparse_transformer:stride=4,pattern=fixed_union; true; 16; 64; 2; 1.600; 0",
        "sparse_transformer:stride=4,pattern=fixed_block+"
            + "sparse_transformer:stride=4,pattern=fixed_summary; true; 16; 34; 2; 1.800; 0",
        "sparse_transformer:stride=4,pattern=fixed_summary+"
            + "sparse_transformer:stride=4,pattern=fixed_block; true; 16; 34; 3; 2.400; 0",
        "sparse_transformer:stride=4,pattern=local; true; 16; 58; 5; 2.250; 0",
        "longformer:window=2; false; 16; 74; 8; 3.100; 0",
        "longformer:window=2; true; 16; 45; 8; 3.100; 0",
        "longformer:window=2,dilation=2; false; 16; 68; -1; 1.786; 128",
        "longformer:window=2,dilation=1/4; false; 16; 114; 3; 1.683; 0",
        "nsa:block_size=2,num_selected_blocks=1,window_size=1; true; 16; 136; 1; 1.000; 0",
        "linformer:projected_length=4; false; 16; 256; 1; 1.000; 0",
        "nystromformer:landmarks=4; false; 16; 256; 1; 1.000; 0",
        "linformer:projection=convolution,projected_length=5,kernel_size=3,stride=3; false; 16;"
            + " 240; -1; 1.000; 15",
        "sparse_transformer:stride=8; true; 64; 708; 2; 1.681; 0",
        "sparse_transformer:stride=8,pattern=fixed_union; true; 64; 512; 2; 1.778; 0",
        "sparse_transformer:stride=8,pattern=local; true; 64; 484; 9; 3.542; 0",
        "longformer:window=2,dilation=2; false; 64; 308; -1; 5.758; 2048",
        "longformer:window=2,dilation=1/4; false; 64; 546; 9; 3.655; 0",
        "linformer:projection=convolution,projected_length=21,kernel_size=3,stride=3; false; 64;"
            + " 4032; -1; 1.000; 63",
      })
  void mechanismsByTheirOwnPairs(
      String specs, boolean causal, int n, long pairs, int layers, double mean, long never) {
    List<VisiblePairs> inTurn = new ArrayList<>();
    for (String spec : specs.split("\\+")) {
      inTurn.add(MechanismPairs.of(spec, n, causal, 1).orElseThrow());
    }
    assertCounts(PathLengths.of(inTurn, causal), pairs, layers, mean, never);
  }

  @ParameterizedTest
  @CsvSource({
    "false, 16, 100, 2, 1.650", "true, 16, 58, 7, 2.692",
    "false, 64, 436, 2, 1.908", "true, 64, 250, 31, 10.611"
  })
  void oneGlobalTokenShortensPathsOnlyWhereItSeesAll(
      boolean causal, int n, long pairs, int layers, double mean) {
    Tensors mask = Tensors.NONE.with("global_mask", MechanismPairs.globalToken(n, 0));
    VisiblePairs own = MechanismPairs.of("longformer:window=2", n, causal, 1, mask).orElseThrow();
    assertCounts(PathLengths.of(List.of(own), causal), pairs, layers, mean, 0);
  }

  /// The head of slot 1 alone never sees what the later cells of a window hold.
  @ParameterizedTest
  @CsvSource({"16, 4, 64, 1.500, 24", "64, 8, 512, 1.750, 224"})
  void fixedHeadWithoutTheLastCellsNeverReachesThem(
      int n, int stride, long pairs, double mean, long never) {
    String spec = "sparse_transformer:pattern=fixed_union,summary_slots=2,stride=" + stride;
    List<VisiblePairs> heads = MechanismPairs.heads(spec, n, true, 1, Tensors.NONE).orElseThrow();
    assertCounts(PathLengths.of(List.of(heads.get(1)), true), pairs, -1, mean, never);
  }

  private static void assertCounts(
      PathLengths counted, long pairs, int layers, double mean, long never) {
    assertEquals(layers, counted.layers());
    assertEquals(pairs, (long) counted.pairs());
    assertEquals(mean, counted.mean(), 5e-4);
    assertEquals(never, counted.never());
  }

  /// Windows, convolutions, dilations and segments: the closed formulas for every length to 40.
  @Test
  void closedFormulasHoldForEveryLength() {
    for (int n = 2; n <= 40; n++) {
      for (int w = 1; w <= 5; w++) {
        int expected = (n - 1 + w - 1) / w;
        assertLayers(expected, n, LayerPatterns.convolution(n, 2 * w + 1, 1, false), false);
        assertLayers(expected, n, LayerPatterns.convolution(n, w + 1, 1, true), true);
      }
      for (int k = 2; k <= 5; k++) {
        PathLengths dilated = PathLengths.of(LayerPatterns.dilatedConvolutions(n, k, true), true);
        assertEquals(PathRules.ceilLog(k, n), dilated.layers(), "n = " + n + ", k = " + k);
      }
      for (int segment = 2; segment <= 8; segment++) {
        for (int memory = 1; memory <= segment + 2; memory++) {
          int hops = 0;
          int at = n - 1;
          while (at > 0) {
            at = at / segment * segment - memory;
            hops++;
          }
          assertLayers(hops, n, LayerPatterns.segments(n, segment, memory), true);
        }
      }
    }
  }

  private static void assertLayers(int expected, int n, VisiblePairs pairs, boolean causal) {
    assertEquals(expected, PathLengths.of(List.of(pairs), causal).layers(), "n = " + n);
  }

  /// Random patterns against boolean powers of (A + I), another way to count.
  @Test
  void breadthFirstSearchAgreesWithMatrixPowers() {
    for (int seed = 0; seed < 20; seed++) {
      int n = 9;
      float[] draws = dev.crossover.attention.random.Draws.uniform(seed, 0, 1, n, n).data();
      VisiblePairs pairs = VisiblePairs.of(n, (i, j) -> draws[i * n + j] < 0.2);
      boolean[][] reach = new boolean[n][n];
      for (int i = 0; i < n; i++) {
        reach[i][i] = true;
      }
      int layers = 0;
      long sum = 0;
      long reached = 0;
      for (int t = 1; t <= n; t++) {
        boolean[][] next = new boolean[n][n];
        for (int i = 0; i < n; i++) {
          for (int j = 0; j < n; j++) {
            for (int k = 0; k < n; k++) {
              next[i][j] |= (i == k || pairs.reads(i, k)) && reach[k][j];
            }
            if (next[i][j] && !reach[i][j]) {
              layers = t;
              sum += t;
              reached++;
            }
          }
        }
        reach = next;
      }
      PathLengths counted = PathLengths.of(List.of(pairs), false);
      long never = (long) n * (n - 1) - reached;
      assertEquals(never, counted.never());
      assertEquals(never == 0 ? layers : -1, counted.layers());
      assertEquals((double) sum / reached, counted.mean(), 1e-12);
    }
  }

  @Test
  void everyMechanismIsInTheTableAndObeysItsFormula() {
    PathTable table = PathTable.of(16);
    for (MechanismType type : Catalogue.all()) {
      assertTrue(
          table.rows().stream().anyMatch(row -> row.name().split(":")[0].equals(type.name())),
          type.name());
    }
    for (PathTable.Row row : table.rows()) {
      assertTrue(row.agrees(), row.toString());
      assertFalse(row.sequential().isEmpty(), row.toString());
    }
  }
}
