// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.quality.QualityRecord.CurvePoint;
import dev.crossover.bench.quality.QualityRecord.Evaluation;
import dev.crossover.bench.quality.QualityRecord.Status;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.TaskTraining.Look;
import dev.crossover.models.training.TaskTraining.PositionLoss;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Training runs that nobody trained.
public final class QualityRecords {
  private QualityRecords() {}

  /// A run that ended with some accuracies.
  ///
  /// @param accuracies length, accuracy, length, accuracy …, the trained length first
  public static QualityRecord run(
      String task, String mixer, String rate, long seed, long stateBytes, double... accuracies) {
    List<Look> looks = new ArrayList<>();
    looks.add(new Look(50, (int) accuracies[0], 2, accuracies[1] / 2, 0));
    for (int i = 0; i < accuracies.length; i += 2) {
      looks.add(new Look(100, (int) accuracies[i], 0.5, accuracies[i + 1], accuracies[i + 1] / 4));
    }
    return run(task, mixer, rate, seed, stateBytes, looks, 100);
  }

  /// A run that ended with a test loss at the task's own length.
  static QualityRecord ended(String task, String mixer, long seed, double loss, int steps) {
    int length = Tasks.parse(task).positions();
    List<Look> looks = List.of(new Look(steps, length, loss, 0.5, 0.1));
    return run(task, mixer, "1e-3", seed, 64, looks, steps);
  }

  /// A run whose model was evaluated at other settings at the task's own length.
  ///
  /// @param accuracies by setting, the shortest text
  public static QualityRecord evaluated(
      String task, String mixer, long seed, Map<String, Double> accuracies) {
    int length = Tasks.parse(task).positions();
    List<Evaluation> evaluations = new ArrayList<>();
    accuracies.forEach(
        (setting, accuracy) ->
            evaluations.add(new Evaluation(setting, new Look(100, length, 1, accuracy, 0))));
    List<Look> looks = List.of(new Look(100, length, 1, 0.5, 0));
    return run(task, mixer, "1e-3", seed, 64, looks, 100, evaluations);
  }

  /// Loss that halves with the context, plus a tenth of the seed.
  private static List<PositionLoss> positionLosses(long seed) {
    return List.of(
        new PositionLoss(1, 1, 4 + 0.1 * seed),
        new PositionLoss(2, 2, 2 + 0.1 * seed),
        new PositionLoss(3, 4, 1 + 0.1 * seed));
  }

  private static QualityRecord run(
      String task,
      String mixer,
      String rate,
      long seed,
      long stateBytes,
      List<Look> looks,
      int steps) {
    return run(task, mixer, rate, seed, stateBytes, looks, steps, null);
  }

  private static QualityRecord run(
      String task,
      String mixer,
      String rate,
      long seed,
      long stateBytes,
      List<Look> looks,
      int steps,
      @Nullable List<Evaluation> evaluations) {
    return new QualityRecord(
        "quality",
        task,
        mixer,
        Map.of("lr", rate, "steps", "100"),
        seed,
        42,
        Status.FINISHED,
        "",
        steps,
        List.of(new CurvePoint(50, 2), new CurvePoint(100, 0.5)),
        looks,
        task.startsWith("parity") ? 0.5 : 0.25,
        1000,
        stateBytes,
        5000,
        12,
        2,
        new Machine("Test CPU", 2, 1L << 33, "Linux", "25"),
        "abc",
        "crossover train " + task,
        evaluations,
        task.startsWith("bytes") ? positionLosses(seed) : null);
  }
}
