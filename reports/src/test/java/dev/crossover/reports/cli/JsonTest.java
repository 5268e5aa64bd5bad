// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.result.RecordJson;
import dev.crossover.reports.answer.Claim.Outcome;
import dev.crossover.reports.answer.ClaimReplay;
import dev.crossover.reports.answer.PaperClaims;
import dev.crossover.reports.answer.SyntheticStudy;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class JsonTest {
  @TempDir Path folder;

  @Test
  void listHoldsEveryMechanismWithItsParameters() {
    JsonNode all = answer(0, "list", "--json");
    assertEquals(Catalogue.all().size(), all.size());
    JsonNode one = answer(0, "list", "longformer", "--json").get(0);
    assertEquals("longformer", one.get("name").asString());
    assertEquals("window", one.get("parameters").get(0).get("name").asString());
  }

  @Test
  void adviceNamesWhatToUseAndItsNumbers() throws IOException {
    String file = study();
    JsonNode advice =
        answer(
            0, "advise", "--n", "8192", "--causal", "--results", file, "--threads", "2", "--json");
    assertTrue(advice.get("answered").asBoolean());
    assertEquals("longformer:window=256", advice.get("use").asString());
    JsonNode best = advice.get("best");
    double value = best.get("speedUp").get("value").asDouble();
    assertTrue(best.get("speedUp").get("low").asDouble() <= value);
    assertEquals(
        best.get("exactSeconds").asDouble() / best.get("seconds").asDouble(), value, 1e-9 * value);
    assertTrue(best.get("error").asDouble() <= advice.get("maxError").asDouble());
  }

  @Test
  void unansweredQuestionHasExitCodeThreeAndUsesNothing() throws IOException {
    JsonNode advice =
        answer(
            Main.UNANSWERED, "advise", "--n", "99999", "--causal", "--results", study(), "--json");
    assertFalse(advice.get("answered").asBoolean());
    assertTrue(advice.get("use").isNull());
    assertTrue(advice.get("notes").get(0).asString().contains("nothing is extrapolated"));
  }

  @Test
  void claimsHoldVerdictsWithTheirReasons() {
    ClaimReplay replay =
        ClaimReplay.of(
            PaperClaims.all(),
            SyntheticStudy.records(1),
            _ -> new Outcome(dev.crossover.reports.answer.Claim.Verdict.REPRODUCED, "2", ""));
    JsonNode all = new JsonMapper().readTree(Json.of(replay));
    int counted = 0;
    for (JsonNode count : all.get("counts")) {
      counted += count.asInt();
    }
    assertEquals(PaperClaims.all().size(), counted);
    assertEquals(counted, all.get("claims").size());
    for (JsonNode claim : all.get("claims")) {
      boolean reproduced = claim.get("verdict").asString().equals("reproduced");
      assertEquals(reproduced, claim.get("why").asString().isEmpty(), claim.toString());
    }
  }

  private String study() throws IOException {
    Path file = folder.resolve("results.jsonl");
    Files.write(file, SyntheticStudy.records(3).stream().map(RecordJson::write).toList());
    return file.toString();
  }

  private static JsonNode answer(int code, String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int is = Main.run(new PrintWriter(out, true), new PrintWriter(err, true), arguments);
    assertEquals(code, is, err.toString());
    assertEquals(1, out.toString().lines().count(), out.toString());
    return new JsonMapper().readTree(out.toString());
  }
}
