// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.answer.Metrics;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.Point;
import dev.crossover.reports.answer.Roofline;
import dev.crossover.reports.answer.Series;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.page.Table.Cell;
import dev.crossover.reports.page.Table.Column;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Explains each mechanism's time at its largest length: counted work, what share of the machine it
/// used, and what limits it.
final class WorkTable {
  private static final String BASELINE = Mechanism.Names.of(Tiled.class);

  private WorkTable() {}

  /// One row per mechanism and setting of a panel of forward passes.
  static Table of(PanelAnswer answer) {
    List<Column> columns =
        List.of(
            new Column("mechanism", "mechanism", false),
            new Column("n", "n", true),
            new Column("time", "seconds", true),
            new Column("FLOPs", "flops", true),
            new Column("of tiled's work", "work_over_tiled", true),
            new Column("times tiled's speed", "speed_over_tiled", true),
            new Column("GFLOP/s", "gflops", true),
            new Column("of peak", "share_of_peak", true),
            new Column("bytes moved", "bytes_moved", true),
            new Column("of bandwidth", "share_of_bandwidth", true),
            new Column("limited by", "limited_by", false));
    List<List<Cell>> rows = new ArrayList<>();
    Optional<Series> baseline = answer.panel().baseline(BASELINE);
    for (Series series : answer.panel().series()) {
      Point last = series.points().getLast();
      Optional<Point> exact = baseline.flatMap(s -> s.at(last.n()));
      rows.add(row(series, last, exact));
    }
    return new Table("work", columns, rows);
  }

  private static List<Cell> row(Series series, Point point, Optional<Point> exact) {
    Roofline roof = point.roofline();
    double work = point.flops() / exact.map(Point::flops).orElse(Double.NaN);
    double speed = exact.map(Point::seconds).orElse(Double.NaN) / point.seconds();
    double bandwidth = roof == null ? Double.NaN : roof.shareOfBandwidth();
    return List.of(
        new Cell(series.label(), series.spec()),
        Cell.number(Wording.length(point.n()), point.n()),
        Tables.cell(Metrics.SECONDS, point),
        Tables.cell(Metrics.of("flops"), point),
        Cell.number(Wording.digits(work), work),
        Cell.number(Wording.digits(speed), speed),
        Tables.cell(Metrics.GFLOPS, point),
        Tables.cell(Metrics.SHARE_OF_PEAK, point),
        Tables.cell(Metrics.of("bytes_moved"), point),
        Cell.number(Wording.percent(bandwidth), bandwidth),
        Cell.text(
            Labels.find(point.first().mechanism()).map(t -> t.mechanism().bound()).orElse("")));
  }
}
