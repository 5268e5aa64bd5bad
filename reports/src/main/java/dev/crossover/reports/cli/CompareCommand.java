package dev.crossover.reports.cli;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.Regressions;
import dev.crossover.reports.answer.Regressions.Change;
import dev.crossover.reports.answer.Regressions.Verdict;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `crossover compare OLD NEW`: what got slower, larger or less exact.
@Command(
    name = "compare",
    description = {
      "Compare two result files point by point: regressions, improvements, unchanged, missing.",
      "Slower means: a one-sided permutation test on the forks' medians gives p at most alpha, and"
          + " the ratio of medians exceeds the least effect. Exit code 1 if anything regressed."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class CompareCommand implements Callable<Integer> {
  @Parameters(index = "0", paramLabel = "OLD", description = "Result file of before.")
  private @Nullable Path old;

  @Parameters(index = "1", paramLabel = "NEW", description = "Result file of after.")
  private @Nullable Path now;

  @Option(names = "--alpha", paramLabel = "P", description = "Largest p; 0.05 when absent.")
  private double alpha = 0.05;

  @Option(
      names = "--min-effect",
      paramLabel = "SHARE",
      description = "Smallest relative change that counts; 0.05 when absent.")
  private double leastEffect = 0.05;

  @Option(
      names = "--different-machines",
      description = "Compare although the files are from different machines.")
  private boolean differentMachines;

  @Option(names = "--all", description = "List unchanged points too.")
  private boolean all;

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException, UsageException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    List<ResultRecord> before = RecordFiles.read(List.of(Objects.requireNonNull(old)), err);
    List<ResultRecord> after = RecordFiles.read(List.of(Objects.requireNonNull(now)), err);
    Set<String> machines = new TreeSet<>(Regressions.machines(before));
    machines.addAll(Regressions.machines(after));
    if (machines.size() > 1 && !differentMachines) {
      throw new UsageException(
          "the files must be from one machine, but are from "
              + String.join(" and ", machines)
              + "; --different-machines compares them anyway");
    }
    Regressions result = Regressions.of(before, after, alpha, leastEffect);
    print(out, "regressed", result.with(Verdict.REGRESSED));
    print(out, "improved", result.with(Verdict.IMPROVED));
    print(out, "missing in " + now, result.with(Verdict.MISSING));
    print(out, "only in " + now, result.with(Verdict.ADDED));
    if (all) {
      print(out, "undecidable", result.with(Verdict.UNDECIDABLE));
      print(out, "unchanged", result.with(Verdict.UNCHANGED));
    }
    summary(out, result);
    out.flush();
    return result.with(Verdict.REGRESSED).isEmpty() ? 0 : Main.FAILED;
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

  private void summary(PrintWriter out, Regressions result) {
    int undecidable = result.with(Verdict.UNDECIDABLE).size();
    out.println(
        result.with(Verdict.REGRESSED).size()
            + " regressed, "
            + result.with(Verdict.IMPROVED).size()
            + " improved, "
            + result.with(Verdict.UNCHANGED).size()
            + " unchanged, "
            + undecidable
            + " undecidable, "
            + result.with(Verdict.MISSING).size()
            + " missing, "
            + result.with(Verdict.ADDED).size()
            + " new");
    double least =
        result.changes().stream()
            .mapToDouble(Change::smallestP)
            .filter(p -> !Double.isNaN(p))
            .max()
            .orElse(Double.NaN);
    if (!Double.isNaN(least)) {
      out.println(
          String.format(
              Locale.ROOT,
              "counts as changed: p <= %s and more than %s %%; the fewest forks of a point allow no"
                  + " p below %.2g%s",
              alpha,
              Math.round(1000 * leastEffect) / 10.0,
              least,
              undecidable > 0 ? ": points without enough forks are undecidable" : ""));
    }
  }
}
