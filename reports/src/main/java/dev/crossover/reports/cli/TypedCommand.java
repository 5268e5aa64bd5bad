package dev.crossover.reports.cli;

import picocli.CommandLine.Model.CommandSpec;

/// The command line as it was typed, for the page that tells how it was made.
final class TypedCommand {
  private TypedCommand() {}

  /// `crossover name arguments…`, arguments that hold spaces in quotes.
  static String of(CommandSpec spec) {
    StringBuilder command = new StringBuilder("crossover");
    CommandSpec root = spec.root();
    for (String argument : root.commandLine().getParseResult().originalArgs()) {
      command.append(' ').append(argument.contains(" ") ? "'" + argument + "'" : argument);
    }
    return command.toString();
  }
}
