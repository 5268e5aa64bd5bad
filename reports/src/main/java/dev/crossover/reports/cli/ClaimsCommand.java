// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.random.Draws;
import dev.crossover.bench.jmh.JmhForks;
import dev.crossover.bench.quality.QualityFile;
import dev.crossover.bench.result.NamedFiles;
import dev.crossover.bench.result.ResultFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.sweep.Progress;
import dev.crossover.bench.sweep.Sweep;
import dev.crossover.bench.sweep.SweepRunner;
import dev.crossover.reports.answer.Claim;
import dev.crossover.reports.answer.ClaimReplay;
import dev.crossover.reports.answer.PaperClaims;
import dev.crossover.reports.answer.QualityResults;
import dev.crossover.reports.page.ClaimPage;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `crossover claims`: the papers' headline results on this machine.
@Command(
    name = "claims",
    description = {
      "Replay the shape of the papers' headline results on this machine: reproduced, stronger,"
          + " weaker, contradicted, undecided or not comparable, the paper's and own numbers side"
          + " by side.",
      "What the given records do not cover is measured, in about a quarter of an hour on two cores;"
          + " the same command continues one that was stopped."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class ClaimsCommand implements Callable<Integer> {
  private static final String INPUT = "gaussian:scale=1";
  private static final String PAGE = "claims.md";

  @Parameters(
      arity = "0..*",
      paramLabel = "FILE",
      description =
          "Result files, training runs (quality.jsonl) or folders of them; claims about trained"
              + " models are judged by training runs only.")
  private List<Path> files = new ArrayList<>();

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description = "Folder of results.jsonl and claims.md; crossover-claims when absent.")
  private Path folder = Path.of("crossover-claims");

  @Option(names = "--forks", paramLabel = "K", description = "Processes per point; 3 when absent.")
  private int forks = 3;

  @Option(names = "--threads", paramLabel = "T", description = "Threads; all cores when absent.")
  private @Nullable Integer threads;

  @Mixin private JsonOption json = new JsonOption();

  @Option(names = "--no-measure", description = "Judge from the given records only.")
  private boolean noMeasure;

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException, UsageException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    int threadCount = threads == null ? Runtime.getRuntime().availableProcessors() : threads;
    if (threadCount < 1) {
      throw new IllegalArgumentException("threads must be >= 1, but was " + threadCount);
    }
    Sweep.Effort effort = Sweep.Effort.QUICK.withForks(forks);
    List<Claim> claims = PaperClaims.all();
    List<ResultRecord> records = new ArrayList<>();
    QualityFiles given = QualityFiles.of(files);
    if (!given.sweeps().isEmpty()) {
      records.addAll(RecordFiles.read(given.sweeps(), err));
    }
    QualityFile.Contents trained = QualityFile.read(given.quality());
    trained.warnings().forEach(err::println);
    Path own = SweepCommand.resultsIn(folder);
    if (noMeasure) {
      records.addAll(ResultFile.read(own).records());
    } else if (!measure(claims, records, effort, threadCount, own, err)) {
      return Main.FAILED;
    }
    Files.createDirectories(folder);
    ClaimEvidence evidence =
        new ClaimEvidence(INPUT, threadCount, QualityResults.of(trained.records()));
    ClaimReplay replay = ClaimReplay.of(claims, records, evidence::of);
    Path page = folder.resolve(PAGE);
    NamedFiles.write(page, ClaimPage.markdown(replay, TypedCommand.of(self)));
    if (json.wanted()) {
      out.println(Json.of(replay));
    } else {
      ClaimPage.lines(replay).forEach(out::println);
      out.println();
      out.println("page: " + page.toAbsolutePath());
    }
    out.flush();
    return 0;
  }

  /// Measures what no record covers, adds it to the records; false when stopped.
  private static boolean measure(
      List<Claim> claims,
      List<ResultRecord> records,
      Sweep.Effort effort,
      int threadCount,
      Path own,
      PrintWriter err)
      throws IOException {
    List<ResultRecord> given = List.copyOf(records);
    for (Claim.Setting setting : PaperClaims.SETTINGS) {
      List<String> specs = ClaimReplay.uncovered(claims, given, setting.study());
      if (specs.isEmpty()) {
        continue;
      }
      Sweep sweep =
          new Sweep(
              List.of(setting.study()),
              specs,
              setting.lengths(),
              List.of(setting.dim()),
              List.of(PaperClaims.HEADS),
              List.of(1),
              List.of(setting.mask()),
              List.of(threadCount),
              List.of(INPUT),
              List.of(Draws.DEFAULT_SEED),
              effort,
              0,
              1);
      SweepRunner.Summary summary =
          new SweepRunner(sweep, new JmhForks(), new Progress(err, false)).run(own);
      if (summary.interrupted()) {
        return false;
      }
      records.addAll(summary.records());
    }
    return true;
  }
}
