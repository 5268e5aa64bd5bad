// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.bench.jobs.Jobs;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.AutoComplete;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/// The command `crossover`.
@Command(
    name = "crossover",
    description =
        "At which sequence length does an efficient attention beat exact attention, and what does"
            + " it cost in accuracy?",
    subcommands = {
      ListCommand.class,
      DifferencesCommand.class,
      SweepCommand.class,
      MergeCommand.class,
      ReportCommand.class,
      TuneCommand.class,
      AdviseCommand.class,
      ClaimsCommand.class,
      CompareCommand.class,
      ErrorsCommand.class,
      ExplainCommand.class,
      TrainCommand.class,
      SwapCommand.class,
      InfluenceCommand.class,
      SplitCommand.class,
      GenerateCommand.class,
      ConformanceCommand.class,
      AutoComplete.GenerateCompletion.class,
      CommandLine.HelpCommand.class
    },
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class,
    sortOptions = false)
public final class Main implements Runnable {
  /// Exit code of a command that failed.
  public static final int FAILED = 1;

  /// Exit code of a command that asked for something that does not exist.
  public static final int USAGE = 2;

  /// Exit code of a question to which the records hold no answer.
  public static final int UNANSWERED = 3;

  @Option(
      names = "--debug",
      description = "Show the trace of an error.",
      scope = CommandLine.ScopeType.INHERIT)
  private boolean debug;

  /// Commands that time nothing, so that their points may be computed anywhere.
  private static final List<String> UNTIMED = List.of("errors", "train", "swap");

  private final Optional<Jobs> cluster;

  @CommandLine.Spec private @Nullable CommandSpec spec;

  /// A command line whose studies run in this process.
  public Main() {
    this(Optional.empty());
  }

  private Main(Optional<Jobs> cluster) {
    this.cluster = cluster;
  }

  /// The version and what runs it.
  static final class Version implements CommandLine.IVersionProvider {
    @Override
    public String[] getVersion() {
      String version = Main.class.getPackage().getImplementationVersion();
      return new String[] {
        "crossover " + (version == null ? "(unpackaged)" : version) + ", JDK " + Runtime.version()
      };
    }
  }

  /// Runs a command and ends the JVM with its exit code.
  public static void main(String[] arguments) {
    LauncherWatch.start();
    PrintWriter out = new PrintWriter(System.out, true);
    PrintWriter err = new PrintWriter(System.err, true);
    System.exit(run(out, err, arguments));
  }

  /// Runs a command.
  ///
  /// @param out where answers go
  /// @param err where errors and progress go
  /// @param arguments as on the command line
  /// @return exit code
  public static int run(PrintWriter out, PrintWriter err, String... arguments) {
    return run(new Main(), out, err, arguments);
  }

  /// Runs a command that times nothing; its points are computed by a cluster.
  ///
  /// @param cluster where points are computed
  /// @param out where answers go
  /// @param err where errors and progress go
  /// @param arguments as on the command line
  /// @return exit code
  public static int run(Jobs cluster, PrintWriter out, PrintWriter err, String... arguments) {
    return run(new Main(Optional.of(cluster)), out, err, arguments);
  }

  private static int run(Main main, PrintWriter out, PrintWriter err, String... arguments) {
    CommandLine line = new CommandLine(main);
    line.setOut(out);
    line.setErr(err);
    line.setUsageHelpAutoWidth(true);
    line.setParameterExceptionHandler((fault, _) -> main.answer(fault));
    line.setExecutionExceptionHandler((fault, at, _) -> main.answer(at, fault));
    line.setExecutionStrategy(main::execute);
    return line.execute(arguments);
  }

  private int execute(ParseResult parsed) {
    if (cluster.isPresent() && parsed.hasSubcommand()) {
      CommandLine command = parsed.subcommand().commandSpec().commandLine();
      String name = command.getCommandName();
      if (!UNTIMED.contains(name) && !command.isUsageHelpRequested()) {
        throw new ParameterException(
            command,
            "command must be one of "
                + UNTIMED
                + " on a cluster, where nothing is timed, but was "
                + name);
      }
    }
    return new CommandLine.RunLast().execute(parsed);
  }

  /// The cluster that computes the points of a command's study, if there is one.
  static Optional<Jobs> cluster(CommandSpec command) {
    return ((Main) command.root().userObject()).cluster;
  }

  /// Where the points of a command's study are computed.
  ///
  /// @param threads of a point; null where nobody said: all cores here, what a task has on a
  ///     cluster
  /// @throws IllegalArgumentException if a task of the cluster has another number of threads
  static Jobs jobs(CommandSpec command, @Nullable Integer threads) {
    Optional<Jobs> cluster = cluster(command);
    if (cluster.isEmpty()) {
      return Jobs.here(threads == null ? Runtime.getRuntime().availableProcessors() : threads);
    }
    Jobs jobs = cluster.get();
    if (threads != null && threads != jobs.threads()) {
      throw new IllegalArgumentException(
          "threads must be those of a task on the cluster ("
              + jobs.threads()
              + "), but was "
              + threads);
    }
    return jobs;
  }

  /// Without a subcommand there is nothing to do but help.
  @Override
  public void run() {
    CommandLine line = Objects.requireNonNull(spec).commandLine();
    line.usage(line.getOut());
  }

  private int answer(ParameterException fault) {
    CommandLine at = fault.getCommandLine();
    String message = String.valueOf(fault.getMessage());
    if (fault instanceof UnmatchedArgumentException unmatched
        && !unmatched.getUnmatched().isEmpty()) {
      message += Nearest.hint(unmatched.getUnmatched().getFirst(), known(at));
    }
    return tell(at, message, fault, USAGE);
  }

  private int answer(CommandLine at, Exception fault) {
    Throwable inner = fault instanceof UncheckedIOException ? fault.getCause() : null;
    Throwable cause = inner == null ? fault : inner;
    boolean asked = cause instanceof IllegalArgumentException || cause instanceof UsageException;
    boolean foreseen = asked || cause instanceof IOException;
    String message =
        foreseen && cause.getMessage() != null
            ? FileFaults.message(cause)
            : cause.getClass().getSimpleName()
                + ": "
                + cause.getMessage()
                + " (--debug shows where)";
    return tell(at, message, cause, asked ? USAGE : FAILED);
  }

  private int tell(CommandLine at, String message, Throwable fault, int exitCode) {
    String line = message.replaceAll("\\s*\\R\\s*", "; ").strip();
    if (line.endsWith("but was")) {
      line += " empty";
    }
    at.getErr().println("crossover: " + line);
    if (debug) {
      fault.printStackTrace(at.getErr());
    }
    return exitCode;
  }

  private static List<String> known(CommandLine at) {
    List<String> known = new ArrayList<>(at.getSubcommands().keySet());
    at.getCommandSpec().options().forEach(option -> known.addAll(List.of(option.names())));
    return known;
  }
}
