// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.swap.SwapRecord;
import dev.crossover.bench.swap.SwapRecord.Status;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The page of a swap study from records made up for it.
class SwapPageTest {
  @TempDir private Path folder;

  private static SwapRecord record(
      String setting, double cosine, double error, double work, Status status) {
    boolean done = status == Status.DONE;
    return new SwapRecord(
        "swap",
        "a model",
        "weights",
        "texts",
        "digest",
        setting,
        status,
        done ? "" : "must be causal, but was none",
        List.of(10, 300),
        done ? List.of(cosine + 0.1, cosine - 0.1) : List.of(),
        done ? List.of(List.of(error, 2 * error), List.of(error, 2 * error)) : List.of(),
        done ? 0.75 : null,
        0.5,
        work,
        1,
        new Machine("cpu", 2, 1, "os", "jdk"),
        "commit");
  }

  private static List<SwapRecord> records() {
    return List.of(
        record("control:uniform", 0.4, 0.6, 0, Status.DONE),
        record("longformer:window=8", 0.6, 0.5, 0.1, Status.DONE),
        record("longformer:window=64", 0.9, 0.1, 0.5, Status.DONE),
        record("topk:top_k=8", 0.8, 0.2, 0.6, Status.DONE),
        record("cosformer", 0.5, 0.4, 0.05, Status.DONE),
        record("retnet", 0, 0, 0, Status.REFUSED));
  }

  private String page() throws Exception {
    return Files.readString(SwapPage.write(records(), folder, "crossover swap", "a machine"));
  }

  @Test
  void rowsHoldMeansByTextAndLayer() throws Exception {
    String row =
        "| longformer:window=8 | 0.6000 | 0.5000 | 0.5000 | 0.7500 | 0.50 | 0.7500 | 0.50 | 1.00 |"
            + " 0.10 | 1 |";
    assertTrue(page().contains(row), page());
    assertTrue(SwapPage.table(records()).contains(row));
    String csv = Files.readString(folder.resolve("csv").resolve("mechanisms.csv"));
    assertEquals(5, csv.lines().count());
    assertFalse(csv.contains("control"));
  }

  @Test
  void controlsAndRefusalsStandApart() throws Exception {
    String page = page();
    String mechanisms = page.substring(page.indexOf("## Mechanisms"), page.indexOf("## Controls"));
    assertFalse(mechanisms.contains("control:"), mechanisms);
    assertTrue(page.contains("- `retnet`: must be causal, but was none"), page);
  }

  /// Errors order the four mechanisms as longformer:64, topk, cosformer, longformer:8; costs as
  /// longformer:64, topk, longformer:8, cosformer: one swap of neighbours, 1 − 6·2/(4·15) = 0.8.
  @Test
  void correlationLeavesControlsOut() throws Exception {
    String page = page();
    assertTrue(page.contains("Spearman 0.80"), page);
    assertTrue(page.contains("over 4 settings"), page);
    assertTrue(Files.size(folder.resolve("figures").resolve("swap.png")) > 1000);
    assertTrue(Files.size(folder.resolve("figures").resolve("swap.pdf")) > 1000);
  }

  /// None has less work than cosformer; longformer:8 has more and a larger error, but a larger
  /// cosine; top-k is beaten by longformer:64 in everything.
  @Test
  void frontsAreThoseThatNoneBeats() throws Exception {
    String page = page();
    assertTrue(page.contains("Of the 2 settings that none beats in both work and output error, 2"));
    assertTrue(page.contains("among the 3 that none beats"), page);
    assertTrue(page.contains("| longformer:window=8 | 0.10 | 0.7500 | 0.4000 | no | yes |"), page);
    String fronts = page.substring(page.indexOf("front by error"));
    assertFalse(fronts.contains("topk"), fronts);
  }
}
