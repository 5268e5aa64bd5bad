// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.mechanism.Nearest;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.util.List;
import picocli.AutoComplete;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
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

  @CommandLine.Spec private CommandLine.Model.@org.jspecify.annotations.Nullable CommandSpec spec;

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
    Main main = new Main();
    CommandLine line = new CommandLine(main);
    line.setOut(out);
    line.setErr(err);
    line.setUsageHelpAutoWidth(true);
    line.setParameterExceptionHandler((fault, _) -> main.answer(fault));
    line.setExecutionExceptionHandler((fault, at, _) -> main.answer(at, fault));
    return line.execute(arguments);
  }

  /// Without a subcommand there is nothing to do but help.
  @Override
  public void run() {
    CommandLine line = java.util.Objects.requireNonNull(spec).commandLine();
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
    List<String> known = new java.util.ArrayList<>(at.getSubcommands().keySet());
    at.getCommandSpec().options().forEach(option -> known.addAll(List.of(option.names())));
    return known;
  }
}
