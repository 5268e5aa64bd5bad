// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.reports.answer.Disturbances;
import dev.crossover.reports.answer.Noise;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.Wording;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/// What a panel's forks say about the machine's rest: their spread, the load beside them and the
/// pace of the clock.
final class NoiseWords {
  private static final int MOST_POINTS = 4;

  private NoiseWords() {}

  /// One sentence for the spread, one more for each thing that was noticed.
  ///
  /// @param several whether the sentences must name the panel
  static List<String> of(PanelAnswer answer, boolean several) {
    String where = several ? answer.panel().title() + ": " : "";
    List<String> words = new ArrayList<>();
    words.add(where + spread(answer.noise(), answer.disturbances().any()));
    Disturbances noticed = answer.disturbances();
    if (!noticed.crowded().isEmpty()) {
      words.add(where + crowded(noticed));
    }
    if (!noticed.drifted().isEmpty()) {
      words.add(where + drifted(noticed));
    }
    return words;
  }

  /// What cannot be known about a panel's load and clock, in a sentence that does not name the
  /// panel; empty when both were told.
  static String unknown(PanelAnswer answer) {
    Disturbances noticed = answer.disturbances();
    if (noticed.loads() == 0 && noticed.clocks() == 0) {
      return "neither load nor frequency was recorded, so that noise is judged by the spread"
          + " between forks alone.";
    }
    return noticed.constantClock()
        ? "the system told the same frequency, "
            + megahertz(noticed.medianMegahertz())
            + ", at every fork, as virtual machines do: a clock that slowed down would show in the"
            + " spread only."
        : "";
  }

  private static String spread(Noise noise, boolean disturbed) {
    if (noise.verdict() == Noise.Verdict.UNKNOWN) {
      return "every point ran in one process only, so the noise is unknown.";
    }
    String judgement =
        switch (noise.verdict()) {
          case QUIET ->
              disturbed
                  ? "forks agree, though the machine was not left alone"
                  : "the machine was quiet";
          case RESTLESS -> "the machine was not quite at rest";
          default -> "the machine was noisy, and small differences mean nothing";
        };
    return judgement
        + ": forks of one point lie "
        + Wording.percent(noise.medianSpread(), Noise.QUIET, Noise.NOISY)
        + " apart in the median, "
        + Wording.percent(noise.worstSpread(), Noise.NOISY)
        + " at worst ("
        + noise.worstPoint()
        + ")"
        + (noise.noisyPoints() > 0
            ? "; "
                + noise.noisyPoints()
                + " of "
                + noise.points()
                + " points differ by more than "
                + Wording.percent(Noise.NOISY)
            : "")
        + ".";
  }

  private static String crowded(Disturbances noticed) {
    double worst =
        noticed.crowded().stream().mapToDouble(Disturbances.Fork::value).max().orElse(Double.NaN);
    return "other processes competed: the load average was above "
        + Wording.whole(noticed.threads() + Disturbances.OWN_LOAD)
        + " (threads of the sweep and one more) after "
        + noticed.crowded().size()
        + " of "
        + forks(noticed.loads())
        + ", "
        + Wording.digits(worst)
        + " at worst; "
        + places(noticed.crowded());
  }

  private static String drifted(Disturbances noticed) {
    double slowest =
        noticed.drifted().stream().mapToDouble(Disturbances.Fork::value).min().orElse(Double.NaN);
    double fastest =
        noticed.drifted().stream().mapToDouble(Disturbances.Fork::value).max().orElse(Double.NaN);
    return "the clock changed its pace: after "
        + noticed.drifted().size()
        + " of "
        + forks(noticed.clocks())
        + " it was more than "
        + Wording.percent(Disturbances.DRIFT)
        + " from the median of "
        + megahertz(noticed.medianMegahertz())
        + ", "
        + (slowest == fastest
            ? "at " + megahertz(slowest)
            : "between " + Wording.whole(slowest) + " and " + megahertz(fastest))
        + "; "
        + places(noticed.drifted());
  }

  /// Rounds and points of forks, the first few by name.
  private static String places(List<Disturbances.Fork> forks) {
    Set<Integer> rounds = new TreeSet<>();
    Set<String> points = new LinkedHashSet<>();
    for (Disturbances.Fork fork : forks) {
      rounds.add(fork.round());
      points.add(fork.point() + " at n = " + Wording.length(fork.n()));
    }
    String named = points.stream().limit(MOST_POINTS).collect(Collectors.joining("; "));
    return (rounds.size() == 1 ? "round " : "rounds ")
        + rounds.stream().map(String::valueOf).collect(Collectors.joining(", "))
        + ": "
        + named
        + (points.size() > MOST_POINTS ? "; and " + (points.size() - MOST_POINTS) + " more" : "")
        + ".";
  }

  private static String forks(int number) {
    return number + (number == 1 ? " fork" : " forks");
  }

  private static String megahertz(double value) {
    return Wording.whole(value) + " MHz";
  }
}
