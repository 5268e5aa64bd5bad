// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.result.NamedFiles;
import dev.crossover.reports.chart.Figure;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// A page in Markdown with its tables as `csv/` and its figures as `figures/` beside it.
final class MarkdownPage {
  private static final int LONGEST_COMMAND = 120;

  private final Path folder;
  private final StringBuilder text = new StringBuilder();

  /// @param folder where to write; created when absent
  MarkdownPage(Path folder) {
    this.folder = folder;
  }

  /// Title, command and environment.
  void head(String title, String command, String environment) {
    line("# " + Markdown.escape(title));
    line("");
    line("Made by " + Markdown.code(command) + ".");
    line("");
    line(Markdown.escape(environment) + ".");
    line("");
  }

  /// Adds a line.
  void line(String line) {
    text.append(line).append('\n');
  }

  /// Adds a table and writes it as CSV.
  void table(Table table) throws IOException {
    line(table.markdown());
    Path csv = Files.createDirectories(folder.resolve("csv"));
    NamedFiles.write(csv.resolve(table.name() + ".csv"), table.csv());
  }

  /// Writes a figure and shows it.
  void figure(Figure figure) throws IOException {
    figure.write(Files.createDirectories(folder.resolve("figures")));
    line("![" + figure.title() + "](figures/" + figure.name() + ".png)");
    line("");
  }

  /// Writes the page, replacing one of the same name.
  ///
  /// @return its path
  Path write(String name) throws IOException {
    Path file = Files.createDirectories(folder).resolve(name);
    NamedFiles.write(file, text.toString());
    return file;
  }

  /// A command without its long list of settings, which does not fit below a figure.
  static String brief(String command) {
    return command.length() <= LONGEST_COMMAND
        ? command
        : command.replaceAll("( (?:-m|--mechanisms)[ =])\\S+", "$1…");
  }
}
