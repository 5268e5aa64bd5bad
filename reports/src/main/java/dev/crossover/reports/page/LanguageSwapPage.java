// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.attention.random.Draws;
import dev.crossover.bench.swap.Agreement;
import dev.crossover.bench.swap.LanguageSwapRecord;
import dev.crossover.bench.swap.LanguageSwapRecord.Status;
import dev.crossover.bench.swap.LanguageSwapRecord.Treatment;
import dev.crossover.models.layer.Ablation;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.SwapFigure;
import dev.crossover.reports.page.Table.Cell;
import dev.crossover.reports.page.Table.Column;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// Writes a swap study of a language model: `language-swap.md`, `figures/` (PNG and PDF) and
/// `csv/`.
public final class LanguageSwapPage {
  private static final int FEWEST_POINTS = 4;

  /// Below it a mechanism is exact, and says nothing about errors.
  private static final double EXACT = 1e-4;

  private static final String DECODING =
      "Stores and policies of caches, which whole sequences do not use. The first half of every"
          + " window is a prompt: a policy sees exact attention over the whole of it and drops"
          + " positions at its end, then after every token or, where it was published for prompts"
          + " only, no more; a store alone holds every token from the first one on. The second half"
          + " is decoded token by token and asked, in the windows that the original reads whole, so"
          + " that Δ is paired with the same windows. A whole cache in single precision, decoded"
          + " so, gave the original's bits before anything else was decoded. Rotations of keys stay"
          + " those of their positions in the text.";

  private final List<LanguageSwapRecord> records;
  private final List<Integer> lengths;
  private final MarkdownPage page;

  private LanguageSwapPage(List<LanguageSwapRecord> records, Path folder) {
    this.records = records;
    this.lengths = records.getFirst().lengths();
    page = new MarkdownPage(folder);
  }

  /// Writes a study, existing files of the same names replaced.
  ///
  /// @param records of one model, one text and one set of windows, at least one
  /// @param folder where to write; created when absent
  /// @param command the command as a user would type it
  /// @param environment machine, JDK, kernels and commit
  /// @return the page
  /// @throws IOException if a file cannot be written
  public static Path write(
      List<LanguageSwapRecord> records, Path folder, String command, String environment)
      throws IOException {
    LanguageSwapPage study = new LanguageSwapPage(records, folder);
    study.describe(command, environment);
    return study.page.write("language-swap.md");
  }

  /// The tables as Markdown.
  public static String tables(List<LanguageSwapRecord> records) {
    LanguageSwapPage study = new LanguageSwapPage(records, Path.of(""));
    StringBuilder text = new StringBuilder();
    for (Treatment treatment : Treatment.values()) {
      if (!study.of(treatment).isEmpty()) {
        text.append(title(treatment)).append(":\n").append(study.table(treatment).markdown());
      }
    }
    return text.toString();
  }

  private List<LanguageSwapRecord> of(Treatment treatment) {
    return records.stream()
        .filter(record -> record.status() == Status.DONE && record.treatment() == treatment)
        .sorted(Comparator.comparingDouble(LanguageSwapPage::sortKey))
        .toList();
  }

  /// What a mechanism loses at the longest length at which it could be read.
  private static double sortKey(LanguageSwapRecord record) {
    for (int at = record.lengths().size() - 1; at >= 0; at--) {
      if (!Double.isNaN(record.meanLoss(at))) {
        return record.meanLoss(at);
      }
    }
    return Double.POSITIVE_INFINITY;
  }

  private static String title(Treatment treatment) {
    return switch (treatment) {
      case AS_IS -> "As it is";
      case DECODED -> "Decoded token by token";
      case TRANSFERRED -> "After transfer and tuning";
      case SCRATCH -> "From scratch";
    };
  }

