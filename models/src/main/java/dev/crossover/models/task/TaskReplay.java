// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.conformance.Comparison;
import dev.crossover.attention.conformance.GoldenReplay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.conformance.ReplayResult.Status;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.TensorFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Replays sample files `task__NAME`: the task's solver sees the tokens and has to say every label.
///
/// Format `tasks-1`: metadata `task`, `case`, `parameters`, `source`, `note`; tensors `tokens` `[N,
/// n]`, `labels` `[N, n]` or `[N]`, and tables of the task.
public final class TaskReplay implements GoldenReplay {
  private static final Set<String> KEYS =
      Set.of("format", "task", "case", "parameters", "source", "note");

  @Override
  public List<String> prefixes() {
    return List.of("task__");
  }

  @Override
  public ReplayResult replay(Path path) {
    String name = String.valueOf(path.getFileName());
    String described = "task";
    try {
      SafeTensors file = SafeTensors.open(path);
      Map<String, String> metadata = file.metadata();
      for (String key : metadata.keySet()) {
        require(KEYS.contains(key), "metadata must be among " + KEYS + ", but held " + key);
      }
      String format = metadata.getOrDefault("format", "none");
      require(format.equals("tasks-1"), "metadata format must be tasks-1, but was " + format);
      Task task =
          Tasks.create(metadata.getOrDefault("task", ""), metadata.getOrDefault("parameters", ""));
      described = Tasks.describe(task);
      List<String> skipped = new ArrayList<>();
      double wrong = wrongLabels(task, file, skipped);
      Comparison labels =
          new Comparison("labels", wrong, 0, wrong == 0 ? 0 : Double.POSITIVE_INFINITY);
      Status status = wrong == 0 ? Status.PASSED : Status.DEVIATED;
      return new ReplayResult(name, described, status, "", List.of(labels), skipped);
    } catch (TensorFileException | IllegalArgumentException e) {
      return new ReplayResult(
          name,
          described,
          Status.CANNOT_REPLAY,
          String.valueOf(e.getMessage()),
          List.of(),
          List.of());
    }
  }

  /// Number of asked labels that the solver does not say.
  private static int wrongLabels(Task task, SafeTensors file, List<String> skipped)
      throws TensorFileException {
    require(file.contains("tokens") && file.contains("labels"), "file must hold tokens and labels");
    int[] tokens = integers(file, "tokens");
    int[] labels = integers(file, "labels");
    int rows = Math.toIntExact(file.shape("tokens")[0]);
    int width = task.positions();
    int answers = task.labels();
    require(tokens.length == rows * width, "tokens must have shape [N, " + width + "]");
    require(labels.length == rows * answers, "labels must have shape [N, " + answers + "]");
    Map<String, int[]> tables = new HashMap<>();
    for (String tensor : file.names()) {
      if (!tensor.equals("tokens") && !tensor.equals("labels")) {
        tables.put(tensor, integers(file, tensor));
      }
    }
    Task.Solver solver = task.solver(tables);
    int wrong = 0;
    for (int r = 0; r < rows; r++) {
      int[] sample = Arrays.copyOfRange(tokens, r * width, (r + 1) * width);
      int[] solved = solver.solve(sample);
      boolean unanswerable =
          task instanceof FuzzyRecall
              && labels[(r + 1) * answers - 1] != Task.IGNORE
              && solved[answers - 1] == Task.IGNORE;
      if (unanswerable) {
        skipped.add("row " + r + " asks for a pair that it never shows");
      }
      for (int t = 0; t < answers; t++) {
        int label = labels[r * answers + t];
        boolean never = unanswerable && solved[t] == Task.IGNORE;
        if (label != Task.IGNORE && label != solved[t] && !never) {
          wrong++;
        }
      }
    }
    return wrong;
  }

  private static int[] integers(SafeTensors file, String name) throws TensorFileException {
    double[] values = file.doubles(name);
    int[] integers = new int[values.length];
    for (int i = 0; i < values.length; i++) {
      integers[i] = (int) values[i];
    }
    return integers;
  }

  private static void require(boolean holds, String message) {
    if (!holds) {
      throw new IllegalArgumentException(message);
    }
  }
}
