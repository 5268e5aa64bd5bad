// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class SplitCommandTest {
  private static final String SMALL = "--n 256 --dim 16 --heads 2 --repetitions 1";

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private int run(String arguments) {
    return Main.run(
        new PrintWriter(out, true), new PrintWriter(err, true), ("split " + arguments).split(" "));
  }

  @Test
  void everyMechanismHasARowWithAColumnPerNumberOfCores() {
    assertEquals(0, run("-m tiled,gla --cores 2,16 " + SMALL), err.toString());
    String table = out.toString();
    assertTrue(table.contains("| mechanism | tasks | in no task | 2 cores | 16 cores |"), table);
    String gla =
        table.lines().filter(line -> line.startsWith("| `gla` ")).findFirst().orElseThrow();
    assertEquals(1 + 5, gla.split("\\|").length, gla);
  }

  /// One task a head: of sixteen cores two are busy.
  @Test
  void jsonHoldsTheSameNumbers() throws Exception {
    assertEquals(0, run("-m gla --cores 16 --json " + SMALL), err.toString());
    JsonNode gla = JsonMapper.shared().readTree(out.toString()).get(0);
    assertEquals("gla", gla.get("spec").asString());
    assertEquals(2, gla.get("tasks").asInt());
    JsonNode cores = gla.get("cores").get(0);
    assertEquals(16, cores.get("cores").asInt());
    assertTrue(cores.get("longestOverMean").asDouble() >= 8, gla.toString());
    assertTrue(cores.get("speedUp").asDouble() <= 2, gla.toString());
  }

  /// A mechanism that has no causal form is timed without a mask, as in sweeps.
  @Test
  void theMaskIsTheOneThatAMechanismCan() {
    assertEquals(0, run("-m linformer,tiled --causal --cores 4 " + SMALL), err.toString());
    assertTrue(out.toString().contains("| `linformer` "), out.toString());
  }

  @Test
  void anUnknownMechanismEndsTheRun() {
    assertEquals(Main.USAGE, run("-m tiled,tilde --cores 4 " + SMALL));
    assertTrue(err.toString().contains("did you mean tiled?"), err.toString());
  }

  @Test
  void badNumbersAreOneLine() {
    assertEquals(Main.USAGE, run("-m tiled --cores 0 " + SMALL));
    assertTrue(
        err.toString().contains("cores must be whole numbers from 1, but was '0'"), err.toString());
    assertEquals(Main.USAGE, run("-m tiled --n 64 --repetitions 0"));
    assertTrue(err.toString().contains("repetitions must be >= 1, but was 0"), err.toString());
  }
}
