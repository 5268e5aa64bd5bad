// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.swap.Agreement;
import dev.crossover.bench.swap.SwapRecord;
import dev.crossover.bench.swap.SwapRecord.Status;
import dev.crossover.reports.chart.Figure;
import dev.crossover.reports.chart.SwapFigure;
import dev.crossover.reports.page.Table.Cell;
import dev.crossover.reports.page.Table.Column;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/// Writes a swap study: `swap.md`, `figures/` (PNG and PDF) and `csv/`.
public final class SwapPage {
  private static final int LONG = 200;
  private static final int FEWEST_POINTS = 4;

  private final List<SwapRecord> records;
  private final List<SwapRecord> done;
  private final List<SwapRecord> mechanisms;
  private final MarkdownPage page;

  private SwapPage(List<SwapRecord> records, Path folder) {
    this.records = records;
    page = new MarkdownPage(folder);
    done = records.stream().filter(record -> record.status() == Status.DONE).toList();
    mechanisms = done.stream().filter(record -> !record.namesControl()).toList();
  }

  /// Writes a study, existing files of the same names replaced.
  ///
  /// @param records of one model and one set of texts, at least one
  /// @param folder where to write; created when absent
  /// @param command the command as a user would type it
  /// @param environment machine, JDK, kernels and commit
  /// @return the page
  /// @throws IOException if a file cannot be written
  public static Path write(
      List<SwapRecord> records, Path folder, String command, String environment)
      throws IOException {
    SwapPage study = new SwapPage(records, folder);
    study.describe(command, environment);
    return study.page.write("swap.md");
  }

  /// The table of agreement as Markdown.
  public static String table(List<SwapRecord> records) {
    SwapPage study = new SwapPage(records, Path.of(""));
    return study.table("swap", study.done).markdown();
  }

  /// The rows of [#table] by the keys of their columns.
  public static List<Map<String, @Nullable Object>> rows(List<SwapRecord> records) {
    SwapPage study = new SwapPage(records, Path.of(""));
    return study.table("swap", study.done).values();
  }

  private void describe(String command, String environment) throws IOException {
    SwapRecord first = records.getFirst();
    int longTexts = (int) first.lengths().stream().filter(n -> n >= LONG).count();
    int tokens = first.lengths().stream().mapToInt(Integer::intValue).sum();
    page.head("What exchanging attention costs " + first.model(), command, environment);
    line(
        "Attention in every layer of the trained encoder is replaced by the mechanism; nothing is"
            + " retrained. The numbers say what exchanging costs, not what training with the"
            + " mechanism would give. Texts: "
            + Markdown.escape(first.texts())
            + ", "
            + first.lengths().size()
            + " of "
            + first.lengths().stream().mapToInt(Integer::intValue).min().orElse(0)
            + " to "
            + first.lengths().stream().mapToInt(Integer::intValue).max().orElse(0)
            + " tokens, "
            + tokens
            + " in all, "
            + longTexts
            + " of "
            + LONG
            + " or more; each is read alone. Weights "
            + Markdown.code(first.weights())
            + ", texts "
            + Markdown.code(first.textsDigest())
            + " (SHA-256). The other exact mechanism, swapped in, reproduced the original before"
            + " anything else was run.");
    line("");
    line(
        "*cosine*: of original and swapped embedding, mean and least over texts, and mean over"
            + " texts of "
            + LONG
            + " tokens or more. *rank*: Spearman's correlation of the similarities of all pairs of"
            + " texts. *nearest*: share of texts whose most similar other text stays the same."
            + " *error*: ‖mechanism − exact‖ / ‖exact‖ of single attention calls on the original's"
            + " queries, keys and values, mean over texts, then over layers. *work*: counted"
            + " floating-point operations beside exact attention's, without those of global tokens."
            + " *exact*: texts too short for the setting, for which exact attention stands in."
            + " `+off=NAME`: a mechanism of which one branch is switched off.");
    line("");
    line("## Mechanisms");
    line("");
    page.table(table("mechanisms", mechanisms));
    List<SwapRecord> controls = done.stream().filter(SwapRecord::namesControl).toList();
    if (!controls.isEmpty()) {
      line("## Controls");
      line("");
      line(
          "What is left when there is no attention: a mechanism that ends here keeps nothing of"
              + " it.");
      line("");
      page.table(table("controls", controls));
    }
    correlation(MarkdownPage.brief(command) + " · " + environment);
    fronts();
    refused();
  }

