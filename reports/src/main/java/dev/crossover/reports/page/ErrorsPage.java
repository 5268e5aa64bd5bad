// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.error.KnobCurve;
import dev.crossover.bench.error.PlaceStudy;
import dev.crossover.bench.error.Spectrum;
import dev.crossover.bench.error.Spread;
import dev.crossover.bench.input.AttentionRows;
import dev.crossover.bench.result.NamedFiles;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.ErrorFigures;
import dev.crossover.reports.chart.Figure;
import dev.crossover.reports.page.Table.Cell;
import dev.crossover.reports.page.Table.Column;
import dev.crossover.reports.study.ErrorReport;
import dev.crossover.reports.study.ErrorReport.Features;
import dev.crossover.reports.study.ErrorReport.Panel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/// Writes an error study: `errors.md`, `figures/` (PNG and PDF) and `csv/` with the numbers of
/// every figure.
public final class ErrorsPage {
  private static final String PAGE = "errors.md";

  private final ErrorReport report;
  private final Path folder;
  private final List<Figure> figures;
  private final StringBuilder text = new StringBuilder();

  private ErrorsPage(ErrorReport report, Path folder, List<Figure> figures) {
    this.report = report;
    this.folder = folder;
    this.figures = figures;
  }

  /// Writes a study, existing files of the same names replaced.
  ///
  /// @param folder where to write; created when absent
  /// @param command the command as a user would type it
  /// @param environment machine, JDK, kernels and commit
  /// @return the page
  /// @throws IOException if a file cannot be written
  public static Path write(ErrorReport report, Path folder, String command, String environment)
      throws IOException {
    Path pictures = Files.createDirectories(folder.resolve("figures"));
    Files.createDirectories(folder.resolve("csv"));
    List<Figure> figures = ErrorFigures.of(report, command + " · " + environment);
    for (Figure figure : figures) {
      figure.write(pictures);
    }
    ErrorsPage page = new ErrorsPage(report, folder, figures);
    page.describe(command, environment);
    Path file = folder.resolve(PAGE);
    NamedFiles.write(file, page.text.toString());
    return file;
  }

  private void describe(String command, String environment) throws IOException {
    line("# Errors of approximate attention");
    line("");
    line("Made by " + Markdown.code(command) + ".");
    line("");
    line(Markdown.escape(environment) + ".");
    line("");
    line(
        "Errors are ‖O − O\\*‖ / ‖O\\*‖ against exact attention on the same tensors under the same"
            + " mask. Nothing here is timed. Where a mechanism is random, numbers are means over "
            + report.wish().seeds()
            + " seeds with 95 % intervals (Student's t; errors against a parameter on their"
            + " logarithms); tensors stay the same. Linformer's projections are drawn, not trained."
            + " Reformer is compared with exact attention over its shared queries and keys.");
    for (Panel panel : report.panels()) {
      describe(panel);
    }
    line("");
    line("## Where the theory holds: " + Markdown.escape(report.rate().problem().input()));
    line("");
    line(
        "Performer's error falls like 1/√m once m exceeds about exp(‖q + k‖²/√d). On these tensors"
            + " that is about 5; on peaked ones it is out of reach of any m.");
    line("");
    line(ordering(report.rate()));
    figure("features-rate");
    table("features-rate", knobs(report.rate().curves(), "features"));
    line(slopes(report.rate().curves(), "slopes-rate"));
  }

  private void describe(Panel panel) throws IOException {
    String suffix = panel.problem().mask().isCausal() ? "causal" : "unmasked";
    line("");
    line(
        "## "
            + Markdown.escape(panel.problem().input())
            + ", "
            + panel.maskName()
            + ", n = "
            + Wording.length(panel.problem().shape().querySeqLen()));
    line("");
    line(hardness(panel.rows()));
    figure("knobs-" + suffix);
    table("knobs-" + suffix, knobs(panel.knobs(), "mechanism"));
    line(slopes(panel.knobs(), "slopes-" + suffix));
    line("");
    line("### Performer's feature maps");
    line("");
    line(ordering(panel.features()));
    figure("features-" + suffix);
    table("features-" + suffix, knobs(panel.features().curves(), "features"));
    line("");
    line("### Head by head, n = " + panel.positions());
    line("");
    line(
        "Weights are what a mechanism returns for unit vectors as values; means over at most 5"
            + " seeds. Total variation is half the absolute difference of a row's weights: 0 when"
            + " equal, 1 when disjoint, a half for rows of almost no weight. “On its top "
            + PlaceStudy.TOP
            + "” is the weight on the heaviest keys of the exact row.");
    line("");
    Table heads = heads(panel.places());
    csv("heads-" + suffix, heads);
    line(heads.markdown());
    line("### By position and distance, n = " + panel.positions());
    for (String name : List.of("position-", "distance-", "misplaced-")) {
      figure(name + suffix);
    }
    csv("places-" + suffix, places(panel.places()));
    line("");
    line("### Spectrum, n = " + panel.positions());
    figure("spectrum-" + suffix);
    line("");
    Table spectra = spectra(panel.spectra());
    line(spectra.markdown());
    csv("spectrum-" + suffix, cumulative(panel.spectra()));
  }

