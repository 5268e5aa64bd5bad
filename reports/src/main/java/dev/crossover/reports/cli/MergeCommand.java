// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.quality.QualityFile;
import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.quality.QualityRun;
import dev.crossover.bench.result.JsonLines;
import dev.crossover.bench.result.ResultFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.sweep.Completeness;
import dev.crossover.bench.tune.FrontFile;
import dev.crossover.bench.tune.FrontRecord;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `crossover merge OUT IN…`: makes one result file of several.
@Command(
    name = "merge",
    description = {
      "Merge result files, for example of the shards of a sweep, and the front.jsonl that crossover"
          + " tune left beside them; or files of training runs, OUT included ending with"
          + " quality.jsonl.",
      "Of several records of one point the one with the most forks counts, the later of equals."
          + " Records of different machines, JDKs or commits never share a curve."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class MergeCommand implements Callable<Integer> {
  @Parameters(
      index = "0",
      paramLabel = "OUT",
      description = "File to write; an existing one must be among those merged.")
  private @Nullable Path target;

  @Parameters(index = "1..*", arity = "1..*", paramLabel = "IN", description = "Result files.")
  private List<Path> files = new ArrayList<>();

  @Option(
      names = "--different-machines",
      description = "Keep records of different machines in one file, each as a curve of its own.")
  private boolean differentMachines;

  @Option(
      names = "--expect",
      paramLabel = "SWEEP",
      description = {
        "List the points of this sweep (quick, standard, full or a YAML file; of training runs a"
            + " grid) that are not in OUT or not finished; exit code 1 if there are any.",
        "Options that the sweep was given beside its file are not known here."
      })
  private @Nullable String expected;

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException, UsageException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    Path to = Objects.requireNonNull(target);
    RecordFiles.requireAll(files);
    boolean trained = QualityFiles.isQuality(to);
    for (Path file : files) {
      if (QualityFiles.isQuality(file) != trained) {
        throw new UsageException(
            "files must all be of sweeps or all end with "
                + QualityFile.NAME
                + ", OUT included, but were "
                + to
                + " and "
                + file);
      }
    }
    if (Files.exists(to) && !isAmongInputs(to)) {
      throw new UsageException(to + ": the file exists already and is not among those merged");
    }
    if (Files.exists(to)) {
      List<String> unread =
          trained ? new QualityFile(to).read().warnings() : ResultFile.read(to).warnings();
      if (!unread.isEmpty()) {
        throw new UsageException(
            to
                + ": a file that is replaced must be understood whole, but "
                + unread.getFirst()
                + "; another OUT keeps it");
      }
    }
    if (trained) {
      return mergeTrained(to, out);
    }
    Path tuned = FrontFile.beside(to);
    boolean among = files.stream().map(FrontFile::beside).anyMatch(beside -> beside.equals(tuned));
    if (Files.exists(tuned) && !among) {
      throw new UsageException(
          tuned + ": the file exists already and is not beside one of those merged");
    }
    List<ResultRecord> records = RecordFiles.read(files, self.commandLine().getErr());
    Set<String> machines = new TreeSet<>();
    for (ResultRecord record : records) {
      machines.add(record.environment().machine());
    }
    if (machines.size() > 1 && !differentMachines) {
      throw new UsageException(
          "files must be of one machine, JDK and commit, but were of "
              + machines.size()
              + " ("
              + String.join("; ", machines)
              + "); --different-machines keeps them apart in one file");
    }
    List<FrontRecord> front = RecordFiles.front(files, self.commandLine().getErr());
    ResultFile.replace(to, records);
    if (!front.isEmpty()) {
      FrontFile.replace(FrontFile.beside(to), front);
      out.println(
          front.size() + " tuned settings of " + FrontFile.NAME + ": " + FrontFile.beside(to));
    }
    out.println(
        records.size()
            + " points of "
            + files.size()
            + (files.size() == 1 ? " file" : " files")
            + (machines.size() == 1 ? "" : " and " + machines.size() + " machines or builds")
            + ": "
            + to.toAbsolutePath());
    out.flush();
    return told(missing(records));
  }

  /// The points of the expected sweep that records do not finish, in words; threads that the sweep
  /// leaves to the machine are those of the machine that measured.
  private List<String> missing(List<ResultRecord> records) throws IOException, UsageException {
    if (expected == null) {
      return List.of();
    }
    int cores = records.getFirst().environment().cores();
    return Completeness.missing(SweepCommand.planNamed(expected, cores), records).stream()
        .map(
            point ->
                String.join(
                    " ",
                    point.study().word(),
                    point.spec(),
                    "n=" + point.n(),
                    point.mask(),
                    point.input(),
                    "threads=" + point.threads(),
                    "seed=" + point.seed()))
        .toList();
  }

  /// Tells what is missing.
  ///
  /// @return exit code
  private int told(List<String> missing) {
    PrintWriter err = Objects.requireNonNull(spec).commandLine().getErr();
    missing.forEach(point -> err.println("missing: " + point));
    if (!missing.isEmpty()) {
      err.println(
          missing.size()
              + (missing.size() == 1 ? " point of " : " points of ")
              + expected
              + " missing");
    }
    return missing.isEmpty() ? 0 : Main.FAILED;
  }

  /// Joins training runs; of several records of one run the last counts.
  private int mergeTrained(Path to, PrintWriter out) throws IOException, UsageException {
    QualityFile.Contents contents = QualityFile.read(files);
    if (contents.records().isEmpty()) {
      throw new UsageException(
          files.getFirst() + ": the file must hold training runs, but holds none");
    }
    contents.warnings().forEach(Objects.requireNonNull(spec).commandLine().getErr()::println);
    JsonLines.replace(to, contents.records());
    out.println(
        contents.records().size()
            + " training runs of "
            + files.size()
            + (files.size() == 1 ? " file: " : " files: ")
            + to.toAbsolutePath());
    out.flush();
    if (expected == null) {
      return 0;
    }
    Set<String> known =
        contents.records().stream().map(QualityRecord::key).collect(Collectors.toSet());
    return told(
        TrainCommand.grids(List.of(expected)).stream()
            .flatMap(grid -> grid.runs().stream())
            .filter(run -> !known.contains(run.key()))
            .map(QualityRun::label)
            .toList());
  }

  private boolean isAmongInputs(Path to) throws IOException {
    for (Path file : files) {
      if (Files.isSameFile(file, to)) {
        return true;
      }
    }
    return false;
  }
}