  private void describe(String command, String environment) throws IOException {
    LanguageSwapRecord first = records.getFirst();
    page.head("What exchanging attention costs a language model", command, environment);
    page.line(
        "Attention in every block of a byte-level language model ("
            + Markdown.escape(first.model())
            + ") is replaced by the mechanism; its queries, keys, values and positions stay. Text: "
            + Markdown.escape(first.text())
            + ", held out from training, in at most "
            + first.windows()
            + " windows of "
            + String.join(", ", lengths.stream().map(String::valueOf).toList())
            + " bytes that do not overlap; the second half of each is asked. Weights "
            + Markdown.code(first.weights())
            + ", text "
            + Markdown.code(first.textDigest())
            + " (SHA-256). The other exact mechanism, swapped in, gave the original's loss before"
            + " anything else was run. The original's bits per byte: "
            + originals(first)
            + ".");
    page.line("");
    page.line(
        "*bits*: bits per byte, mean over windows. *Δ*: above the original's in the same windows,"
            + " with half its 95 % interval over windows (Student's t). *error*: ‖mechanism −"
            + " original‖ / ‖original‖ of the head outputs of single blocks on the original's"
            + " activations of the first window, mean over blocks; after a transfer that of the"
            + " fitted mechanism, before tuning. *work*: counted floating-point operations beside"
            + " exact attention's. *state*: bytes that decoding keeps after "
            + first.stateTokens()
            + " tokens, all blocks. Nothing is timed. An asterisk marks mechanisms that choose keys"
            + " with the help of later bytes: their bits may be too few.");
    page.line("");
    if (records.stream().anyMatch(record -> Ablation.isIn(record.setting()))) {
      page.line(
          "`+off=NAME` is a mechanism of which one branch was switched off, in learning, too; the"
              + " work of a branch behind a gate of zero is still counted. Such settings are left"
              + " out of correlations and fronts.");
      page.line("");
    }
    for (Treatment treatment : Treatment.values()) {
      List<LanguageSwapRecord> some = of(treatment);
      if (!some.isEmpty()) {
        page.line("## " + title(treatment));
        page.line("");
        if (treatment == Treatment.DECODED) {
          page.line(DECODING);
          page.line("");
        }
        String budget = some.getFirst().budget();
        if (!budget.isEmpty()) {
          page.line("Learning: " + budget + ".");
          page.line("");
        }
        page.table(table(treatment));
      }
    }
    String origin = MarkdownPage.brief(command) + " · " + environment;
    correlation(origin);
    fronts();
    state(origin);
    refused();
  }

  private String originals(LanguageSwapRecord first) {
    List<String> words = new ArrayList<>();
    for (int at = 0; at < lengths.size(); at++) {
      words.add(String.format(Locale.ROOT, "%.4f at %d", first.meanOriginal(at), lengths.get(at)));
    }
    return String.join(", ", words);
  }

  private Table table(Treatment treatment) {
    List<Column> columns = new ArrayList<>();
    columns.add(new Column("setting", "setting", false));
    for (int n : lengths) {
      columns.add(new Column("bits, n = " + n, "bits_n" + n, true));
      columns.add(new Column("Δ", "loss_n" + n, true));
      columns.add(new Column("±", "loss_half_n" + n, true));
      columns.add(new Column("error", "output_error_n" + n, true));
      columns.add(new Column("work", "work_n" + n, true));
    }
    columns.add(new Column("state", "state_bytes", true));
    columns.add(new Column("not at", "refused", false));
    List<List<Cell>> rows = new ArrayList<>();
    for (LanguageSwapRecord record : of(treatment)) {
      List<Cell> row = new ArrayList<>();
      row.add(Cell.text(record.setting() + (record.choosesAhead() ? " *" : "")));
      for (int at = 0; at < lengths.size(); at++) {
        row.add(number("%.4f", record.meanBits(at)));
        row.add(number("%+.4f", record.meanLoss(at)));
        row.add(number("%.4f", record.halfLoss(at)));
        row.add(number("%.4f", record.meanError(at)));
        boolean done = !record.bits().get(at).isEmpty();
        row.add(number("%.2f", done ? record.work().get(at) : Double.NaN));
      }
      double state = record.stateBytes() < 0 ? Double.NaN : record.stateBytes();
      row.add(Cell.number(Wording.bytes(state), state));
      row.add(Cell.text(record.reason()));
      rows.add(List.copyOf(row));
    }
    String name = treatment.name().toLowerCase(Locale.ROOT).replace('_', '-');
    return new Table(name, columns, rows).withoutEmptyColumns();
  }