  private static String hardness(AttentionRows rows) {
    Double rank = rows.effectiveRank();
    return "How hard the input is, over sampled rows: entropy "
        + Wording.digits(rows.entropy())
        + " nats (uniform: "
        + Wording.digits(rows.uniformEntropy())
        + "), "
        + Wording.percent(rows.topMass().getOrDefault(32, Double.NaN))
        + " of the weight on the top 32 keys"
        + (rank == null ? "." : ", effective rank of the scores " + Wording.digits(rank) + ".");
  }

  /// The papers' order of feature maps, counted.
  private static String ordering(Features features) {
    List<String> found = new ArrayList<>();
    compare(features, "positive, orthogonal", "positive, independent").ifPresent(found::add);
    compare(features, "positive, orthogonal", "trigonometric, orthogonal").ifPresent(found::add);
    compare(features, "trigonometric, orthogonal", "trigonometric, independent")
        .ifPresent(found::add);
    return String.join(" ", found);
  }

  private static Optional<String> compare(Features features, String one, String other) {
    Optional<KnobCurve> a = curve(features, one);
    Optional<KnobCurve> b = curve(features, other);
    if (a.isEmpty() || b.isEmpty()) {
      return Optional.empty();
    }
    int[] below = a.get().below(b.get());
    return Optional.of(
        "“"
            + one
            + "” errs less than “"
            + other
            + "” at "
            + below[0]
            + " of "
            + below[1]
            + " numbers of features.");
  }

  private static Optional<KnobCurve> curve(Features features, String label) {
    return features.curves().stream().filter(c -> c.label().equals(label)).findFirst();
  }

  private static Table knobs(List<KnobCurve> curves, String what) {
    List<List<Cell>> rows = new ArrayList<>();
    for (KnobCurve curve : curves) {
      for (KnobCurve.Point point : curve.points()) {
        Spread error = point.error();
        rows.add(
            List.of(
                Cell.text(curve.label()),
                Cell.text(curve.spec()),
                Cell.text(curve.parameter()),
                number(point.value()),
                share(error.mean()),
                share(error.low()),
                share(error.high()),
                number(error.count())));
      }
    }
    return new Table(
        "knobs",
        List.of(
            new Column(what, "label", false),
            new Column("spec", "spec", false),
            new Column("parameter", "parameter", false),
            new Column("value", "value", true),
            new Column("error", "relative_error", true),
            new Column("low", "low", true),
            new Column("high", "high", true),
            new Column("seeds", "seeds", true)),
        rows);
  }

  /// One row per curve, one column per value: what people read.
  private static String wide(Table table) {
    List<String> values =
        table.rows().stream()
            .map(r -> r.get(3))
            .distinct()
            .sorted(Comparator.comparingDouble(c -> Double.parseDouble(c.value())))
            .map(Cell::text)
            .toList();
    List<Column> columns = new ArrayList<>();
    columns.add(table.columns().getFirst());
    values.forEach(v -> columns.add(new Column(v, v, true)));
    List<List<Cell>> rows = new ArrayList<>();
    for (String label : table.rows().stream().map(r -> r.getFirst().text()).distinct().toList()) {
      List<Cell> row = new ArrayList<>();
      row.add(Cell.text(label));
      for (String value : values) {
        row.add(
            table.rows().stream()
                .filter(r -> r.getFirst().text().equals(label) && r.get(3).text().equals(value))
                .map(ErrorsPage::withInterval)
                .findFirst()
                .orElse(Cell.text("")));
      }
      rows.add(row);
    }
    return new Table("wide", columns, rows).markdown();
  }

  private static Cell withInterval(List<Cell> row) {
    boolean random = !row.get(7).value().equals("1");
    String interval = random ? " (" + row.get(5).text() + "–" + row.get(6).text() + ")" : "";
    return Cell.text(row.get(4).text() + interval);
  }

  private String slopes(List<KnobCurve> curves, String name) throws IOException {
    List<List<Cell>> rows = new ArrayList<>();
    for (KnobCurve curve : curves) {
      curve
          .slope()
          .ifPresent(
              s ->
                  rows.add(
                      List.of(
                          Cell.text(curve.label()),
                          Cell.number(two(s.exponent()), s.exponent()),
                          Cell.number(two(s.low()), s.low()),
                          Cell.number(two(s.high()), s.high()),
                          Cell.text(curve.parameter().equals("num_features") ? "−0.50" : "none"))));
    }
    Table table =
        new Table(
            "slopes",
            List.of(
                new Column("error over parameter", "label", false),
                new Column("fitted slope, upper half", "slope", true),
                new Column("low", "low", true),
                new Column("high", "high", true),
                new Column("theory", "theory", false)),
            rows);
    csv(name, table);
    return rows.isEmpty() ? "" : table.markdown();
  }

