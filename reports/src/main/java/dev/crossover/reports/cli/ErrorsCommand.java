// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.AttentionShape;
import dev.crossover.bench.error.ErrorFile;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.jobs.Jobs;
import dev.crossover.reports.page.ErrorsPage;
import dev.crossover.reports.study.ErrorReport;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/// `crossover errors`: computes errors against knobs, by head, position and distance, and spectra.
@Command(
    name = "errors",
    description = {
      "Compute how approximations err: against the parameter that buys accuracy, by head, position"
          + " and distance, over seeds; and the spectrum of exact attention.",
      "Nothing is timed."
    },
    mixinStandardHelpOptions = true,
    sortOptions = false)
final class ErrorsCommand implements Callable<Integer> {
  private static final int DEFAULT_LENGTH = 1024;

  @Option(
      names = "--input",
      paramLabel = "INPUT",
      description = "Where tensors come from, as for sweep; captured when absent.")
  private @Nullable String input;

  @Mixin private QkvOptions qkv = new QkvOptions();

  @Option(
      names = "--n",
      paramLabel = "N",
      description = "Sequence length; 1024, or all the input has.")
  private @Nullable Integer n;

  @Option(
      names = "--mask",
      paramLabel = "MASK,…",
      description = "causal,none (the default): one part for each.")
  private String masks = "causal,none";

  @Option(
      names = {"-m", "--mechanisms"},
      paramLabel = "SPEC,…",
      description =
          "Mechanisms compared by head, position and distance; a choice of eight when absent.")
  private @Nullable String mechanisms;

  @Option(
      names = "--seeds",
      paramLabel = "K",
      description = "Seeds of random mechanisms; 8 when absent.")
  private int seeds = 8;

  @Option(names = "--seed", paramLabel = "S", description = "The first of them; 42 when absent.")
  private long seed = 42;

  @Option(
      names = "--threads",
      paramLabel = "T",
      description = "Threads; all cores when absent. Errors do not depend on it.")
  private @Nullable Integer threads;

  @Option(
      names = {"-o", "--out"},
      paramLabel = "DIR",
      description =
          "Folder of errors.jsonl, errors.md, figures/ and csv/; crossover-errors when absent."
              + " Errors that errors.jsonl holds, of this commit, are not computed again.")
  private Path folder = Path.of("crossover-errors");

  @Spec private @Nullable CommandSpec spec;

  @Override
  public Integer call() throws IOException, UsageException {
    CommandSpec self = Objects.requireNonNull(spec);
    PrintWriter out = self.commandLine().getOut();
    PrintWriter err = self.commandLine().getErr();
    List<String> specs = mechanisms == null ? List.of() : Lists.specs(mechanisms);
    specs.forEach(Lists::requireMechanism);
    String label = label();
    int length = length(label, err);
    Jobs jobs = Main.jobs(self, threads);
    ErrorReport.Wish wish =
        new ErrorReport.Wish(
            label,
            length,
            Lists.pieces(masks, Lists::causal).stream().distinct().toList(),
            specs,
            seeds,
            seed,
            jobs.threads());
    Files.createDirectories(folder); // a folder that cannot be is found before the computing
    ErrorReport report =
        ErrorReport.compute(
            wish, new ErrorFile(folder.resolve(ErrorFile.NAME)), jobs, err::println);
    out.println(
        "errors: "
            + ErrorsPage.write(report, folder, TypedCommand.of(self), Here.words())
                .toAbsolutePath());
    out.flush();
    return 0;
  }

  private String label() {
    Optional<String> own = qkv.label();
    if (own.isPresent() && input != null) {
      throw new IllegalArgumentException("input must be absent when --qkv is given");
    }
    return own.orElse(input == null ? InputSource.CAPTURED : input);
  }

  /// The length to use: what was asked for, which the input must have.
  private int length(String label, PrintWriter err) throws IOException, UsageException {
    InputSource source = InputSource.parse(label);
    try {
      int length = n == null ? Math.min(DEFAULT_LENGTH, source.maxSeqLen()) : n;
      source.shapeFor(AttentionShape.of(1, 1, length, 1));
      if (!source.doubt().isEmpty()) {
        err.println("note: " + source.doubt());
      }
      return length;
    } catch (IOException e) {
      throw new UsageException(e);
    }
  }
}
