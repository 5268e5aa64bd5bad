// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.reports.answer.AttentionMap;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.Wording;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// Pictures of attention rows for the page: exact weights, then every approximation of them.
final class Maps {
  /// Bytes of pictures in one page; further ones are only in the folder of figures.
  static final int MOST_BYTES = 700_000;

  private Maps() {}

  /// Views of a panel's pictures, which are also written as files.
  ///
  /// @param files where pictures and their numbers go
  /// @param room bytes left in the page
  /// @return name, label, note and, while there is room, the picture as a data address
  static List<Map<String, Object>> of(Panel panel, String prefix, ReportFiles files, int room)
      throws IOException {
    List<Map<String, Object>> views = new ArrayList<>();
    List<AttentionMap> exact = new ArrayList<>();
    int left = room;
    for (AttentionMap map : AttentionMap.of(panel)) {
      if (exact.stream().noneMatch(map::sameExact)) {
        String label = exact.isEmpty() ? "Exact" : "Exact, for " + map.label();
        String name = prefix + "-rows-exact-" + exact.size();
        byte[] png = files.map(name, map.positions(), map::exactWeight);
        left -= png.length;
        views.add(view(name, label, "softmax weights", png, left));
        exact.add(map);
      }
      String slug = map.spec().toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-");
      String name = prefix + "-rows-" + slug.substring(0, Math.min(60, slug.length()));
      byte[] png = files.map(name, map.positions(), map::weight);
      left -= png.length;
      String note = "total variation " + Wording.digits(map.totalVariation());
      views.add(view(name, map.label(), note, png, left));
    }
    return views;
  }

  private static Map<String, Object> view(
      String name, String label, String note, byte[] png, int left) {
    String data =
        left < 0 ? "" : "data:image/png;base64," + Base64.getEncoder().encodeToString(png);
    return Map.of(
        "name", name,
        "label", label,
        "labelMarkdown", Markdown.escape(label),
        "note", note,
        "data", data,
        "bytes", left < 0 ? 0 : png.length);
  }
}
