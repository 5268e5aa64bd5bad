// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.quality.QualityFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.page.Report;
import dev.crossover.reports.page.TableRows;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `crossover report FILE…`: draws result files, of sweeps and of training, as a page.
@Command(
    name = "report",
    description = "Draw result files as a page with charts and tables; several files are merged.",
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class ReportCommand implements Callable<Integer> {
  @Parameters(
      arity = "0..*",
      paramLabel = "FILE",
      description = {
        "Result files (.jsonl) of sweeps and of training, or folders that hold them;"
            + " crossover-results/results.jsonl when none is given. What crossover tune left beside"
            + " them is drawn, too."
      })
  private List<Path> files = new ArrayList<>();

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description = "Folder of the page; report/ beside the first file when absent.")
  private @Nullable Path folder;

  @Option(
      names = "--tables-only",
      description =
          "Write report.md alone, with the answers and tables but without pictures: what is small"
              + " enough to be kept beside the records.")
  private boolean tablesOnly;

  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException, UsageException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    List<Path> all =
        files.isEmpty() ? List.of(SweepCommand.resultsIn(SweepCommand.DEFAULT_FOLDER)) : files;
    QualityFiles sorted = QualityFiles.of(all);
    QualityFile.Contents quality = QualityFile.read(sorted.quality());
    List<ResultRecord> records =
        sorted.sweeps().isEmpty() ? List.of() : RecordFiles.read(sorted.sweeps(), err);
    List<FrontRecord> front = RecordFiles.front(sorted.sweeps(), err);
    quality.warnings().forEach(err::println);
    if (records.isEmpty() && quality.records().isEmpty()) {
      throw new UsageException(
          all.getFirst() + ": the file must hold records, but holds no records");
    }
    Path first = all.getFirst().toAbsolutePath();
    Path beside = Files.isDirectory(first) ? first : first.getParent();
    Path to = folder != null ? folder : Objects.requireNonNull(beside).resolve("report");
    String typed = TypedCommand.of(self);
    String command = TypedCommand.of(records, quality.records(), typed);
    Path page =
        tablesOnly
            ? Report.writeTables(records, front, quality.records(), to, command)
            : Report.write(records, front, quality.records(), to, command);
    String address = page.toAbsolutePath().toUri().toString();
    json.print(
        out,
        () ->
            Map.of(
                "report",
                address,
                "phases",
                TableRows.phases(records, front),
                "panels",
                TableRows.panels(records),
                "tasks",
                TableRows.tasks(quality.records(), records)),
        () -> {
          out.println("report:");
          out.println(address);
        });
    return 0;
  }
}
