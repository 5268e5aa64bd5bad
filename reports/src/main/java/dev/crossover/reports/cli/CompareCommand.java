// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.Regressions;
import dev.crossover.reports.answer.Regressions.Change;
import dev.crossover.reports.answer.Regressions.Verdict;
import dev.crossover.reports.answer.TunedComparison;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `crossover compare OLD NEW`: what got slower, larger or less exact.
@Command(
    name = "compare",
    description = {
      "Compare two measurements point by point: regressions, improvements, unchanged, missing.",
      "Recommended: --interleave OLD.jar NEW.jar, which runs both builds here in alternating"
          + " processes, so that neither has the calmer hour. Files that were measured one after"
          + " the other may differ by what the machine did meanwhile.",
      "Slower means: relabelling whole processes, for all points at once, gives p at most alpha,"
          + " and the ratio of medians exceeds the least effect. If nothing changed, any point at"
          + " all is called slower with probability alpha at most.",
      "With --tuned: what two runs of crossover tune picked, for instance with two seeds, by"
          + " length, mask and permitted error. Exit code 1 if the picks of any cell differ in time"
          + " by --min-effect or more.",
      "Exit code 1 if anything regressed or is missing, 3 if nothing could be decided."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class CompareCommand implements Callable<Integer> {
  private static final int FEWEST_FORKS = 4;

  @Parameters(
      index = "0",
      paramLabel = "OLD",
      description = "Result file of before, or the jar with --interleave.")
  private @Nullable Path old;

  @Parameters(
      index = "1",
      paramLabel = "NEW",
      description = "Result file of after, or the jar with --interleave.")
  private @Nullable Path now;

  @Parameters(
      index = "2..*",
      arity = "0..*",
      paramLabel = "SWEEP",
      description =
          "With --interleave, after --: what to measure, as for crossover sweep; quick when"
              + " absent.")
  private List<String> sweep = new ArrayList<>();

  @Option(
      names = "--interleave",
      description = "Measure two builds (crossover.jar files) in alternating processes.")
  private boolean interleave;

  @Option(
      names = "--forks",
      paramLabel = "K",
      description = "With --interleave: processes per point and build; 6 when absent.")
  private int forks = 6;

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description = "With --interleave: folder of both result files; crossover-compare.")
  private Path folder = Path.of("crossover-compare");

  @Option(names = "--alpha", paramLabel = "P", description = "Largest p; 0.05 when absent.")
  private double alpha = 0.05;

  @Option(
      names = "--min-effect",
      paramLabel = "SHARE",
      description = "Smallest relative change that counts; 0.05 when absent, 0.1 with --tuned.")
  private @Nullable Double leastEffect;

  @Option(
      names = "--tuned",
      description = "Compare the settings that tune picked; front.jsonl lies beside each file.")
  private boolean tuned;

  @Option(
      names = "--different-machines",
      description = "Compare although the files are from different machines.")
  private boolean differentMachines;

  @Option(
      names = "--ignore-missing",
      description = "Points of OLD that NEW does not hold are listed, but are no failure.")
  private boolean ignoreMissing;

  @Option(names = "--all", description = "List unchanged points too.")
  private boolean all;

  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException, UsageException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    if (tuned && interleave) {
      throw new UsageException(
          "tuned must be given with two files of tune, but came with --interleave");
    }
    Path oldFile = file(Objects.requireNonNull(old));
    Path newFile = file(Objects.requireNonNull(now));
    if (interleave) {
      if (forks < FEWEST_FORKS) {
        throw new IllegalArgumentException(
            "forks must be >= " + FEWEST_FORKS + " to decide anything, but was " + forks);
      }
      RecordFiles.requireAll(List.of(oldFile, newFile));
      Interleaved run = new Interleaved(new JarSweeps(err), folder, err);
      if (!run.measure(oldFile, newFile, sweep, forks)) {
        return Main.FAILED;
      }
      oldFile = run.oldResults();
      newFile = run.newResults();
    } else if (!sweep.isEmpty()) {
      throw new UsageException(
          "two result files must be given, but there were " + (2 + sweep.size()));
    }
    List<ResultRecord> before = RecordFiles.read(List.of(oldFile), err);
    List<ResultRecord> after = RecordFiles.read(List.of(newFile), err);
    Set<String> machines = new TreeSet<>(Regressions.machines(before));
    machines.addAll(Regressions.machines(after));
    if (machines.size() > 1 && !differentMachines) {
      throw new UsageException(
          "the files must be from one machine, but are from "
              + String.join(" and ", machines)
              + "; --different-machines compares them anyway");
    }
    if (tuned) {
      return tuned(
          out,
          new TunedComparison.Run(before, RecordFiles.front(List.of(oldFile), err)),
          new TunedComparison.Run(after, RecordFiles.front(List.of(newFile), err)));
    }
    double least = leastEffect == null ? 0.05 : leastEffect;
    Regressions result = Regressions.of(before, after, alpha, least);
    if (json.wanted()) {
      out.println(Json.of(result));
    } else {
      print(out, result, newFile);
    }
    out.flush();
    return exitCode(result);
  }

  /// A file, or with `--tuned` the one in the folder of a run.
  private Path file(Path path) {
    return tuned ? RecordFiles.named(List.of(path)).getFirst() : path;
  }

  private int tuned(PrintWriter out, TunedComparison.Run before, TunedComparison.Run after) {
    TunedComparison result =
        TunedComparison.of(before, after, leastEffect == null ? 0.1 : leastEffect);
    json.print(out, () -> TunedTable.values(result), () -> TunedTable.print(out, result));
    if (result.cells().isEmpty()) {
      return Main.UNANSWERED;
    }
    return result.same() == result.cells().size() ? 0 : Main.FAILED;
  }

  private int exitCode(Regressions result) {
    boolean missing = !ignoreMissing && result.count(Verdict.MISSING) > 0;
    if (missing || result.count(Verdict.REGRESSED) > 0) {
      return Main.FAILED;
    }
    return result.decidesAnything() ? 0 : Main.UNANSWERED;
  }

  private void print(PrintWriter out, Regressions result, Path newFile) {
    print(out, "regressed", result.with(Verdict.REGRESSED));
    print(out, "improved", result.with(Verdict.IMPROVED));
    print(out, "missing in " + newFile, result.with(Verdict.MISSING));
    print(out, "only in " + newFile, result.with(Verdict.ADDED));
    if (all) {
      print(out, "undecidable", result.with(Verdict.UNDECIDABLE));
      print(out, "unchanged", result.with(Verdict.UNCHANGED));
    }
    summary(out, result);
  }

  private static void print(PrintWriter out, String title, List<Change> changes) {
    if (changes.isEmpty()) {
      return;
    }
    out.println(title + ":");
    for (Change change : changes) {
      StringBuilder line = new StringBuilder("  ").append(change.label());
      if (!Double.isNaN(change.time().value())) {
        line.append(": time × ").append(change.time().words());
        line.append(String.format(Locale.ROOT, ", p = %.2g", change.p()));
      }
      if (!change.reason().isEmpty()) {
        line.append(": ").append(change.reason());
      }
      out.println(line);
    }
  }

  private static void summary(PrintWriter out, Regressions result) {
    int undecidable = result.count(Verdict.UNDECIDABLE);
    out.println(
        result.count(Verdict.REGRESSED)
            + " regressed, "
            + result.count(Verdict.IMPROVED)
            + " improved, "
            + result.count(Verdict.UNCHANGED)
            + " unchanged, "
            + undecidable
            + " undecidable, "
            + result.count(Verdict.MISSING)
            + " missing, "
            + result.count(Verdict.ADDED)
            + " new");
    if (!Double.isNaN(result.smallestP())) {
      out.println(
          String.format(
              Locale.ROOT,
              "counts as changed: p <= %s over all points at once, and more than %s %%; so many"
                  + " forks allow no p below %.2g%s",
              result.alpha(),
              Math.round(1000 * result.leastEffect()) / 10.0,
              result.smallestP(),
              undecidable > 0 ? ": more forks are needed to decide" : ""));
    }
  }
}
