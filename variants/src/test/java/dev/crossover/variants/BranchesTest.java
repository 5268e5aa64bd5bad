// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.RecordType.BranchInfo;
import dev.crossover.variants.Branches.Without;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class BranchesTest {
  /// Every gated branch has its gate, and every value that switches one off is one the mechanism
  /// takes.
  @Test
  void declaredBranchesCanBeSwitchedOff() {
    int seen = 0;
    for (MechanismType type : Catalogue.all()) {
      List<String> inputs =
          type.defaults().inputs(AttentionShape.of(1, 2, 16, 8)).stream()
              .map(spec -> spec.name())
              .toList();
      for (String branch : type.mechanism().gatedBranches()) {
        assertTrue(inputs.contains("gate_" + branch), type.name() + ": " + branch);
        seen++;
      }
      for (BranchInfo branch : type.branches()) {
        Attention off = type.create(Map.of(branch.parameter(), branch.off()));
        assertFalse(Branches.of(Catalogue.describe(off)).contains(branch.name()), type.name());
        seen++;
      }
      List<String> on = Branches.of(type.name());
      assertEquals(on.size(), new HashSet<>(on).size(), "names are different");
    }
    assertTrue(seen >= 9, "branches of NSA, selected blocks, BigBird, MoBA and HyperAttention");
  }

  @Test
  void aBranchIsSwitchedOffByItsParameterOrItsGate() {
    assertEquals(List.of("compression", "selection", "window"), Branches.of("nsa:block_size=8"));
    assertEquals(
        new Without("nsa:block_size=8", "gate_window"),
        Branches.without("nsa:block_size=8", "window"));
    String spec = "block_topk:window_size=16,sink_tokens=4";
    assertEquals(List.of("chosen", "window", "sinks"), Branches.of(spec));
    assertEquals(
        new Without("block_topk:window_size=16,sink_tokens=0", ""),
        Branches.without(spec, "sinks"));
    assertEquals(List.of("chosen"), Branches.of("block_topk"), "others are off by default");
    String cached = "tiled:cache=streaming_llm,budget=64";
    assertEquals(List.of("sinks"), Branches.of(cached));
    assertEquals(new Without(cached + ",sink_tokens=0", ""), Branches.without(cached, "sinks"));
  }

  @Test
  void whatIsNoBranchOrOffAlreadyIsRefusedByName() {
    assertEquals(
        "off must be one of the branches [compression, selection, window], but was sinks for nsa",
        message("nsa", "sinks"));
    assertEquals(
        "off must be one of the branches [chosen], but was sinks for block_topk",
        message("block_topk", "sinks"));
    assertEquals(
        "off must be absent where no branch is on, but was window for gla",
        message("gla", "window"));
  }

  private static String message(String spec, String branch) {
    return String.valueOf(
        assertThrows(IllegalArgumentException.class, () -> Branches.without(spec, branch))
            .getMessage());
  }
}
