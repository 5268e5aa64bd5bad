// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// A table as the page template wants it; the template escapes every text.
final class HtmlTable {
  private HtmlTable() {}

  static Map<String, Object> of(Table table) {
    List<Map<String, String>> columns = new ArrayList<>();
    for (Table.Column column : table.columns()) {
      columns.add(Map.of("title", column.title(), "kind", kind(column)));
    }
    List<Map<String, Object>> rows = new ArrayList<>();
    for (List<Table.Cell> row : table.rows()) {
      List<Map<String, String>> cells = new ArrayList<>();
      for (int i = 0; i < row.size(); i++) {
        cells.add(
            Map.of(
                "text", row.get(i).text(),
                "value", row.get(i).value(),
                "kind", kind(table.columns().get(i))));
      }
      rows.add(Map.of("cells", cells));
    }
    return Map.of("columns", columns, "rows", rows);
  }

  private static String kind(Table.Column column) {
    return column.number() ? "number" : "text";
  }
}
