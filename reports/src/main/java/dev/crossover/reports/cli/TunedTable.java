// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.reports.answer.TunedComparison;
import dev.crossover.reports.answer.TunedComparison.Pair;
import dev.crossover.reports.answer.TunedComparison.Pick;
import dev.crossover.reports.answer.Wording;
import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.Map;

/// Prints what two tuned runs picked.
final class TunedTable {
  private TunedTable() {}

  static void print(PrintWriter out, TunedComparison result) {
    String title = "";
    for (Pair cell : result.cells()) {
      if (!cell.title().equals(title)) {
        title = cell.title();
        out.println(title + ":");
      }
      out.println(
          "  n = "
              + Wording.length(cell.n())
              + ", error at most "
              + Wording.percent(cell.error())
              + ": "
              + (cell.differsByLess(result.within()) ? "" : "DIFFERS, ")
              + "time × "
              + cell.time().words(1, 1 + result.within(), 1 / (1 + result.within()))
              + ", exact attention × "
              + cell.exact().words(1));
      out.println("    " + words(cell.before()));
      out.println(cell.sameSetting() ? "    the same setting" : "    " + words(cell.after()));
    }
    if (result.cells().isEmpty()) {
      out.println("no cell is answered by both files");
      return;
    }
    String share = Wording.percent(result.within());
    int all = result.cells().size();
    out.println(
        result.same()
            + " of "
            + all
            + " cells ("
            + Wording.percent((double) result.same() / all)
            + ") differ by less than "
            + share
            + " in time, "
            + result.surelySame()
            + " with the whole interval; the same setting in "
            + result.sameSettings()
            + "; "
            + result.unmatched()
            + " cells only in one file");
  }

  private static String words(Pick pick) {
    return pick.spec()
        + ", "
        + Wording.seconds(pick.seconds())
        + ", "
        + pick.speedUp().words(1)
        + " times faster than exact attention";
  }

  static Map<String, Object> values(TunedComparison result) {
    Map<String, Object> values = new LinkedHashMap<>();
    values.put("within", result.within());
    values.put("same", result.same());
    values.put("surely_same", result.surelySame());
    values.put("same_settings", result.sameSettings());
    values.put("unmatched", result.unmatched());
    values.put("cells", result.cells());
    return values;
  }
}