  private Table table(String name, List<SwapRecord> some) {
    List<Column> columns = new ArrayList<>();
    columns.add(new Column("setting", "setting", false));
    columns.add(new Column("cosine", "cosine_mean", true));
    columns.add(new Column("least", "cosine_min", true));
    columns.add(new Column("n ≥ " + LONG, "cosine_mean_n" + LONG, true));
    columns.add(new Column("rank", "rank_correlation", true));
    columns.add(new Column("nearest", "nearest_share", true));
    columns.add(new Column("error", "output_error", true));
    int layers = some.isEmpty() ? 0 : some.getFirst().errorsByLayer().length;
    for (int layer = 0; layer < layers; layer++) {
      columns.add(new Column("layer " + layer, "output_error_layer_" + layer, true));
    }
    columns.add(new Column("work", "work_ratio", true));
    columns.add(new Column("exact", "texts_exact", true));
    List<List<Cell>> rows = new ArrayList<>();
    for (SwapRecord record : some) {
      List<Cell> row = new ArrayList<>();
      row.add(Cell.text(record.setting()));
      row.add(number(record.meanCosine(), 4));
      row.add(number(record.leastCosine(), 4));
      row.add(number(record.meanCosineFrom(LONG), 4));
      Double rank = record.rank();
      row.add(number(rank == null ? Double.NaN : rank, 4));
      row.add(number(record.nearest(), 2));
      row.add(number(record.meanError(), 4));
      for (double error : record.errorsByLayer()) {
        row.add(number(error, 2));
      }
      row.add(number(record.work(), 2));
      row.add(number(record.exactTexts(), 0));
      rows.add(List.copyOf(row));
    }
    return new Table(name, columns, rows);
  }

  private static Cell number(double value, int digits) {
    return Cell.number(String.format(Locale.ROOT, "%." + digits + "f", value), value);
  }

  private void correlation(String origin) throws IOException {
    String found = "";
    if (mechanisms.size() >= FEWEST_POINTS) {
      double[] costs = values(mechanisms, record -> 1 - record.meanCosine());
      double all = Agreement.spearman(values(mechanisms, SwapRecord::meanError), costs);
      double[] ends = Agreement.interval(all, mechanisms.size());
      found =
          String.format(
              Locale.ROOT,
              "Spearman %.2f (95 %% interval %.2f to %.2f) over %d settings",
              all,
              ends[0],
              ends[1],
              mechanisms.size());
      line("## Does output error tell what answers lose?");
      line("");
      line(
          "Between mean output error and 1 − mean cosine: "
              + found
              + ", controls left out; interval after Bonett and Wright, as if settings were"
              + " independent, which those of one mechanism are not. By layer:");
      line("");
      List<String> byLayer = new ArrayList<>();
      for (int layer = 0; layer < mechanisms.getFirst().errorsByLayer().length; layer++) {
        int at = layer;
        double one =
            Agreement.spearman(values(mechanisms, record -> record.errorsByLayer()[at]), costs);
        byLayer.add(String.format(Locale.ROOT, "%d: %.3f", layer, one));
      }
      line(String.join(", ", byLayer) + ".");
      line("");
    }
    Optional<Figure> figure = SwapFigure.of(done, found, origin);
    if (figure.isPresent()) {
      page.figure(figure.get());
    }
  }

  private static double[] values(List<SwapRecord> records, ToDoubleFunction<SwapRecord> value) {
    return records.stream().mapToDouble(value).toArray();
  }

  /// Settings that no other beats in both work and loss.
  private void fronts() {
    if (mechanisms.size() < FEWEST_POINTS) {
      return;
    }
    line("## Does the front by output error stay a front by answers?");
    line("");
    new SwapFronts<>(
            mechanisms,
            SwapRecord::setting,
            SwapRecord::work,
            SwapRecord::meanError,
            record -> 1 - record.meanCosine())
        .write(page, "cosine", "1 − cosine");
  }

  private void refused() {
    List<SwapRecord> refused =
        records.stream().filter(record -> record.status() == Status.REFUSED).toList();
    if (refused.isEmpty()) {
      return;
    }
    line("## Refused");
    line("");
    for (SwapRecord record : refused) {
      line("- " + Markdown.code(record.setting()) + ": " + Markdown.escape(record.reason()));
    }
  }

  private void line(String line) {
    page.line(line);
  }
}
