// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.swap.LanguageSwapRecord;
import dev.crossover.bench.swap.LanguageSwapRecord.Status;
import dev.crossover.bench.swap.LanguageSwapRecord.Treatment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The page of a language model's swap study from records made up for it.
class LanguageSwapPageTest {
  @TempDir private Path folder;

  /// The original has 2 bits per byte in either window of 64 bytes; at 128 nothing was read where
  /// the mechanism is long.
  private static LanguageSwapRecord record(
      String setting, Treatment treatment, double first, double second, double error) {
    boolean refused = setting.equals("linformer");
    boolean everywhere = !setting.equals("power");
    List<Double> bits = List.of(first, second);
    boolean learned = treatment == Treatment.TRANSFERRED || treatment == Treatment.SCRATCH;
    @Nullable Double loss = learned ? 1.5 : null;
    return new LanguageSwapRecord(
        "language_swap",
        "builtin",
        "weights",
        "built-in",
        "digest",
        setting,
        treatment,
        loss == null ? "" : "300 steps",
        refused ? Status.REFUSED : Status.DONE,
        refused ? "linformer: causal must be absent" : everywhere ? "" : "128 bytes: too long",
        List.of(64, 128),
        2,
        refused ? List.of() : List.of(bits, everywhere ? bits : List.of()),
        List.of(List.of(2.0, 2.0), List.of(2.0, 2.0)),
        refused
            ? List.of()
            : List.of(List.of(error, error), everywhere ? List.of(error, error) : List.of()),
        refused ? List.of() : List.of(0.5, 0.25),
        64,
        setting.equals("sage") ? -1 : 4096,
        setting.equals("reformer"),
        loss,
        new Machine("cpu", 2, 1, "os", "jdk"),
        "commit");
  }

  private static List<LanguageSwapRecord> records() {
    return List.of(
        record("tiled", Treatment.AS_IS, 2, 2, 0),
        record("longformer:window=64", Treatment.AS_IS, 2.1, 2.3, 0.1),
        record("reformer", Treatment.AS_IS, 2.4, 2.6, 0.3),
        record("sage", Treatment.AS_IS, 2.01, 2.03, 0.01),
        record("gla", Treatment.AS_IS, 5, 7, 0.9),
        record("power", Treatment.AS_IS, 3, 3, 0.8),
        record("linformer", Treatment.AS_IS, 0, 0, 0),
        record("tiled:cache=h2o,budget=8", Treatment.DECODED, 2.5, 2.5, 0),
        record("gla", Treatment.SCRATCH, 2.2, 2.2, 0.9));
  }

  private String page() throws Exception {
    Path file = LanguageSwapPage.write(records(), folder, "crossover swap", "a machine");
    return Files.readString(file);
  }

  /// Losses 0.1 and 0.3: mean 0.2, standard error 0.1, t with one degree of freedom 12.706.
  @Test
  void rowsHoldMeansAndIntervalsOverWindows() throws Exception {
    String row =
        "| longformer:window=64 | 2.2000 | +0.2000 | 1.2706 | 0.1000 | 0.50 | 2.2000 | +0.2000 |"
            + " 1.2706 | 0.1000 | 0.25 | ";
    String page = page();
    assertTrue(page.contains(row), page);
    assertTrue(LanguageSwapPage.tables(records()).contains(row));
    assertTrue(page.contains("2.0000 at 64, 2.0000 at 128"), page);
    assertTrue(page.contains("| reformer \\* |"), page);
    String csv = Files.readString(folder.resolve("csv").resolve("as-is.csv"));
    assertEquals(7, csv.lines().count(), csv);
  }

  @Test
  void treatmentsStandApartAndRefusalsAreNamed() throws Exception {
    String page = page();
    String scratch =
        page.substring(page.indexOf("## From scratch"), page.indexOf("## Does output"));
    assertTrue(scratch.contains("Learning: 300 steps."), scratch);
    assertTrue(scratch.contains("| gla | 2.2000 |"), scratch);
    assertFalse(scratch.contains("longformer"), scratch);
    assertTrue(page.contains("128 bytes: too long"), page);
    assertTrue(page.contains("- `linformer`, as it is: linformer: causal must be absent"), page);
  }

  @Test
  void cachesAreToldApartFromWhatIsReadWhole() throws Exception {
    String page = page();
    int decoded = page.indexOf("## Decoded token by token");
    String section = page.substring(decoded, page.indexOf("## From scratch"));
    assertTrue(decoded > page.indexOf("## As it is"), page);
    assertTrue(section.contains("The first half of every window is a prompt"), section);
    assertTrue(
        section.contains("| tiled:cache=h2o,budget=8 | 2.5000 | +0.5000 | 0.0000 |"), section);
  }

  /// Errors and losses of the inexact ones are in the same order; `power` has none at 128.
  @Test
  void correlationLeavesExactOnesOut() throws Exception {
    String page = page();
    assertTrue(page.contains("n = 128: Spearman 1.00"), page);
    assertTrue(page.contains("over 4 settings"), page);
    assertTrue(page.contains("n = 64: Spearman 1.00"), page);
    assertTrue(page.contains("over 5 settings"), page);
    assertTrue(Files.size(folder.resolve("figures").resolve("swap-error.png")) > 1000);
    assertTrue(Files.size(folder.resolve("figures").resolve("swap-state.pdf")) > 1000);
  }
}
