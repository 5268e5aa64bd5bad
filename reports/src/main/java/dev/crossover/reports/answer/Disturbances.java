// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Conditions;
import java.util.ArrayList;
import java.util.List;

/// What the machine did besides measuring, from the conditions that each fork of a panel saw when
/// its measurement had ended.
///
/// A fork was crowded when the load average was more than [#OWN_LOAD] above the number of the
/// sweep's threads: those threads and the compiler and collector beside them are the sweep's own
/// load, the rest is other processes'. A fork's clock had drifted when its frequency lay more than
/// [#DRIFT] from the median of the panel's forks. Fork i of a point ran in round i of its sweep.
///
/// @param threads threads of the sweep
/// @param loads forks whose load average is known
/// @param clocks forks whose frequency is known
/// @param crowded the forks that were crowded, value: load average
/// @param drifted the forks whose clock had drifted, value: MHz
/// @param medianMegahertz median frequency; NaN when none is known
/// @param constantClock whether the same frequency was read at every fork, of which there are at
///     least [#FORKS_TO_COMPARE]
public record Disturbances(
    int threads,
    int loads,
    int clocks,
    List<Fork> crowded,
    List<Fork> drifted,
    double medianMegahertz,
    boolean constantClock) {

  /// Load average that is the sweep's own beyond its threads.
  public static final double OWN_LOAD = 1;

  /// Relative difference from the median frequency from which a clock has drifted.
  public static final double DRIFT = 0.05;

  /// Forks from which an unchanging frequency says that the system tells a nominal one.
  public static final int FORKS_TO_COMPARE = 10;

  /// Copies the lists.
  public Disturbances {
    crowded = List.copyOf(crowded);
    drifted = List.copyOf(drifted);
  }

  /// A fork and what was noticed.
  ///
  /// @param point the point's label
  /// @param n its length
  /// @param round the sweep's round, from 1
  /// @param value load average or MHz
  public record Fork(String point, int n, int round, double value) {}

  /// Looks at the forks of all points of a panel.
  public static Disturbances of(Panel panel) {
    List<Fork> loads = new ArrayList<>();
    List<Fork> clocks = new ArrayList<>();
    for (Series series : panel.series()) {
      for (Point point : series.points()) {
        for (ResultRecord record : point.records()) {
          look(series.label(), point.n(), record, loads, clocks);
        }
      }
    }
    double most = panel.key().threads() + OWN_LOAD;
    double[] paces = clocks.stream().mapToDouble(Fork::value).toArray();
    double median = paces.length == 0 ? Double.NaN : Statistics.median(paces);
    return new Disturbances(
        panel.key().threads(),
        loads.size(),
        clocks.size(),
        loads.stream().filter(fork -> fork.value() > most).toList(),
        clocks.stream().filter(fork -> Math.abs(fork.value() - median) > DRIFT * median).toList(),
        median,
        clocks.size() >= FORKS_TO_COMPARE
            && clocks.stream().allMatch(fork -> fork.value() == median));
  }

  private static void look(
      String label, int n, ResultRecord record, List<Fork> loads, List<Fork> clocks) {
    if (record.time() == null || record.time().conditions() == null) {
      return;
    }
    int round = 0;
    for (Conditions conditions : record.time().conditions()) {
      round++;
      if (conditions != null && conditions.loadAverage() != null) {
        loads.add(new Fork(label, n, round, conditions.loadAverage()));
      }
      if (conditions != null && conditions.megahertz() != null && conditions.megahertz() > 0) {
        clocks.add(new Fork(label, n, round, conditions.megahertz()));
      }
    }
  }

  /// Whether anything was noticed.
  public boolean any() {
    return !crowded.isEmpty() || !drifted.isEmpty();
  }
}
