// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.jmh.JmhForks;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Forecast;
import dev.crossover.bench.sweep.Progress;
import dev.crossover.bench.sweep.Sweep;
import dev.crossover.bench.sweep.Sweep.Effort;
import dev.crossover.bench.sweep.SweepFile;
import dev.crossover.bench.sweep.SweepPlan;
import dev.crossover.bench.sweep.SweepRunner;
import dev.crossover.models.layer.LayerCatalogue;
import dev.crossover.reports.page.Report;
import java.io.Console;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `crossover sweep`: measures points, keeps their records, draws the report.
@Command(
    name = "sweep",
    description = {
      "Measure time, memory and error of mechanisms over sequence lengths, and draw the report.",
      "Options override what the sweep says.",
      "A sweep that was stopped is continued by the same command."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class SweepCommand implements Callable<Integer> {
  /// Folder of results when none is given.
  static final Path DEFAULT_FOLDER = Path.of("crossover-results");

  @Parameters(
      arity = "0..1",
      paramLabel = "SWEEP",
      description =
          "quick (the default, under 3 minutes), standard, full, learned, decode-stores, or a YAML"
              + " file.")
  private @Nullable String named;

  @Option(
      names = {"-m", "--mechanisms"},
      paramLabel = "SPEC,…",
      description =
          "name or name:param=value,…, layer/name for the multi-head layer around it (layer/lstm,"
              + " layer/gru and layer/gated_convolution have no attention),"
              + " mixed:0=name,1-3=name,… for another per head; the sweep's own when absent.")
  private @Nullable String mechanisms;

  @Option(
      names = "--n",
      paramLabel = "N,…",
      description =
          "Sequence lengths; 256..8192 (the default) doubles from the first and ends with the"
              + " last.")
  private @Nullable String lengths;

  @Option(names = "--dim", paramLabel = "D,…", description = "Head widths; 64, or the file's own.")
  private @Nullable String dims;

  @Option(names = "--heads", paramLabel = "H,…", description = "Heads; 2, or the file's own.")
  private @Nullable String heads;

  @Option(names = "--batch", paramLabel = "B,…", description = "Sequences; 1, or the file's own.")
  private @Nullable String batches;

  @Option(names = "--mask", paramLabel = "MASK,…", description = "causal (the default) or none.")
  private @Nullable String masks;

  @Option(names = "--threads", paramLabel = "T,…", description = "Threads; all cores when absent.")
  private @Nullable String threads;

  @Option(
      names = "--input",
      paramLabel = "INPUT,…",
      description =
          "captured (the default), captured:heads=0, model:layer=1,text=FILE, gaussian:scale=1,"
              + " low_rank:rank=8, clustered:clusters=16, heavy_tailed:dof=3,"
              + " needle:depth=0.1,mass=0.9, sinks:count=4,mass=0.5.")
  private @Nullable String inputs;

  @Mixin private QkvOptions qkv = new QkvOptions();

  @Option(names = "--seed", paramLabel = "S,…", description = "Seeds of everything drawn; 42.")
  private @Nullable String seeds;

  @Option(
      names = "--study",
      paramLabel = "STUDY,…",
      description =
          "forward (the default), decode, training: a forward and a backward pass, with the error"
              + " of the gradients.")
  private @Nullable String studies;

  @Option(
      names = "--effort",
      paramLabel = "EFFORT",
      description = "How long each point is measured: quick, standard, full.")
  private @Nullable String effort;

  @Option(names = "--forks", paramLabel = "K", description = "Processes per point.")
  private @Nullable Integer forks;

  @Option(
      names = "--alone",
      description =
          "Measure every length in processes of its own, which also tells the resident set; without"
              + " it a process measures all lengths of a mechanism.")
  private boolean alone;

  @Option(
      names = "--shard",
      paramLabel = "I/N",
      description =
          "Measure the I-th of N shares of the mechanisms; crossover merge joins their files.")
  private String shard = "1/1";

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description = "Folder of results.jsonl and report/; crossover-results when absent.")
  private Path folder = DEFAULT_FOLDER;

  @Option(names = "--no-report", description = "Measure only.")
  private boolean noReport;

  @Option(
      names = "--resume",
      description = "Continue a stopped sweep; this is what happens without it, too.")
  private boolean resume;

  @Option(
      names = "--dry-run",
      description = "Print the points, their predicted time and memory; measure nothing.")
  private boolean dryRun;

  @Option(
      names = "--print",
      paramLabel = "NAME",
      description =
          "Print a built-in sweep (quick, standard, full, learned, decode-stores) as a file to copy"
              + " and change.")
  private @Nullable String print;

  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  /// The result file of a folder.
  static Path resultsIn(Path folder) {
    return folder.resolve("results.jsonl");
  }

  @Override
  public Integer call() throws IOException, UsageException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    if (print != null) {
      out.print(SweepFile.preset(print));
      out.flush();
      return 0;
    }
    SweepPlan plan = plan();
    for (String input : plan.inputs()) {
      try {
        InputSource.parse(input).maxSeqLen();
      } catch (IOException e) {
        throw new UsageException(e);
      }
    }
    Path file = resultsIn(folder);
    String typed = TypedCommand.of(self);
    SweepRunner forecaster =
        new SweepRunner(plan, new JmhForks(), new Progress(err, onTerminal()), typed);
    Forecast forecast = forecaster.forecast(file);
    requireSomeToMeasure(plan, forecast);
    if (dryRun) {
      json.print(
          out, () -> ForecastTable.values(forecast), () -> ForecastTable.print(forecast, out));
      return 0;
    }
    SweepRunner.Summary summary = measured(plan, file, err, typed);
    if (summary.interrupted()) {
      return Main.FAILED;
    }
    long failed = summary.count(Status.FAILED);
    Map<String, Object> told = new LinkedHashMap<>();
    told.put("measured", summary.count(Status.OK));
    told.put("skipped", summary.count(Status.SKIPPED));
    told.put("failed", failed);
    told.put("unsteady", summary.unsteady());
    told.put("results", file.toAbsolutePath().toString());
    if (!noReport) {
      Path to = folder.resolve("report");
      Path page =
          Report.write(
              summary.records(),
              RecordFiles.front(List.of(file), err),
              List.of(),
              to,
              TypedCommand.of(summary.records(), typed));
      told.put("report", page.toAbsolutePath().toUri().toString());
    }
    json.print(out, () -> told, () -> tell(out, told, summary.unsteady()));
    return failed == 0 ? 0 : Main.FAILED;
  }

  private static void tell(PrintWriter out, Map<String, Object> told, long unsteady) {
    out.println(
        told.get("measured")
            + " points measured, "
            + told.get("skipped")
            + " skipped, "
            + told.get("failed")
            + " failed"
            + unsteady(unsteady));
    out.println("results: " + told.get("results"));
    if (told.containsKey("report")) {
      out.println("report:");
      out.println(told.get("report"));
    }
  }

  private static String unsteady(long points) {
    return points == 0
        ? ""
        : "; "
            + points
            + (points == 1 ? " of them was" : " of them were")
            + " not steady and no result: the same command measures "
            + (points == 1 ? "it" : "them")
            + " again";
  }

  /// A sweep of which nothing can be measured is a typing error; a share may be left with nothing.
  private static void requireSomeToMeasure(SweepPlan plan, Forecast forecast)
      throws UsageException {
    List<Forecast.Row> rows = forecast.rows();
    if (plan.shards() == 1 && forecast.count(Forecast.Fate.SKIP) == rows.size()) {
      throw new UsageException(
          (rows.size() == 1 ? "" : "none of the " + rows.size() + " points can be measured: ")
              + rows.getFirst().reason());
    }
  }

  /// Runs the sweep; a person who stops it is told that nothing is lost.
  static SweepRunner.Summary measured(SweepPlan plan, Path file, PrintWriter err, String typed)
      throws IOException {
    Thread farewell =
        new Thread(
            () -> err.println("\nstopped; " + file + " is valid, and the same command continues"));
    Runtime.getRuntime().addShutdownHook(farewell);
    try {
      return new SweepRunner(plan, new JmhForks(), new Progress(err, onTerminal()), typed)
          .run(file);
    } finally {
      try {
        Runtime.getRuntime().removeShutdownHook(farewell);
      } catch (IllegalStateException e) {
        // the JVM is already ending, which is what the hook is for
      }
    }
  }

  /// The mechanisms of a sweep that has one part; none where parts have mechanisms of their own.
  List<String> onlySpecs() throws IOException, UsageException {
    List<Sweep> parts = plan().parts();
    return parts.size() == 1 ? parts.getFirst().specs() : List.of();
  }

  private SweepPlan plan() throws IOException, UsageException {
    String[] share = shard.split("/", -1);
    if (share.length != 2 || !share[0].matches("[0-9]{1,6}") || !share[1].matches("[0-9]{1,6}")) {
      throw new IllegalArgumentException("shard must read I/N, but was '" + shard + "'");
    }
    SweepPlan usual =
        planNamed(named == null ? "quick" : named, Runtime.getRuntime().availableProcessors());
    return new SweepPlan(
        usual.parts().stream().map(this::overridden).distinct().toList(),
        chosenEffort(usual.effort()),
        Integer.parseInt(share[0]) - 1,
        Integer.parseInt(share[1]),
        alone);
  }

  /// A built-in sweep, or that of a YAML file.
  ///
  /// @param cores threads where the sweep names none
  static SweepPlan planNamed(String name, int cores) throws IOException, UsageException {
    if (SweepFile.PRESETS.contains(name)) {
      return SweepFile.read(name + ".yaml", SweepFile.preset(name), cores);
    }
    Path file = Path.of(name);
    if (!Files.isRegularFile(file)) {
      throw new UsageException(
          "sweep must be one of "
              + SweepFile.PRESETS
              + " or a YAML file, but was "
              + name
              + Nearest.hint(name, SweepFile.PRESETS));
    }
    try {
      return SweepFile.read(name, Files.readString(file), cores);
    } catch (CharacterCodingException e) {
      throw new UsageException(name + ":1: the file must be YAML in UTF-8, but was not");
    }
  }

  private Sweep overridden(Sweep usual) {
    List<String> specs = mechanisms == null ? usual.specs() : Lists.specs(mechanisms);
    refuseCausalOrder(specs);
    return new Sweep(
        studies == null ? usual.studies() : Lists.pieces(studies, Study::of),
        specs,
        lengths == null ? usual.lengths() : Lists.lengths("n", lengths),
        dims == null ? usual.dims() : Lists.integers("dim", dims),
        heads == null ? usual.heads() : Lists.integers("heads", heads),
        batches == null ? usual.batches() : Lists.integers("batch", batches),
        masks == null ? usual.masks() : Lists.pieces(masks, Lists::mask),
        threads == null ? usual.threads() : Lists.integers("threads", threads),
        inputLabels(usual),
        seeds == null ? usual.seeds() : Lists.longs("seed", seeds),
        usual.effort(),
        0,
        1);
  }

  /// The default mask yields to a mechanism that knows no order; one that was asked for does not.
  private void refuseCausalOrder(List<String> specs) {
    if (masks == null || !masks.equals("causal")) {
      return;
    }
    for (String spec : specs) {
      if (LayerCatalogue.parse(spec).capabilities().causal() == Causality.NEVER) {
        throw new IllegalArgumentException(
            "mask must be none for " + spec + ", which cannot be causal, but was causal");
      }
    }
  }

  private List<String> inputLabels(Sweep usual) {
    Optional<String> own = qkv.label();
    if (own.isEmpty()) {
      return inputs == null ? usual.inputs() : Lists.specs(inputs);
    }
    if (inputs != null) {
      throw new IllegalArgumentException("input must be absent when --qkv is given");
    }
    return List.of(own.get());
  }

  private Effort chosenEffort(Effort usual) {
    Effort chosen = effort == null ? usual : Effort.of(effort);
    return forks == null ? chosen : chosen.withForks(forks);
  }

  private static boolean onTerminal() {
    Console console = System.console();
    return console != null && console.isTerminal();
  }
}