  /// 1/√m for random features and for Linformer's random projections (Johnson–Lindenstrauss).
  private static String theory(KnobCurve curve) {
    boolean random =
        curve.parameter().equals("num_features") || curve.parameter().equals("projected_length");
    return random ? "−0.50" : "none";
  }

  private static Table heads(List<PlaceStudy> places) {
    List<List<Cell>> rows = new ArrayList<>();
    for (PlaceStudy place : places) {
      for (PlaceStudy.Head head : place.heads()) {
        rows.add(
            List.of(
                Cell.text(ErrorFigures.label(place.spec())),
                number(head.head()),
                spread(head.error()),
                spread(head.totalVariation()),
                share(head.topMass()),
                spread(head.ownTopMass()),
                spread(head.rowSum())));
      }
    }
    return new Table(
        "heads",
        List.of(
            new Column("mechanism", "mechanism", false),
            new Column("head", "head", true),
            new Column("error", "relative_error", true),
            new Column("total variation", "total_variation", true),
            new Column("exact on its top " + PlaceStudy.TOP, "exact_top_mass", true),
            new Column("own there", "own_top_mass", true),
            new Column("row sum", "row_sum", true)),
        rows);
  }

  private static Table places(List<PlaceStudy> places) {
    List<List<Cell>> rows = new ArrayList<>();
    for (PlaceStudy place : places) {
      for (int b = 0; b < place.errorByPosition().size(); b++) {
        rows.add(
            List.of(
                Cell.text(place.spec()),
                number(1 << b),
                share(place.errorByPosition().get(b)),
                share(place.massByDistance().get(b)),
                share(place.ownMassByDistance().get(b)),
                share(place.misplacedByDistance().get(b))));
      }
    }
    return new Table(
        "places",
        List.of(
            new Column("mechanism", "mechanism", false),
            new Column("from", "position_or_distance_plus_1_from", true),
            new Column("error", "relative_error_by_position", true),
            new Column("exact", "exact_mass_by_distance", true),
            new Column("own", "own_mass_by_distance", true),
            new Column("misplaced", "misplaced_by_distance", true)),
        rows);
  }

  private static Table spectra(List<Spectrum> spectra) {
    List<List<Cell>> rows = new ArrayList<>();
    for (Spectrum spectrum : spectra) {
      rows.add(
          List.of(
              Cell.text(spectrum.input()),
              number(spectrum.head()),
              Cell.number(Wording.digits(spectrum.effectiveRank()), spectrum.effectiveRank()),
              number(spectrum.holding(0.5)),
              number(spectrum.holding(0.9)),
              number(spectrum.holding(0.99))));
    }
    return new Table(
        "spectra",
        List.of(
            new Column("attention matrix of", "input", false),
            new Column("head", "head", true),
            new Column("effective rank", "effective_rank", true),
            new Column("half in", "values_holding_50", true),
            new Column("90 % in", "values_holding_90", true),
            new Column("99 % in", "values_holding_99", true)),
        rows);
  }

  private static Table cumulative(List<Spectrum> spectra) {
    List<List<Cell>> rows = new ArrayList<>();
    for (Spectrum spectrum : spectra) {
      for (int i = 0; i < spectrum.cumulative().size(); i++) {
        rows.add(
            List.of(
                Cell.text(spectrum.input()),
                number(spectrum.head()),
                number(i + 1),
                share(spectrum.cumulative().get(i))));
      }
    }
    return new Table(
        "cumulative",
        List.of(
            new Column("input", "input", false),
            new Column("head", "head", true),
            new Column("values", "singular_values", true),
            new Column("share", "cumulative_share", true)),
        rows);
  }

  private void table(String name, Table table) throws IOException {
    csv(name, table);
    if (!table.rows().isEmpty()) {
      line("");
      line(wide(table));
    }
  }

  private void csv(String name, Table table) throws IOException {
    NamedFiles.write(folder.resolve("csv").resolve(name + ".csv"), table.csv());
  }

  private void figure(String name) {
    for (Figure figure : figures) {
      if (figure.name().equals(name)) {
        line("");
        line("![" + Markdown.escape(figure.title()) + "](figures/" + name + ".png)");
      }
    }
  }

  private void line(String line) {
    text.append(line).append('\n');
  }

  private static Cell spread(Spread spread) {
    String interval =
        spread.count() == 1
            ? ""
            : " (" + Wording.percent(spread.low()) + "–" + Wording.percent(spread.high()) + ")";
    return Cell.number(Wording.percent(spread.mean()) + interval, spread.mean());
  }

  private static Cell share(double value) {
    return Cell.number(Wording.percent(value), value);
  }

  private static Cell number(int value) {
    return Cell.number(Wording.length(value), value);
  }

  private static String two(double value) {
    return Double.isNaN(value)
        ? "–"
        : String.format(Locale.ROOT, "%.2f", value + 0.0).replace('-', '−');
  }
}
