// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.ResultRecord;
import java.util.List;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine.Model.CommandSpec;

/// The command line as it was typed, for the page that tells how it was made.
final class TypedCommand {
  private TypedCommand() {}

  /// The commands that measured records, joined by `; `, or the one being run if they do not tell.
  static String of(List<ResultRecord> records, String running) {
    return of(records, List.of(), running);
  }

  /// The commands that measured records and trained models, as above.
  static String of(List<ResultRecord> records, List<QualityRecord> quality, String running) {
    String told =
        Stream.concat(
                records.stream().map(record -> record.environment().command()),
                quality.stream().map(QualityRecord::command))
            .filter(Objects::nonNull)
            .distinct()
            .collect(Collectors.joining("; "));
    return told.isEmpty() ? running : told;
  }

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