  private static Cell number(String format, double value) {
    return Cell.number(String.format(Locale.ROOT, format, value), value);
  }

  /// Mechanisms put in as they are that are not exact.
  private List<LanguageSwapRecord> inexact(int at) {
    return of(Treatment.AS_IS).stream()
        .filter(record -> record.meanError(at) > EXACT && Double.isFinite(record.meanLoss(at)))
        .filter(record -> !Ablation.isIn(record.setting()))
        .toList();
  }

  private void correlation(String origin) throws IOException {
    List<String> found = new ArrayList<>();
    for (int at = 0; at < lengths.size(); at++) {
      int length = at;
      List<LanguageSwapRecord> some = inexact(at);
      if (some.size() >= FEWEST_POINTS) {
        double[] errors = some.stream().mapToDouble(record -> record.meanError(length)).toArray();
        double[] losses = some.stream().mapToDouble(record -> record.meanLoss(length)).toArray();
        double[] ends = Agreement.bootstrap(errors, losses, Draws.DEFAULT_SEED);
        found.add(
            String.format(
                Locale.ROOT,
                "n = %d: Spearman %.2f (95 %% interval %.2f to %.2f) over %d settings",
                lengths.get(at),
                Agreement.spearman(errors, losses),
                ends[0],
                ends[1],
                some.size()));
      }
    }
    if (found.isEmpty()) {
      return;
    }
    page.line("## Does output error tell what a language model loses?");
    page.line("");
    page.line(
        "Between mean output error and the bits per byte above the original's, mechanisms as they"
            + " are: "
            + String.join("; ", found)
            + ". Exact ones are left out; intervals by the bootstrap over settings, as if those of"
            + " one mechanism were independent.");
    page.line("");
    int last = lengths.size() - 1;
    var figure = SwapFigure.losses(inexact(last), last, found.getLast(), origin);
    if (figure.isPresent()) {
      page.figure(figure.get());
    }
  }

  private void fronts() {
    int last = lengths.size() - 1;
    List<LanguageSwapRecord> some = inexact(last);
    if (some.size() < FEWEST_POINTS) {
      return;
    }
    page.line("## Does the front by output error stay a front by bits?");
    page.line("");
    new SwapFronts<>(
            some,
            LanguageSwapRecord::setting,
            record -> record.work().get(last),
            record -> record.meanError(last),
            record -> record.meanLoss(last))
        .write(page, "bits", "Δ at " + lengths.get(last));
  }

  /// Bits against state, each mechanism after the most that was done with it.
  private void state(String origin) throws IOException {
    int last = lengths.size() - 1;
    Map<String, LanguageSwapRecord> best = new LinkedHashMap<>();
    for (Treatment treatment : Treatment.values()) {
      of(treatment).stream()
          .filter(record -> Double.isFinite(record.meanBits(last)) && record.stateBytes() > 0)
          .forEach(record -> best.put(record.setting(), record));
    }
    var figure =
        SwapFigure.states(
            List.copyOf(best.values()),
            last,
            "n = " + lengths.get(last) + ", after the most that each mechanism could learn",
            origin);
    if (figure.isPresent()) {
      page.line("## Bits and state");
      page.line("");
      page.figure(figure.get());
    }
  }

  private void refused() {
    List<LanguageSwapRecord> refused =
        records.stream().filter(record -> record.status() == Status.REFUSED).toList();
    if (refused.isEmpty()) {
      return;
    }
    page.line("## Refused");
    page.line("");
    for (LanguageSwapRecord record : refused) {
      page.line(
          "- "
              + Markdown.code(record.setting())
              + ", "
              + title(record.treatment()).toLowerCase(Locale.ROOT)
              + ": "
              + Markdown.escape(record.reason()));
    }
  }
}
