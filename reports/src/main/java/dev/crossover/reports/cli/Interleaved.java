// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import picocli.CommandLine;

/// Measures two builds in alternating processes: what the machine does meanwhile falls on both.
///
/// A sweep that is run again with one more fork adds one process per mechanism to its result file,
/// so each build is asked for round after round, mechanism by mechanism, old and new next to each
/// other and first in turn.
final class Interleaved {
  private static final Set<String> OURS =
      Set.of("--forks", "-o", "--out", "--no-report", "--dry-run", "--print", "--shard");

  private final Sweeps sweeps;
  private final Path folder;
  private final PrintWriter err;

  /// Runs one build's sweep.
  interface Sweeps {
    /// Runs `crossover sweep` of a jar to its end.
    ///
    /// @param jar the build
    /// @param arguments what follows `sweep`
    /// @return its exit code
    int run(Path jar, List<String> arguments) throws IOException;
  }

  Interleaved(Sweeps sweeps, Path folder, PrintWriter err) {
    this.sweeps = sweeps;
    this.folder = folder;
    this.err = err;
  }

  /// Result file of the old build.
  Path oldResults() {
    return SweepCommand.resultsIn(folder.resolve("old"));
  }

  /// Result file of the new build.
  Path newResults() {
    return SweepCommand.resultsIn(folder.resolve("new"));
  }

  /// Measures; false when stopped.
  ///
  /// @param old the old build
  /// @param now the new build
  /// @param arguments arguments of the sweep
  /// @param forks processes per point and build
  boolean measure(Path old, Path now, List<String> arguments, int forks)
      throws IOException, UsageException {
    for (String argument : arguments) {
      String name = argument.replaceFirst("=.*", "");
      if (OURS.contains(name)) {
        throw new IllegalArgumentException(
            "sweep must leave " + name + " to crossover compare, but was given it");
      }
    }
    List<List<String>> turns = turns(arguments);
    Set<String> refused = new HashSet<>();
    for (int round = 1; round <= forks; round++) {
      for (int turn = 0; turn < turns.size(); turn++) {
        boolean oldFirst = (round + turn) % 2 == 1;
        for (boolean isOld : new boolean[] {oldFirst, !oldFirst}) {
          Path jar = isOld ? old : now;
          String what = jar + " " + String.join(" ", turns.get(turn));
          if (refused.contains(what)) {
            continue;
          }
          err.println("round " + round + " of " + forks + ": " + what);
          int code = run(jar, turns.get(turn), round, isOld ? "old" : "new");
          if (code == Main.USAGE) {
            err.println(jar + " refuses this; what only the other build measures is left alone");
            refused.add(what);
          } else if (code != 0 && code != Main.FAILED) {
            err.println("stopped; the same command continues");
            return false;
          }
        }
      }
    }
    return true;
  }

  private int run(Path jar, List<String> arguments, int round, String side) throws IOException {
    List<String> all = new ArrayList<>(arguments);
    all.addAll(
        List.of(
            "--forks",
            Integer.toString(round),
            "--no-report",
            "-o",
            folder.resolve(side).toString()));
    return sweeps.run(jar, all);
  }

  /// The sweep mechanism by mechanism; as a whole where it has parts with mechanisms of their own.
  private static List<List<String>> turns(List<String> arguments)
      throws IOException, UsageException {
    SweepCommand parsed = new SweepCommand();
    new CommandLine(parsed).parseArgs(arguments.toArray(String[]::new));
    List<String> specs = parsed.onlySpecs();
    if (specs.isEmpty()) {
      return List.of(arguments);
    }
    List<String> others = new ArrayList<>();
    for (int i = 0; i < arguments.size(); i++) {
      String argument = arguments.get(i);
      if (argument.equals("-m") || argument.equals("--mechanisms")) {
        i++;
      } else if (!argument.startsWith("-m") && !argument.startsWith("--mechanisms=")) {
        others.add(argument);
      }
    }
    List<List<String>> turns = new ArrayList<>();
    for (String spec : specs) {
      List<String> turn = new ArrayList<>(others);
      turn.addAll(List.of("-m", spec));
      turns.add(turn);
    }
    return turns;
  }
}
