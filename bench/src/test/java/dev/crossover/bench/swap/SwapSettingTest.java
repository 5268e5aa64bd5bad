// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What texts of settings mean at a length.
class SwapSettingTest {
  private static float[] tensor(String setting, String name, int n) {
    return Objects.requireNonNull(SwapSetting.parse(setting).at(n).tensors().get(name)).data();
  }

  @Test
  void branchesAreSwitchedOffByName() {
    SwapSetting off = SwapSetting.parse("bigbird:block_size=16+off=random");
    assertEquals(0, off.number("num_random_blocks"));
    assertEquals(16, off.number("block_size"));
    assertEquals("bigbird:block_size=16+off=random", off.text());
    for (String wrong :
        List.of("bigbird+off=sinks", "nsa+off=window", "control:zero+off=sinks", "tiled+off=x")) {
      assertThrows(IllegalArgumentException.class, () -> SwapSetting.parse(wrong), wrong);
    }
  }

  @Test
  void globalTokensAreFirstLastOrBoth() {
    assertArrayEquals(
        new float[] {1, 0, 0, 1}, tensor("longformer:window=8+global=ends", "global_mask", 4));
    assertArrayEquals(
        new float[] {1, 0, 0}, tensor("longformer:window=8+global=first", "global_mask", 3));
    assertArrayEquals(
        new float[] {0, 0, 1}, tensor("longformer:window=8+global=last", "global_mask", 3));
    assertArrayEquals(
        new float[] {1}, tensor("longformer:window=8+global=first", "global_mask", 1));
  }

  /// Seven rows in three segments: 2, 2 and 3.
  @Test
  void balancedPoolsSeeEveryRowOnce() {
    float third = 1f / 3;
    assertArrayEquals(
        new float[] {
          0.5f, 0.5f, 0, 0, 0, 0, 0, 0, 0, 0.5f, 0.5f, 0, 0, 0, 0, 0, 0, 0, third, third, third
        },
        tensor("balanced_pools:projected_length=3", "key_projection", 7));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "linformer:projection=mean_pool,projected_length=32|32",
        "balanced_pools:projected_length=32|32",
        "nystromformer:landmarks=16|16",
        "bigbird:block_size=16|63",
      })
  void exactAttentionStandsInForShortTexts(String text, int longest) {
    SwapSetting setting = SwapSetting.parse(text);
    assertTrue(setting.isExactAt(longest));
    assertEquals("tiled", setting.at(longest).mechanism().name());
    assertFalse(setting.isExactAt(longest + 1));
    assertFalse(setting.at(longest + 1).mechanism().name().equals("tiled"));
  }

  @Test
  void learnedProjectionsAndWindowsNeverStandBack() {
    assertFalse(SwapSetting.parse("linformer:projected_length=32").isExactAt(4));
    assertFalse(SwapSetting.parse("longformer:window=64").isExactAt(4));
    assertFalse(SwapSetting.parse("control:zero").isExactAt(1));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "longformer:window=8+global=middle|global=first",
        "topk+global=ends|global must be absent",
        "tiled+shared=keys|shared must be absent",
        "control:unifrom|uniform",
        "balanced_pools|projected_length",
        "balanced_pools:projected_length=3,seed=1|projected_length alone",
        "longfromer|longformer",
      })
  void whatIsUnknownIsRefusedByName(String text, String part) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> SwapSetting.parse(text)).getMessage();
    assertTrue(message.contains(part), message);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "control: uniform weights|control:uniform",
        "control: own value|control:own_value",
        "longformer:window=8 + [CLS] [SEP] global|longformer:window=8+global=ends",
        "longformer:window=8 + [SEP] global|longformer:window=8+global=last",
        "balanced pools:projected_length=32|balanced_pools:projected_length=32",
        "reformer:chunk_length=32,num_hashes=4 queries := keys"
            + "|reformer:chunk_length=32,num_hashes=4+shared=keys",
      })
  void namesOfTheGoldenTableAreSettings(String name, String expected) {
    assertEquals(expected, SwapReplay.commandLine(name));
    SwapSetting.golden(expected);
  }
}
