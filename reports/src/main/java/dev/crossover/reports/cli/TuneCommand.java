package dev.crossover.reports.cli;

import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.jmh.JmhForks;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Progress;
import dev.crossover.bench.sweep.Sweep;
import dev.crossover.bench.sweep.Sweep.Effort;
import dev.crossover.bench.sweep.SweepPlan;
import dev.crossover.bench.sweep.SweepRunner;
import dev.crossover.bench.tune.Tuner;
import dev.crossover.bench.tune.Tuner.Setting;
import dev.crossover.reports.answer.Frontier;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `crossover tune`: the fastest setting of any mechanism within an error.
@Command(
    name = "tune",
    description = {
      "Find the fastest setting of any mechanism within an error: errors of all settings first,"
          + " then only the cheapest within each error are timed.",
      "Settings are chosen by their error on the even heads of the input and judged on the odd"
          + " ones."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class TuneCommand implements Callable<Integer> {
  @Option(names = "--n", paramLabel = "N,…", description = "Lengths; 1024,4096 when absent.")
  private String lengths = "1024,4096";

  @Option(
      names = "--max-error",
      paramLabel = "E,…",
      description = "Permitted errors; 0.01,0.02,0.05,0.1,0.2 when absent.")
  private String maxErrors = "0.01,0.02,0.05,0.1,0.2";

  @Option(names = "--mask", paramLabel = "MASK", description = "causal (the default) or none.")
  private String mask = "causal";

  @Option(
      names = {"-m", "--mechanisms"},
      paramLabel = "NAME,…",
      description = "Mechanisms to tune; all that approximate softmax and have a knob when absent.")
  private @Nullable String mechanisms;

  @Option(
      names = "--input",
      paramLabel = "INPUT",
      description = "Where tensors come from, as for sweep; captured when absent.")
  private @Nullable String input;

  @ArgGroup(exclusive = false)
  private QkvOptions qkv = new QkvOptions();

  @Option(
      names = "--each",
      paramLabel = "K",
      description = "Settings of a mechanism that are timed for an error; 1 when absent.")
  private int each = 1;

  @Option(
      names = "--forks",
      paramLabel = "K",
      description = "Processes per setting; 3 when absent.")
  private int forks = 3;

  @Option(names = "--seed", paramLabel = "S", description = "Seed of random draws; 42 when absent.")
  private long seed = 42;

  @Option(names = "--threads", paramLabel = "T", description = "Threads; all cores when absent.")
  private int threads = Runtime.getRuntime().availableProcessors();

  @Option(names = "--dry-run", description = "Compute errors and list what would be timed.")
  private boolean dryRun;

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description = "Folder of results.jsonl and tune.md; crossover-tune when absent.")
  private Path folder = Path.of("crossover-tune");

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    if (!mask.equals("causal") && !mask.equals("none")) {
      throw new IllegalArgumentException("mask must be causal or none, but was " + mask);
    }
    if (each < 1 || threads < 1) {
      throw new IllegalArgumentException(
          "each and threads must be >= 1, but were " + each + " and " + threads);
    }
    List<Double> errors = Lists.pieces(maxErrors, TuneCommand::error);
    List<String> tunable = Tuner.tunable();
    List<String> names = mechanisms == null ? tunable : Lists.specs(mechanisms);
    for (String name : names) {
      if (!tunable.contains(name)) {
        throw new IllegalArgumentException(
            "mechanism must be one of " + tunable + ", but was " + name);
      }
    }
    String label = qkv.label().orElse(input == null ? InputSource.CAPTURED : input);
    StringBuilder text = new StringBuilder(head(self, label));
    for (int n : Lists.lengths("n", lengths)) {
      Frontier frontier = frontier(n, label, names, errors, err);
      text.append(frontier.markdown(errors));
    }
    out.print(text);
    if (!dryRun) {
      Files.createDirectories(folder);
      Path page = Files.writeString(folder.resolve("tune.md"), text);
      out.println("tune: " + page.toAbsolutePath().toUri());
    }
    out.flush();
    return 0;
  }

  private String head(CommandSpec self, String label) {
    Machine machine = Machine.current();
    return "# The fastest setting within an error\n\n```sh\n"
        + TypedCommand.of(self)
        + "\n```\n\nInput "
        + label
        + "; error is the relative Frobenius norm against exact attention in double precision on"
        + " sampled rows, root mean square over heads. "
        + machine.cpu()
        + ", "
        + threads
        + " threads · JDK "
        + machine.jdk()
        + " · commit "
        + Commit.current()
        + "\n\n";
  }

  private static double error(String text) {
    try {
      double error = Double.parseDouble(text);
      if (error > 0) {
        return error;
      }
    } catch (NumberFormatException e) {
      // answered below, like a number that is not positive
    }
    throw new IllegalArgumentException("max-error must be numbers > 0, but was '" + text + "'");
  }

  private Frontier frontier(
      int n, String label, List<String> names, List<Double> errors, PrintWriter err)
      throws IOException {
    ErrorProblem problem = ErrorProblem.of(label, n, mask.equals("causal"), seed, threads);
    Tuner tuner = new Tuner(problem, name -> err.println("n = " + n + ": errors of " + name));
    double exactFlops = tuner.exactFlops();
    List<Setting> settings = new ArrayList<>();
    for (String name : names) {
      settings.addAll(tuner.settings(name, exactFlops));
    }
    List<Setting> timed = Tuner.worthTiming(settings, errors, each);
    err.println(
        "n = " + n + ": " + timed.size() + " of " + settings.size() + " settings are timed");
    Map<Setting, ResultRecord> records = new LinkedHashMap<>();
    Optional<ResultRecord> exact = Optional.empty();
    if (dryRun) {
      timed.forEach(setting -> err.println("  " + setting.spec()));
    } else {
      int length = problem.shape().querySeqLen();
      List<ResultRecord> measured = measured(length, label, timed, err);
      exact = measured.stream().filter(record -> isOf(record, "tiled")).findFirst();
      for (Setting setting : timed) {
        measured.stream()
            .filter(record -> isOf(record, setting.spec()))
            .findFirst()
            .ifPresent(record -> records.put(setting, record));
      }
    }
    return new Frontier(n, mask, settings.size(), records, exact);
  }

  private static boolean isOf(ResultRecord record, String spec) {
    return record.spec().equals(Catalogue.describe(Catalogue.parse(spec)));
  }

  private List<ResultRecord> measured(int n, String label, List<Setting> timed, PrintWriter err)
      throws IOException {
    List<String> specs = new ArrayList<>(List.of("tiled"));
    timed.forEach(setting -> specs.add(setting.spec()));
    Sweep sweep =
        new Sweep(
            List.of(Study.FORWARD),
            specs,
            List.of(n),
            List.of(0),
            List.of(0),
            List.of(0),
            List.of(mask),
            List.of(threads),
            List.of(label),
            List.of(seed),
            Effort.QUICK.withForks(forks),
            0,
            1);
    return new SweepRunner(
            SweepPlan.of(sweep), new JmhForks(), new Progress(err, false), "crossover tune")
        .run(folder.resolve("results.jsonl"))
        .records();
  }
}
