// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.random.Draws;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.jmh.JmhForks;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.NamedFiles;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Progress;
import dev.crossover.bench.sweep.Sweep;
import dev.crossover.bench.sweep.Sweep.Effort;
import dev.crossover.bench.sweep.SweepPlan;
import dev.crossover.bench.sweep.SweepRunner;
import dev.crossover.bench.tune.FrontFile;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.bench.tune.FrontSearch;
import dev.crossover.bench.tune.Stopwatch;
import dev.crossover.bench.tune.Tuner;
import dev.crossover.reports.answer.HeadMixes;
import dev.crossover.reports.answer.PhaseDiagram;
import dev.crossover.reports.answer.PhaseText;
import dev.crossover.reports.page.PhaseFiles;
import dev.crossover.reports.page.Report;
import dev.crossover.reports.page.TableRows;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `crossover tune`: the fastest setting of any mechanism within an error.
@Command(
    name = "tune",
    description = {
      "Find the fastest setting of any mechanism within an error, and draw which mechanism that is"
          + " over sequence length and error.",
      "Errors of all settings first; then only what seems fastest within an error is timed.",
      "Settings are chosen by their error on the even heads of the input and judged on the odd"
          + " ones, or on another input.",
      "A run that was stopped is continued by the same command."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class TuneCommand implements Callable<Integer> {
  /// Share of a budget in which errors are computed.
  private static final double SHARE_OF_ERRORS = 0.5;

  @Option(
      names = "--n",
      paramLabel = "N,…",
      description = "Lengths; 1024,4096 when absent. 512..8192 doubles from the first.")
  private String lengths = "1024,4096";

  @Option(
      names = "--max-error",
      paramLabel = "E,…",
      description = "Permitted errors; 0.01,0.02,0.05,0.1,0.2 when absent.")
  private String maxErrors = "0.01,0.02,0.05,0.1,0.2";

  @Option(
      names = "--mask",
      paramLabel = "MASK,…",
      description = "causal (the default), none, or both.")
  private String masks = "causal";

  @Option(names = "--causal", hidden = true, description = "The same as --mask causal.")
  private boolean causal;

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
      names = "--judge-input",
      paramLabel = "INPUT",
      description =
          "Judge settings on all heads of this input (another text or layer), and choose them on"
              + " all heads of the first; when absent, even heads choose and odd ones judge.")
  private @Nullable String judgeInput;

  @Option(
      names = "--per-head",
      description =
          "Also find the cheapest setting for each head within an error of all heads together, by"
              + " dynamic programming over the errors of each head; needs --judge-input, as every"
              + " head has a say in the choice.")
  private boolean perHead;

  @Option(
      names = "--budget",
      paramLabel = "TIME",
      description =
          "About how long it may take, like 90s, 5m or 2h: half for errors, in equal parts by"
              + " problem, the rest for times; fewer settings are tried and timed then. Absent: no"
              + " limit.")
  private @Nullable String budget;

  @Option(
      names = "--each",
      paramLabel = "K",
      description = "Settings that are timed for an error; 3 when absent.")
  private int each = 3;

  @Option(
      names = "--forks",
      paramLabel = "K",
      description = "Processes per setting; 3 when absent.")
  private int forks = 3;

  @Option(names = "--seed", paramLabel = "S", description = "Seed of random draws; 42 when absent.")
  private long seed = Draws.DEFAULT_SEED;

  @Option(names = "--threads", paramLabel = "T", description = "Threads; all cores when absent.")
  private int threads = Runtime.getRuntime().availableProcessors();

  @Option(
      names = "--dry-run",
      description = "Compute errors, which are kept, and list what would be timed.")
  private boolean dryRun;

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description =
          "Folder of results.jsonl, front.jsonl, tune.md and report/; crossover-tune when absent.")
  private Path folder = Path.of("crossover-tune");

  /// Seconds from the start until which errors of the problem at hand may be computed: an equal
  /// part of the budget, and what the problems before left of theirs.
  private double errorsUntil;

  private final Stopwatch watch = new Stopwatch(System::nanoTime);

  @Mixin private JsonOption json = new JsonOption();

  @Spec private @Nullable CommandSpec spec;

  /// What is worth timing on one problem, what seems fastest for some error first.
  private record Candidates(int n, String mask, List<String> specs) {}

  @Override
  public Integer call() throws IOException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    if (each < 1 || threads < 1 || forks < 1) {
      throw new IllegalArgumentException(
          "each, threads and forks must be >= 1, but were "
              + each
              + ", "
              + threads
              + " and "
              + forks);
    }
    if (perHead && judgeInput == null) {
      throw new IllegalArgumentException(
          "per-head must come with judge-input, on which no head had a say, but came alone");
    }
    List<Double> permitted =
        Lists.pieces(maxErrors, TuneCommand::error).stream().distinct().sorted().toList();
    List<String> names = names();
    Set<String> wanted = new LinkedHashSet<>(Lists.pieces(causal ? "causal" : masks, Lists::mask));
    String label =
        InputSource.parse(qkv.label().orElse(input == null ? InputSource.CAPTURED : input)).label();
    double seconds = budget == null ? Double.POSITIVE_INFINITY : TrainCommand.seconds(budget);
    Set<Integer> held = held(label, err);
    long start = System.nanoTime();
    List<FrontRecord> front = new ArrayList<>();
    List<Candidates> candidates = new ArrayList<>();
    boolean complete = true;
    try (FrontSearch search =
        new FrontSearch(
            folder.resolve(FrontFile.NAME), () -> since(start) > errorsUntil, err::println)) {
      double all = (double) wanted.size() * held.size();
      double begun = 0;
      for (int n : held) {
        for (String mask : wanted) {
          begun++;
          errorsUntil = SHARE_OF_ERRORS * seconds * begun / all;
          err.println("n = " + n + ", mask " + mask + ": errors");
          Tuner tuner = tuner(label, n, mask, permitted);
          FrontSearch.Found found = search.on(tuner, names, permitted);
          complete &= found.complete();
          List<FrontRecord> tried = new ArrayList<>(found.records());
          if (perHead) {
            tried.addAll(search.mixes(tuner, found.records(), permitted));
          }
          front.addAll(tried);
          List<String> worth = Tuner.worthTiming(tried, permitted, each);
          err.println(
              "n = "
                  + n
                  + ", mask "
                  + mask
                  + ": "
                  + (tried.size() - 1)
                  + " settings tried, "
                  + worth.size()
                  + " worth timing");
          candidates.add(new Candidates(n, mask, worth));
        }
      }
    }
    if (!complete) {
      err.println("the budget did not suffice for all errors: the same command goes on with them");
    }
    if (dryRun) {
      json.print(
          out,
          () -> Map.of("candidates", candidates),
          () ->
              candidates.forEach(
                  c ->
                      out.println(
                          "n = " + c.n + ", mask " + c.mask + ": " + String.join(" ", c.specs))));
      return 0;
    }
    SweepRunner.Summary summary =
        SweepCommand.measured(
            plan(candidates, label, seconds - since(start), err),
            results(),
            err,
            TypedCommand.of(self));
    if (summary.interrupted()) {
      return Main.FAILED;
    }
    tell(out, self, summary.records(), front);
    return 0;
  }

  private static double since(long start) {
    return (System.nanoTime() - start) / 1e9;
  }

  private List<String> names() {
    List<String> tunable = Tuner.tunable();
    List<String> names = mechanisms == null ? tunable : Lists.specs(mechanisms);
    for (String name : names) {
      if (!tunable.contains(name)) {
        throw new IllegalArgumentException(
            "mechanism must be one of "
                + tunable
                + ", but was "
                + name
                + Nearest.hint(name, tunable));
      }
    }
    return names;
  }

  /// The lengths asked for that the input holds, each once.
  private Set<Integer> held(String label, PrintWriter err) throws IOException {
    int most = InputSource.parse(label).maxSeqLen();
    if (judgeInput != null) {
      most = Math.min(most, InputSource.parse(judgeInput).maxSeqLen());
    }
    Set<Integer> held = new LinkedHashSet<>(Lists.lengths("n", lengths));
    Set<Integer> wanted = Set.copyOf(held);
    int limit = most;
    held.removeIf(n -> n > limit);
    if (held.isEmpty()) {
      throw new IllegalArgumentException(
          "n must be at most " + most + " for this input, but was " + lengths);
    }
    if (held.size() < wanted.size()) {
      err.println("lengths above " + most + " are left out: the input holds no more positions");
    }
    return held;
  }

  private Tuner tuner(String label, int n, String mask, List<Double> permitted) throws IOException {
    boolean isCausal = mask.equals("causal");
    Tuner tuner =
        new Tuner(
            ErrorProblem.of(label, n, isCausal, seed, threads),
            judgeInput == null ? null : ErrorProblem.of(judgeInput, n, isCausal, seed, threads),
            permitted,
            Machine.current().cpu(),
            Commit.current(),
            watch);
    return perHead ? tuner.perHead() : tuner;
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

  /// The sweep of as many candidates of each problem as fit into the time left.
  private SweepPlan plan(
      List<Candidates> candidates, String label, double secondsLeft, PrintWriter err)
      throws IOException {
    int most = candidates.stream().mapToInt(c -> c.specs.size()).max().orElse(0);
    while (true) {
      SweepPlan plan = plan(candidates, label, most);
      double needed =
          new SweepRunner(plan, new JmhForks(), new Progress(err, false), null)
              .forecast(results())
              .seconds();
      if (needed <= secondsLeft || most <= 1) {
        err.println(
            String.format(
                Locale.ROOT,
                "times: %d points, about %.0f min%s",
                plan.points().size(),
                Math.ceil(needed / 60),
                needed > secondsLeft ? ", more than the budget has left" : ""));
        return plan;
      }
      most--;
    }
  }

  private SweepPlan plan(List<Candidates> candidates, String label, int most) {
    Effort effort = Effort.QUICK.withForks(forks);
    List<Sweep> parts = new ArrayList<>();
    for (Candidates one : candidates) {
      List<String> specs = new ArrayList<>(List.of("tiled"));
      specs.addAll(one.specs.subList(0, Math.min(most, one.specs.size())));
      parts.add(
          new Sweep(
              List.of(Study.FORWARD),
              specs,
              List.of(one.n),
              List.of(0),
              List.of(0),
              List.of(0),
              List.of(one.mask),
              List.of(threads),
              List.of(label),
              List.of(seed),
              effort,
              0,
              1));
    }
    return new SweepPlan(parts, effort, 0, 1);
  }

  private Path results() {
    return SweepCommand.resultsIn(folder);
  }

  private void tell(
      PrintWriter out, CommandSpec self, List<ResultRecord> records, List<FrontRecord> front)
      throws IOException {
    List<PhaseDiagram> diagrams = PhaseDiagram.of(records, front);
    StringBuilder text = new StringBuilder(head(self));
    diagrams.forEach(
        diagram -> text.append(PhaseFiles.markdown(diagram, HeadMixes.of(diagram, front))));
    Files.createDirectories(folder);
    Path words = folder.resolve("tune.md");
    NamedFiles.write(words, text.toString());
    Path page =
        Report.write(
            records,
            front,
            List.of(),
            folder.resolve("report"),
            TypedCommand.of(records, TypedCommand.of(self)));
    String address = page.toAbsolutePath().toUri().toString();
    json.print(
        out,
        () ->
            Map.of(
                "tune",
                words.toAbsolutePath().toUri().toString(),
                "report",
                address,
                "phases",
                TableRows.phases(records, front)),
        () -> {
          diagrams.forEach(diagram -> tell(out, diagram, front));
          if (diagrams.isEmpty()) {
            out.println(
                "no diagram: exact attention was not steady at any length; the same command"
                    + " measures again");
          }
          out.println("tune: " + words.toAbsolutePath().toUri());
          out.println("report:");
          out.println(address);
        });
  }

  private static void tell(PrintWriter out, PhaseDiagram diagram, List<FrontRecord> front) {
    PhaseText.of(diagram).forEach(out::println);
    HeadMixes.of(diagram, front).lines().forEach(out::println);
    out.println();
  }

  private String head(CommandSpec self) {
    Machine machine = Machine.current();
    return "# The fastest setting within an error\n\n```sh\n"
        + TypedCommand.of(self)
        + "\n```\n\nError is the relative Frobenius norm against exact attention in double"
        + " precision on sampled rows (on all rows near a permitted error), root mean square over"
        + " heads, with its 95 % interval. "
        + machine.cpu()
        + ", "
        + threads
        + " threads · JDK "
        + machine.jdk()
        + " · commit "
        + Commit.current()
        + "\n\n";
  }
}
