// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Capabilities;
import dev.crossover.attention.conformance.GoldenFile;
import dev.crossover.attention.conformance.Replay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.testing.GoldenTests;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/// The catalogue as a whole against the golden files: none is left out, and none is half replayed.
class ConformanceTest {
  private static List<ReplayResult> replayAll() throws IOException {
    List<ReplayResult> results = new ArrayList<>();
    for (Path path : GoldenTests.files("*")) {
      GoldenFile file = GoldenFile.read(path);
      List<MechanismType> types =
          Catalogue.findGolden(file.mechanism()).stream()
              .filter(type -> type.isMeantBy(file.mechanism(), file.parameters()))
              .toList();
      assertFalse(types.isEmpty(), path + " must name a mechanism of the catalogue");
      for (MechanismType type : types) {
        results.add(Replay.run(file, type));
      }
    }
    return results;
  }

  @Test
  void everyGoldenFilePassesInEveryMechanismThatItNames() throws IOException {
    List<String> failed =
        replayAll().stream().filter(result -> !result.passed()).map(ReplayResult::line).toList();
    assertEquals(List.of(), failed);
  }

  @Test
  void everyMechanismHasAGoldenFile() throws IOException {
    Set<String> named =
        GoldenTests.files("*").stream()
            .map(path -> String.valueOf(path.getFileName()).replaceFirst("__.*", ""))
            .collect(Collectors.toSet());
    for (MechanismType type : Catalogue.all()) {
      boolean exact = type.goldenName().equals("softmax");
      assertTrue(exact || named.contains(type.goldenName()), type.name());
    }
  }

  /// Sequences are fed token by token in some file of every mechanism that decodes, unless each of
  /// its files begins with a state, or the whole chooses with the help of later tokens.
  @Test
  void decodingIsReplayedWhereverItIsDeclared() throws IOException {
    for (MechanismType type : Catalogue.all()) {
      boolean causal = false;
      boolean decoded = false;
      for (Path path : GoldenTests.files(type)) {
        GoldenFile file = GoldenFile.read(path);
        Capabilities capabilities = type.createGolden(file.parameters()).capabilities();
        boolean ahead = capabilities.can(Capabilities.Ability.CHOOSES_AHEAD);
        if (capabilities.decoding() && !ahead && file.isPlainCausal()) {
          causal = true;
          decoded |=
              Replay.run(file, type).comparisons().stream()
                  .anyMatch(comparison -> comparison.name().contains("token by token"));
        }
      }
      assertEquals(causal, decoded, type.name());
    }
  }
}
