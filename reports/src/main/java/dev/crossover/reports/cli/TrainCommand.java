// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.quality.QualityFile;
import dev.crossover.bench.quality.QualityForecast;
import dev.crossover.bench.quality.QualityGrid;
import dev.crossover.bench.quality.QualityGridFile;
import dev.crossover.bench.quality.QualityJob;
import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.quality.QualityRun;
import dev.crossover.bench.quality.QualityRunner;
import dev.crossover.bench.result.NamedFiles;
import dev.crossover.bench.result.ResultFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.models.training.OtherSetting;
import dev.crossover.models.training.TaskTraining;
import dev.crossover.models.training.TrainedModel;
import dev.crossover.reports.answer.QualityTable;
import dev.crossover.reports.page.Report;
import dev.crossover.reports.page.TableRows;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `crossover train TASK…`: trains small models around mechanisms on tasks with known answers.
@Command(
    name = "train",
    description = {
      "Train small models around mechanisms on tasks with known answers.",
      "A run that was killed goes on where it was saved last; finished runs are left out."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class TrainCommand implements Callable<Integer> {
  /// Where records go when nothing else is said.
  static final Path DEFAULT_FOLDER = Path.of("crossover-quality");

  private static final double SAVE_SECONDS = 15;

  @Parameters(
      arity = "0..*",
      paramLabel = "TASK",
      description = {
        "Tasks, for example mqar:n=64,pairs=4 or parity:every=true; --list names all.",
        "Or one grid: quick or theory, which are built in, or a YAML file; options override it."
      })
  private List<String> tasks = new ArrayList<>();

  @Option(names = "--list", description = "List the tasks and end.")
  private boolean list;

  @Option(
      names = "--print",
      paramLabel = "GRID",
      description = "Print a built-in grid as YAML to start from, and end: quick or theory.")
  private @Nullable String print;

  @Option(
      names = {"-m", "--mixers"},
      paramLabel = "MIXER,…",
      description =
          "Mechanisms, lstm, gru, gated_convolution:width=W or long_convolution, each with options:"
              + " deltanet+beta_max=2+layers=1. A choice for the task when absent.")
  private @Nullable String mixers;

  @Option(
      names = "--model",
      paramLabel = "KEY=VALUE,…",
      description = "Options of every model and run: layers=4,width=128,steps=3000,batch=32.")
  private @Nullable String model;

  @Option(
      names = "--lr",
      paramLabel = "RATE,…",
      description = "Learning rates; one chosen for the task when absent.")
  private @Nullable String rates;

  @Option(names = "--seeds", paramLabel = "K", description = "Model seeds; 1 when absent.")
  private @Nullable Integer seeds;

  @Option(
      names = "--data-seed",
      paramLabel = "S",
      description = "Seed of the samples, the same for every mixer; 42 when absent.")
  private @Nullable Long dataSeed;

  @Option(
      names = "--test-n",
      paramLabel = "N,…",
      description =
          "Lengths beyond the task's own at which trained models are tested; the task's choice when"
              + " absent.")
  private @Nullable String lengths;

  @Option(
      names = "--evaluate-with",
      paramLabel = "SPEC,…",
      description = {
        "Settings of trained mechanisms at which their models are tested, too, for example"
            + " reformer:num_hashes=8; parameters that are not named stay as they were trained.",
        "A model of --keep is not trained again for it."
      })
  private @Nullable String evaluateWith;

  @Option(
      names = "--budget",
      paramLabel = "TIME",
      description = "Wall time of all runs together, for example 10m, 90s, 2h; none when absent.")
  private @Nullable String budget;

  @Option(
      names = "--threads",
      paramLabel = "T",
      description = "Threads; all cores when absent. The bits do not depend on it.")
  private @Nullable Integer threads;

  @Option(
      names = "--shard",
      paramLabel = "I/K",
      description = "Only every K-th run, the I-th of them: for several machines.")
  private @Nullable String shard;

  @Option(
      names = "--dry-run",
      description = "List the runs, their models and predicted times, from a few steps of each.")
  private boolean dryRun;

  @Option(
      names = "--keep",
      description = "Keep the models of runs that end, in models/ of the folder, for generate.")
  private boolean keep;

  @Option(
      names = "--export",
      arity = "2",
      paramLabel = "FILE",
      description =
          "Write the model of the first file, of --keep, to the second without what only training"
              + " needs, in half precision (F16), and end: for generate, swap and --input model:.")
  private List<Path> export = List.of();

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description =
          "Folder of quality.jsonl, checkpoints/ and report/; crossover-quality when absent. A"
              + " results.jsonl of a sweep in it adds times to the page.")
  private Path folder = DEFAULT_FOLDER;

  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    if (list) {
      json.print(out, () -> Catalogues.of("tasks"), () -> out.print(QualityTable.tasks()));
      return 0;
    }
    if (print != null) {
      out.print(QualityGridFile.preset(print));
      out.flush();
      return 0;
    }
    if (!export.isEmpty()) {
      TrainedModel.read(export.get(0)).writeHalf(export.get(1));
      out.println(
          export.get(1) + ": " + Files.size(export.get(1)) + " bytes, weights in half precision");
      out.flush();
      return 0;
    }
    if (tasks.isEmpty()) {
      throw new IllegalArgumentException(
          "task must be given, for example mqar:n=64,pairs=4; --list names all");
    }
    Jobs jobs = Main.jobs(self, threads);
    if (jobs.threads() < 1) {
      throw new IllegalArgumentException("threads must be >= 1, but was " + jobs.threads());
    }
    boolean distributed = Main.cluster(self).isPresent();
    if (distributed) {
      refuseWhatNeedsOneMachine();
    }
    double seconds = budget == null ? Double.POSITIVE_INFINITY : seconds(budget);
    List<QualityGrid> grids = changedGrids();
    List<QualityRun> runs =
        sharded(evaluated(grids.stream().flatMap(grid -> grid.runs().stream()).toList()));
    QualityFile file = new QualityFile(folder.resolve(QualityFile.NAME));
    if (dryRun) {
      tell(out, runs, jobs.threads());
      return 0;
    }
    List<QualityRecord> records =
        distributed
            ? QualityJob.complete(
                file,
                grids,
                runs,
                jobs,
                jobs.threads(),
                TypedCommand.of(self),
                (done, of, record) -> err.println(done + "/" + of + "  " + record.key()),
                err::println)
            : trained(file, runs, seconds, jobs.threads(), self);
    List<ResultRecord> sweeps = ResultFile.read(SweepCommand.resultsIn(folder)).records();
    List<QualityRecord> all = file.read().records();
    String page =
        Report.write(
                sweeps,
                RecordFiles.front(List.of(SweepCommand.resultsIn(folder)), err),
                all,
                folder.resolve("report"),
                TypedCommand.of(sweeps, all, TypedCommand.of(self)))
            .toAbsolutePath()
            .toUri()
            .toString();
    json.print(
        out,
        () -> Map.of("report", page, "tasks", TableRows.tasks(records, sweeps)),
        () -> {
          out.print(QualityTable.of(records));
          out.println("report:");
          out.println(page);
        });
    return 0;
  }

  /// Runs one after the other, each of which can be stopped and goes on where it was saved.
  private List<QualityRecord> trained(
      QualityFile file, List<QualityRun> runs, double seconds, int threads, CommandSpec self)
      throws IOException {
    PrintWriter err = self.commandLine().getErr();
    file.read().warnings().forEach(err::println);
    return new QualityRunner(
            file,
            threads,
            seconds,
            SAVE_SECONDS,
            new Console(err),
            System::nanoTime,
            TypedCommand.of(self))
        .run(runs, keep);
  }

  /// Times and files of the machine that trains, which a cluster does not give back.
  private void refuseWhatNeedsOneMachine() {
    refuse("budget", budget != null, "where nothing is timed");
    refuse("dry-run", dryRun, "where nothing is timed");
    refuse("keep", keep, "where models stay on its machines");
    refuse("evaluate-with", evaluateWith != null, "where models stay on its machines");
  }

  private static void refuse(String option, boolean given, String why) {
    if (given) {
      throw new IllegalArgumentException(
          option + " must be absent on a cluster, " + why + ", but was given");
    }
  }

  private List<QualityRun> evaluated(List<QualityRun> runs) {
    return evaluateWith == null
        ? runs
        : QualityRun.evaluatedAt(
            runs, Lists.specs(evaluateWith).stream().map(OtherSetting::new).toList());
  }

  /// The grids with what the options override.
  private List<QualityGrid> changedGrids() throws IOException {
    List<QualityGrid> changed = new ArrayList<>();
    for (QualityGrid grid : grids(tasks)) {
      Map<String, String> options = new LinkedHashMap<>(grid.options());
      options.putAll(options());
      changed.add(
          new QualityGrid(
              grid.tasks(),
              mixers == null ? grid.mixers() : Lists.specs(mixers),
              rates == null ? grid.rates() : List.of(rates.split(",", -1)),
              seeds == null ? grid.seeds() : seeds,
              options,
              lengths == null ? grid.lengths() : Lists.lengths("test-n", lengths),
              dataSeed == null ? grid.dataSeed() : dataSeed));
    }
    return changed;
  }

  /// The grids of a file or a built-in one, or that of the tasks named.
  static List<QualityGrid> grids(List<String> tasks) throws IOException {
    String first = tasks.getFirst();
    if (QualityGridFile.PRESETS.contains(first) || first.endsWith(".yaml")) {
      if (tasks.size() > 1) {
        throw new IllegalArgumentException(
            "a grid must stand alone, but was followed by " + tasks.get(1));
      }
      String text =
          first.endsWith(".yaml")
              ? new String(NamedFiles.bytes(Path.of(first)), StandardCharsets.UTF_8)
              : QualityGridFile.preset(first);
      return QualityGridFile.read(first, text);
    }
    return List.of(QualityGrid.of(tasks));
  }

  private Map<String, String> options() {
    Map<String, String> options = new LinkedHashMap<>();
    for (String piece : model == null ? new String[0] : model.split(",", -1)) {
      int equals = piece.indexOf('=');
      if (equals < 1) {
        throw new IllegalArgumentException("model must be key=value,…, but was '" + piece + "'");
      }
      options.put(piece.substring(0, equals), piece.substring(equals + 1));
    }
    return options;
  }

  private List<QualityRun> sharded(List<QualityRun> runs) {
    if (shard == null) {
      return runs;
    }
    String[] parts = shard.split("/", -1);
    try {
      int index = Integer.parseInt(parts[0]);
      int count = Integer.parseInt(parts[parts.length - 1]);
      if (parts.length == 2 && index >= 1 && index <= count) {
        List<QualityRun> own = new ArrayList<>();
        for (int i = index - 1; i < runs.size(); i += count) {
          own.add(runs.get(i));
        }
        return own;
      }
    } catch (NumberFormatException e) {
      // answered below, like numbers that do not fit
    }
    throw new IllegalArgumentException(
        "shard must be I/K with I from 1 to K, but was '" + shard + "'");
  }

  /// A duration of `90s`, `10m` or `2h`.
  static double seconds(String text) {
    String digits = text.isEmpty() ? "" : text.substring(0, text.length() - 1);
    int factor =
        switch (text.isEmpty() ? ' ' : text.charAt(text.length() - 1)) {
          case 's' -> 1;
          case 'm' -> 60;
          case 'h' -> 3600;
          default -> 0;
        };
    try {
      double seconds = Double.parseDouble(digits) * factor;
      if (seconds > 0) {
        return seconds;
      }
    } catch (NumberFormatException e) {
      // answered below, like a time that is not positive
    }
    throw new IllegalArgumentException(
        "budget must be a time like 90s, 10m or 2h, but was '" + text + "'");
  }

  private void tell(PrintWriter out, List<QualityRun> runs, int threads) {
    List<QualityForecast> forecasts = QualityForecast.of(runs, threads, System::nanoTime);
    double all = forecasts.stream().mapToDouble(QualityForecast::seconds).sum();
    json.print(
        out,
        () ->
            IntStream.range(0, runs.size())
                .mapToObj(i -> Map.of("run", runs.get(i).label(), "forecast", forecasts.get(i)))
                .toList(),
        () -> {
          for (int i = 0; i < runs.size(); i++) {
            out.println(runs.get(i).label() + "  " + words(runs.get(i), forecasts.get(i)));
          }
          out.println(
              runs.size()
                  + " runs, at most "
                  + duration(all)
                  + " by a few steps of each; nothing was kept");
        });
  }

  private static String words(QualityRun run, QualityForecast forecast) {
    return forecast.refusal().isEmpty()
        ? String.format(
            Locale.ROOT,
            "%d steps  %d parameters  at most %s",
            run.recipe().steps(),
            forecast.parameters(),
            duration(forecast.seconds()))
        : "refused: " + forecast.refusal();
  }

  /// Seconds, or minutes from two on.
  static String duration(double seconds) {
    return seconds < 120
        ? String.format(Locale.ROOT, "%.0f s", seconds)
        : String.format(Locale.ROOT, "%.0f min", seconds / 60);
  }

  /// One line per look.
  private record Console(PrintWriter err) implements QualityRunner.Progress {
    @Override
    public void start(QualityRun run, int number, int of, long step) {
      err.println(number + "/" + of + "  " + run.label() + (step > 0 ? "  from step " + step : ""));
    }

    @Override
    public void look(QualityRun run, TaskTraining.Look look, double loss, double secondsLeft) {
      err.println(
          String.format(
              Locale.ROOT,
              "    step %5d of %d  loss %.4f  test loss %.4f  accuracy %.3f%s",
              look.step(),
              run.recipe().steps(),
              loss,
              look.loss(),
              look.accuracy(),
              Double.isInfinite(secondsLeft)
                  ? ""
                  : String.format(Locale.ROOT, "  %.0f s left", Math.max(0, secondsLeft))));
    }

    @Override
    public void end(QualityRun run, QualityRecord record) {
      err.println(
          String.format(
              Locale.ROOT,
              "    %s after %d steps, %.0f s, %.0f tokens/s%s",
              record.status().name().toLowerCase(Locale.ROOT),
              record.steps(),
              record.seconds(),
              record.tokensPerSecond(),
              record.reason().isEmpty() ? "" : ": " + record.reason()));
    }
  }
}
