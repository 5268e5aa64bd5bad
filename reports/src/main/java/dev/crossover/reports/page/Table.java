// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// A table that is written as HTML, Markdown and CSV.
///
/// @param name start of its file name
/// @param columns the columns
/// @param rows one list of cells per row, as long as the columns
record Table(String name, List<Column> columns, List<List<Cell>> rows) {

  /// One column.
  ///
  /// @param title heading for people
  /// @param key heading in CSV files, with the unit
  /// @param number whether cells are aligned and sorted as numbers
  record Column(String title, String key, boolean number) {}

  /// One cell.
  ///
  /// @param text for people
  /// @param value for machines: a plain number, or text; empty when absent
  record Cell(String text, String value) {
    static Cell text(String text) {
      return new Cell(text, text);
    }

    /// A number with its text; absent when NaN.
    static Cell number(String text, double value) {
      return Double.isNaN(value) ? new Cell("–", "") : new Cell(text, plain(value));
    }

    private static String plain(double value) {
      return value == Math.rint(value) && Math.abs(value) < 1e15
          ? Long.toString((long) value)
          : String.format(Locale.ROOT, "%.7g", value);
    }
  }

  /// A table with some of the columns, by key, without rows in which all number cells among them
  /// but the first are absent.
  Table select(String newName, String... keys) {
    List<Integer> indices = new ArrayList<>();
    for (String key : keys) {
      for (int i = 0; i < columns.size(); i++) {
        if (columns.get(i).key().equals(key)) {
          indices.add(i);
        }
      }
    }
    List<Column> newColumns = indices.stream().map(columns::get).toList();
    List<List<Cell>> newRows = new ArrayList<>();
    for (List<Cell> row : rows) {
      List<Cell> cells = indices.stream().map(row::get).toList();
      long numbers = newColumns.stream().filter(Column::number).count();
      long present = 0;
      for (int i = 0; i < cells.size(); i++) {
        present += newColumns.get(i).number() && !cells.get(i).value().isEmpty() ? 1 : 0;
      }
      if (numbers < 2 || present > 1) {
        newRows.add(cells);
      }
    }
    return new Table(newName, newColumns, newRows);
  }

  /// The same without number columns that hold no value in any row.
  Table withoutEmptyColumns() {
    List<String> kept = new ArrayList<>();
    for (int i = 0; i < columns.size(); i++) {
      int column = i;
      if (!columns.get(i).number()
          || rows.stream().anyMatch(row -> !row.get(column).value().isEmpty())) {
        kept.add(columns.get(i).key());
      }
    }
    return select(name, kept.toArray(String[]::new));
  }

  /// Comma-separated values, RFC 4180. Text that a spreadsheet would run as a formula gets an
  /// apostrophe.
  String csv() {
    StringBuilder out = new StringBuilder();
    line(out, columns.stream().map(Column::key).toList());
    for (List<Cell> row : rows) {
      List<String> values = new ArrayList<>();
      for (int i = 0; i < row.size(); i++) {
        String value = row.get(i).value();
        boolean formula = !columns.get(i).number() && value.matches("(?s)[=+\\-@\t\r].*");
        values.add(formula ? "'" + value : value);
      }
      line(out, values);
    }
    return out.toString();
  }

  private static void line(StringBuilder out, List<String> values) {
    for (int i = 0; i < values.size(); i++) {
      String value = values.get(i);
      boolean quote = value.matches("(?s).*[,\"\r\n].*");
      out.append(i == 0 ? "" : ",");
      out.append(quote ? '"' + value.replace("\"", "\"\"") + '"' : value);
    }
    out.append("\r\n");
  }

  /// The rows by the keys of their columns: numbers as numbers, absent ones as null.
  List<Map<String, @Nullable Object>> values() {
    List<Map<String, @Nullable Object>> all = new ArrayList<>();
    for (List<Cell> row : rows) {
      Map<String, @Nullable Object> values = new LinkedHashMap<>();
      for (int i = 0; i < row.size(); i++) {
        String value = row.get(i).value();
        values.put(columns.get(i).key(), columns.get(i).number() ? number(value) : value);
      }
      all.add(values);
    }
    return all;
  }

  private static @Nullable Object number(String value) {
    if (value.isEmpty()) {
      return null;
    }
    double number = Double.parseDouble(value);
    if (number == Math.rint(number) && Math.abs(number) < 1e15) {
      return (long) number;
    }
    return number;
  }

  /// A Markdown table.
  String markdown() {
    StringBuilder out = new StringBuilder("|");
    for (Column column : columns) {
      out.append(' ').append(Markdown.escape(column.title())).append(" |");
    }
    out.append("\n|");
    for (Column column : columns) {
      out.append(column.number() ? "---:|" : "---|");
    }
    for (List<Cell> row : rows) {
      out.append("\n|");
      for (Cell cell : row) {
        out.append(' ').append(Markdown.escape(cell.text())).append(" |");
      }
    }
    return out.append('\n').toString();
  }
}
