// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.random.Draws;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.quality.QualityFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.answer.Advice;
import dev.crossover.reports.answer.AdviceText;
import dev.crossover.reports.answer.QualityAdvice;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `crossover advise`: the mechanism to use, from the records at hand.
@Command(
    name = "advise",
    description = {
      "Say which mechanism to use, from measured records: the fastest within an error, its"
          + " runner-up, or exact attention.",
      "Nothing is extrapolated, and nothing is advised whose speed-up may be noise. Exit code 3 if"
          + " nothing was measured there."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class AdviseCommand implements Callable<Integer> {
  private static final double DEFAULT_ACCURACY = 0.9;

  @Option(names = "--n", required = true, paramLabel = "N", description = "Sequence length.")
  private int n;

  @Option(names = "--dim", paramLabel = "D", description = "Head width; the records' own.")
  private @Nullable Integer dim;

  @Option(names = "--heads", paramLabel = "H", description = "Heads; the records' own.")
  private @Nullable Integer heads;

  @Option(names = "--threads", paramLabel = "T", description = "Threads; the records' most.")
  private @Nullable Integer threads;

  @Option(names = "--mask", paramLabel = "MASK", description = "none (the default) or causal.")
  private @Nullable String mask;

  @Option(names = "--causal", hidden = true, description = "The same as --mask causal.")
  private boolean causal;

  @Option(
      names = "--max-error",
      paramLabel = "E",
      description = "Largest relative error of the output; 0.05 when absent.")
  private double maxError = 0.05;

  @Option(
      names = "--task",
      paramLabel = "TASK",
      description =
          "Judge by what models learned of a task, from training runs, instead of by error.")
  private @Nullable String task;

  @Option(
      names = "--min-accuracy",
      paramLabel = "A",
      description = "With --task, smallest accuracy of a model trained with it; 0.9 when absent.")
  private @Nullable Double minAccuracy;

  @Parameters(
      arity = "0..*",
      paramLabel = "FILE",
      description = {
        "Result files (.jsonl), or folders that hold them; crossover-results/results.jsonl when"
            + " none is given.",
        "With --task also quality.jsonl; crossover-quality/quality.jsonl when none is given."
      })
  private List<Path> files = new ArrayList<>();

  @Option(
      names = "--results",
      arity = "1..*",
      hidden = true,
      description = "The same as FILE, as earlier versions named it.")
  private List<Path> results = new ArrayList<>();

  @Mixin private JsonOption json = new JsonOption();

  @Mixin private QkvOptions qkv = new QkvOptions();

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException, UsageException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    Optional<String> label = qkv.label();
    Advice.Question question =
        new Advice.Question(n, wish(dim), wish(heads), wish(threads), causal(), maxError);
    if (task != null) {
      return learned(task, question, out, err);
    }
    if (minAccuracy != null) {
      throw new IllegalArgumentException("min-accuracy must come with task, but came alone");
    }
    InputSource input = label.isPresent() ? InputSource.parse(label.get()) : null;
    int errorLength = input == null ? n : Math.min(n, longest(input));
    List<ResultRecord> records = RecordFiles.read(sweeps(), err);
    Optional<Advice.Errors> errors =
        input == null
            ? Optional.empty()
            : Optional.of(candidate -> error(candidate, input, errorLength, question));
    List<FrontRecord> front = RecordFiles.front(RecordFiles.named(sweeps()), err);
    Advice advice = Advice.of(records, front, question, Machine.current().cpu(), errors);
    String source =
        label.orElseGet(() -> advice.panel().map(p -> p.key().input()).orElse("the records"));
    List<String> notes = new ArrayList<>();
    if (errorLength < n) {
      notes.add("Errors are those of the file's " + errorLength + " positions, all it has.");
    }
    if (input != null) {
      notes.add("Errors were computed on the file's own heads and widths.");
    }
    if (json.wanted()) {
      out.println(Json.of(advice, source, notes));
    } else {
      AdviceText.of(advice, source).forEach(out::println);
      notes.forEach(note -> out.println("Note: " + note));
    }
    out.flush();
    return advice.answered() ? 0 : Main.UNANSWERED;
  }

  /// Answers by what models learned.
  private int learned(String of, Advice.Question question, PrintWriter out, PrintWriter err)
      throws IOException, UsageException {
    if (qkv.label().isPresent()) {
      throw new IllegalArgumentException(
          "qkv must not be given with task, which is judged by training runs, but was");
    }
    List<Path> given = Stream.concat(files.stream(), results.stream()).toList();
    QualityFiles sorted =
        given.isEmpty()
            ? new QualityFiles(
                List.of(SweepCommand.resultsIn(SweepCommand.DEFAULT_FOLDER)),
                List.of(TrainCommand.DEFAULT_FOLDER.resolve(QualityFile.NAME)))
            : QualityFiles.of(given);
    RecordFiles.requireAll(sorted.quality());
    QualityFile.Contents quality = QualityFile.read(sorted.quality());
    quality.warnings().forEach(err::println);
    if (quality.records().isEmpty()) {
      throw new UsageException(
          "files must hold training runs for --task, but hold none; crossover train makes them");
    }
    List<ResultRecord> sweeps =
        sorted.sweeps().isEmpty() ? List.of() : RecordFiles.read(sorted.sweeps(), err);
    QualityAdvice advice =
        QualityAdvice.of(
            quality.records(),
            sweeps,
            of,
            minAccuracy == null ? DEFAULT_ACCURACY : minAccuracy,
            question,
            Machine.current().cpu());
    if (json.wanted()) {
      out.println(Json.of(advice));
    } else {
      advice.lines().forEach(out::println);
    }
    out.flush();
    return advice.use().isPresent() ? 0 : Main.UNANSWERED;
  }

  private boolean causal() {
    return mask != null && Lists.causal(mask) || causal;
  }

  /// The result files given, folders as what they hold; none given: none.
  private List<Path> sweeps() throws UsageException {
    List<Path> given = Stream.concat(files.stream(), results.stream()).toList();
    return given.stream().anyMatch(Files::isDirectory) ? QualityFiles.of(given).sweeps() : given;
  }

  /// Relative error of a mechanism on a file's tensors.
  private static double error(
      String candidate, InputSource input, int length, Advice.Question question) {
    int threads = question.threads().orElse(Runtime.getRuntime().availableProcessors());
    Point point =
        new Point(
            Study.FORWARD,
            candidate,
            length,
            0,
            0,
            0,
            question.causal() ? "causal" : "none",
            threads,
            input.label(),
            Draws.DEFAULT_SEED);
    try {
      return ClaimEvidence.relative(Problem.of(point, input), threads);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (UnsupportedOperationException e) {
      throw new IllegalArgumentException(e.getMessage(), e);
    }
  }

  private static int longest(InputSource input) throws UsageException {
    try {
      return input.maxSeqLen();
    } catch (IOException e) {
      throw new UsageException(e);
    }
  }

  private static OptionalInt wish(@Nullable Integer value) {
    return value == null ? OptionalInt.empty() : OptionalInt.of(value);
  }
}
