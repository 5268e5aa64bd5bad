// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import dev.crossover.models.task.Task;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/// Lengths at which a run trains before it comes to the task's own.
///
/// Written as `LENGTH:STEPS/LENGTH:STEPS`. A batch of a stage holds as many sequences more as they
/// are shorter, so that every step reads about as many tokens.
///
/// @param stages in their order
public record Curriculum(List<Stage> stages) {

  /// Some steps at one length.
  ///
  /// @param length positions of a sample, as [Task#atLength] takes it
  /// @param steps number of steps, at least 1
  public record Stage(int length, int steps) {
    /// Validates the numbers.
    public Stage {
      if (length < 1) {
        throw new IllegalArgumentException("curriculum length must be >= 1, but was " + length);
      }
      if (steps < 1) {
        throw new IllegalArgumentException("curriculum steps must be >= 1, but was " + steps);
      }
    }
  }

  /// Copies the list.
  public Curriculum {
    stages = List.copyOf(stages);
  }

  /// Reads one.
  ///
  /// @param text `LENGTH:STEPS/…`; empty: none
  /// @throws IllegalArgumentException naming what is no length or no number of steps
  public static Curriculum of(String text) {
    List<Stage> stages = new ArrayList<>();
    for (String stage : text.isEmpty() ? new String[0] : text.split("/", -1)) {
      String[] numbers = stage.split(":", -1);
      try {
        if (numbers.length == 2) {
          stages.add(new Stage(Integer.parseInt(numbers[0]), Integer.parseInt(numbers[1])));
          continue;
        }
      } catch (NumberFormatException e) {
        throw new IllegalArgumentException(rule(text), e);
      }
      throw new IllegalArgumentException(rule(text));
    }
    return new Curriculum(stages);
  }

  private static String rule(String text) {
    return "curriculum must read LENGTH:STEPS/LENGTH:STEPS, but was '" + text + "'";
  }

  /// Number of the stage that a step belongs to; [#stages]' size where it is the task's own.
  ///
  /// @param done steps done before
  int stage(long done) {
    long end = 0;
    for (int i = 0; i < stages.size(); i++) {
      end += stages.get(i).steps();
      if (done < end) {
        return i;
      }
    }
    return stages.size();
  }

  /// The task of a stage.
  Task task(Task own, int stage) {
    return stage == stages.size() ? own : own.atLength(stages.get(stage).length());
  }

  /// Sequences of a batch of a stage.
  ///
  /// @param batch at the task's own length
  int batch(Task own, int stage, int batch) {
    long tokens = (long) batch * own.positions();
    return (int) Math.max(1, tokens / task(own, stage).positions());
  }

  /// As [#of] reads it.
  @Override
  public String toString() {
    return stages.stream()
        .map(stage -> stage.length() + ":" + stage.steps())
        .collect(Collectors.joining("/"));
  }
}
