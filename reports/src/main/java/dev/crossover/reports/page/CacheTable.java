// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.attention.store.Cached;
import dev.crossover.bench.result.SampleStatistics;
import dev.crossover.models.layer.LayerCatalogue;
import dev.crossover.reports.answer.Metrics;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.Point;
import dev.crossover.reports.answer.Series;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.page.Table.Cell;
import dev.crossover.reports.page.Table.Column;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// The leaderboard of caches: what each store, and each policy with its budget, costs in accuracy
/// and gives in bytes and tokens a second, at every context length.
///
/// Rows of a length are in the order of their errors. A place by speed is an interval: the first
/// number counts those whose times lie wholly below this row's interval, the last all those whose
/// do not lie wholly above it. Without intervals, with a single fork, both are the place itself.
final class CacheTable {
  private CacheTable() {}

  /// One cache at one length.
  ///
  /// @param cached whether the session was asked for a store or a policy
  /// @param cache text of store and policy; the mechanism alone where there is neither
  private record Row(Series series, Point point, boolean cached, String cache) {
    double low() {
      SampleStatistics time = point.time();
      return time == null ? Double.NaN : time.hasInterval() ? time.low() : time.median();
    }

    double high() {
      SampleStatistics time = point.time();
      return time == null ? Double.NaN : time.hasInterval() ? time.high() : time.median();
    }
  }

  /// One row per setting and length of a panel of decoding; none where nothing was asked of caches.
  static Table of(PanelAnswer answer) {
    List<Column> columns =
        List.of(
            new Column("n", "n", true),
            new Column("cache", "cache", false),
            new Column("place by error", "error_place", true),
            new Column("relative error", "relative_error", true),
            new Column("largest error", "max_abs_error", true),
            new Column("bytes of state", "state_bytes", true),
            new Column("of tiled's bytes", "bytes_over_tiled", true),
            new Column("tokens a second", "tokens_per_second", true),
            new Column("low", "tokens_per_second_low", true),
            new Column("high", "tokens_per_second_high", true),
            new Column("times tiled's", "speed_over_tiled", true),
            new Column("place by speed", "speed_place", false));
    List<Row> all = new ArrayList<>();
    for (Series series : answer.panel().series()) {
      Cache cache = Cache.of(series);
      for (Point point : series.points()) {
        all.add(new Row(series, point, cache.given(), cache.label()));
      }
    }
    List<List<Cell>> rows = new ArrayList<>();
    for (int n : answer.panel().lengths()) {
      List<Row> there =
          all.stream()
              .filter(row -> row.point().n() == n && row.point().time() != null)
              .sorted(
                  Comparator.comparingDouble((Row row) -> row.point().error())
                      .thenComparingDouble(row -> row.point().seconds()))
              .toList();
      if (there.stream().anyMatch(Row::cached)) {
        there.forEach(row -> rows.add(cells(answer, row, there)));
      }
    }
    return new Table("caches", columns, rows);
  }

  /// What a series' sessions cache.
  private record Cache(boolean given, String label) {
    static Cache of(Series series) {
      try {
        if (LayerCatalogue.parse(series.spec()) instanceof Cached cached) {
          List<String> words = new ArrayList<>();
          for (Map.Entry<String, String> each : cached.cache().toMap().entrySet()) {
            boolean named = each.getKey().equals("store") || each.getKey().equals("cache");
            words.add(named ? each.getValue() : each.getKey() + "=" + each.getValue());
          }
          return new Cache(true, prefix(series) + String.join(", ", words));
        }
      } catch (IllegalArgumentException e) {
        // a record of another version, whose mechanism is not known here
      }
      return new Cache(false, series.label());
    }

    private static String prefix(Series series) {
      return series.mechanism().equals("tiled") ? "" : series.mechanism() + ": ";
    }
  }

  private static List<Cell> cells(PanelAnswer answer, Row row, List<Row> there) {
    Point point = row.point();
    double tiled =
        answer
            .panel()
            .baseline("tiled")
            .flatMap(s -> s.at(point.n()))
            .map(Point::seconds)
            .orElse(Double.NaN);
    double tiledBytes =
        answer
            .panel()
            .baseline("tiled")
            .flatMap(s -> s.at(point.n()))
            .map(Metrics.STATE_BYTES::of)
            .orElse(Double.NaN);
    int batch = point.first().shape().batch();
    double speed = tiled / point.seconds();
    double share = Metrics.STATE_BYTES.of(point) / tiledBytes;
    double error = point.error();
    long better = there.stream().filter(other -> other.point().error() < error).count();
    double largest = point.first().error() == null ? Double.NaN : point.first().error().maxAbs();
    return List.of(
        Cell.number(Wording.length(point.n()), point.n()),
        new Cell(row.cache(), row.series().spec()),
        Cell.number(Double.isNaN(error) ? "–" : String.valueOf(better + 1), better + 1.0),
        Cell.number(scientific(error), error),
        Cell.number(scientific(largest), largest),
        Tables.cell(Metrics.STATE_BYTES, point),
        Cell.number(Wording.digits(share), share),
        Tables.cell(Metrics.TOKENS_PER_SECOND, point),
        Cell.number(Wording.digits(batch / row.high()), batch / row.high()),
        Cell.number(Wording.digits(batch / row.low()), batch / row.low()),
        Cell.number(Wording.digits(speed), speed),
        Cell.text(place(row, there)));
  }

  /// The interval of a row's place by time.
  private static String place(Row row, List<Row> there) {
    long before = there.stream().filter(other -> other.high() < row.low()).count();
    long behind = there.stream().filter(other -> other.low() > row.high()).count();
    long first = before + 1;
    long last = there.size() - behind;
    return first == last ? String.valueOf(first) : first + "–" + last;
  }

  private static String scientific(double value) {
    return Double.isNaN(value) ? "–" : String.format(Locale.ROOT, "%.1e", value);
  }
}
