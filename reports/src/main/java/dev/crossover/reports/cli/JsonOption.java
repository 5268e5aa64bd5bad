// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.result.RecordJson;
import java.io.PrintWriter;
import java.util.function.Supplier;
import picocli.CommandLine.Option;

/// The option `--json`, which every command has that prints a table or a list: its answer as one
/// JSON value on one line, and nothing else on the standard output.
final class JsonOption {
  @Option(names = "--json", description = "Print one line of JSON instead of words.")
  private boolean wanted;

  /// Whether JSON is wanted.
  boolean wanted() {
    return wanted;
  }

  /// Prints an answer as it is wanted.
  ///
  /// @param value the answer, as maps, lists, texts, numbers and records
  /// @param words prints it for people
  void print(PrintWriter out, Supplier<?> value, Runnable words) {
    if (wanted) {
      out.println(RecordJson.write(value.get()));
    } else {
      words.run();
    }
    out.flush();
  }
}
