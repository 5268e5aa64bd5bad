// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.Student;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.OtherSetting;
import dev.crossover.reports.answer.Claim.Outcome;
import dev.crossover.reports.answer.Claim.Verdict;
import dev.crossover.reports.answer.QualityResults.Row;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// Rules of claims about what models learn, judged by training runs.
public final class TrainedRules {
  private TrainedRules() {}

  /// After as many training steps one mixer reaches the loss of another, and a third ends higher.
  ///
  /// @param task the task's name
  /// @param spec mechanism that reaches it
  /// @param baseline mechanism whose loss is reached
  /// @param worse mechanism that ends higher than `spec`
  public record Trained(String task, String spec, String baseline, String worse)
      implements ClaimRules.Computed {
    /// Losses within this factor are alike.
    public static final double ALIKE = 2;

    @Override
    public String from() {
      return "training runs of " + task;
    }

    @Override
    public String words() {
      return "after as many steps on "
          + task
          + ", the test loss of "
          + spec
          + " over that of "
          + baseline
          + ", geometric mean over seeds, lies below "
          + Judgement.plain(ALIKE)
          + " with its whole interval, and that of "
          + worse
          + " over that of "
          + spec
          + " above 1";
    }

    /// The verdict on the first results of the task that hold all three with two seeds or more, the
    /// same for all, after equal numbers of steps.
    public Outcome outcome(List<QualityResults> results) {
      for (QualityResults result : results) {
        Map<Long, Double> own = losses(result, spec);
        Map<Long, Double> reference = losses(result, baseline);
        Map<Long, Double> other = losses(result, worse);
        if (Tasks.nameOf(Tasks.parse(result.task())).equals(task)
            && own.size() >= 2
            && own.keySet().equals(reference.keySet())
            && own.keySet().equals(other.keySet())
            && equalSteps(result)) {
          return outcome(
              Ratio.paired(values(own), values(reference)),
              Ratio.paired(values(other), values(own)));
        }
      }
      return Outcome.incomparable(
          "no runs of equal seeds and steps were given: crossover train "
              + task
              + " -m "
              + String.join(",", baseline, spec, worse)
              + " --seeds 3 --model evaluate_every=2000 makes them");
    }

    private Outcome outcome(Ratio alike, Ratio higher) {
      String own =
          spec
              + " over "
              + baseline
              + " "
              + alike.words(ALIKE)
              + ", "
              + worse
              + " over "
              + spec
              + " "
              + higher.words(1);
      if (alike.above(ALIKE) || higher.below(1)) {
        return Outcome.of(Verdict.CONTRADICTED, own);
      }
      return alike.below(ALIKE) && higher.above(1)
          ? Outcome.of(Verdict.REPRODUCED, own)
          : Outcome.undecided(own, "an interval over seeds lies across its limit");
    }

    private Optional<Row> row(QualityResults result, String mechanism) {
      return result.rows().stream().filter(row -> row.mechanism().equals(mechanism)).findFirst();
    }

    private boolean equalSteps(QualityResults result) {
      return Stream.of(spec, baseline, worse)
              .flatMap(mechanism -> row(result, mechanism).stream())
              .flatMap(row -> row.records().stream())
              .mapToLong(QualityRecord::steps)
              .distinct()
              .count()
          == 1;
    }

    /// Test losses at the trained length by seed; empty without runs.
    private Map<Long, Double> losses(QualityResults result, String mechanism) {
      Map<Long, Double> losses = new TreeMap<>();
      row(result, mechanism).stream()
          .flatMap(row -> row.records().stream())
          .forEach(
              record ->
                  record
                      .last(result.positions())
                      .ifPresent(look -> losses.put(record.seed(), look.loss())));
      return losses;
    }

    private static double[] values(Map<Long, Double> bySeed) {
      return bySeed.values().stream().mapToDouble(Double::doubleValue).toArray();
    }
  }

  /// The more of a parameter a trained model is evaluated with, the more accurate it is.
  ///
  /// @param task the task's name
  /// @param mechanism its name
  /// @param knob the parameter
  /// @param values at which models are evaluated, ascending
  /// @param runs task, mixers and options of runs that decide
  public record Evaluated(
      String task, String mechanism, String knob, List<Integer> values, String runs)
      implements ClaimRules.Computed {
    /// Copies the list.
    public Evaluated {
      values = List.copyOf(values);
    }

    @Override
    public String from() {
      return "models trained on " + task + ", evaluated at other settings";
    }

    @Override
    public String words() {
      return "test accuracy of "
          + mechanism
          + " trained on "
          + task
          + ", evaluated at "
          + knob
          + " = "
          + values.getLast()
          + ", less that at "
          + values.getFirst()
          + ", lies above 0 with its whole interval over seeds, and no step of "
          + values
          + " lowers it with its whole interval, whatever "
          + knob
          + " it was trained at";
    }

    /// The verdict on every row of the task that was evaluated at all values with two seeds or
    /// more.
    public Outcome outcome(List<QualityResults> results) {
      List<String> words = new ArrayList<>();
      boolean all = true;
      boolean contradicted = false;
      for (QualityResults result : results) {
        if (!Tasks.nameOf(Tasks.parse(result.task())).equals(task)) {
          continue;
        }
        for (Row row : result.rows()) {
          if (!row.mechanism().equals(mechanism)) {
            continue;
          }
          List<double[]> accuracies = accuracies(row, result.positions());
          if (!accuracies.isEmpty()) {
            Difference whole = Difference.of(accuracies.getFirst(), accuracies.getLast());
            words.add(words(row, accuracies, whole));
            contradicted |= whole.high() < 0 || lowered(accuracies);
            all &= whole.low() > 0;
          }
        }
      }
      if (words.isEmpty()) {
        return Outcome.incomparable("no such runs with two seeds were given: " + command());
      }
      String own = String.join("; ", words);
      if (contradicted) {
        return Outcome.of(Verdict.CONTRADICTED, own);
      }
      return all
          ? Outcome.of(Verdict.REPRODUCED, own)
          : Outcome.undecided(own, "the interval over seeds holds 0");
    }

    private String command() {
      return "crossover train "
          + runs
          + " --seeds 3 --evaluate-with "
          + values.stream()
              .map(value -> mechanism + ":" + knob + "=" + value)
              .collect(Collectors.joining(","))
          + " makes them";
    }

    private static boolean lowered(List<double[]> accuracies) {
      for (int i = 1; i < accuracies.size(); i++) {
        if (Difference.of(accuracies.get(i - 1), accuracies.get(i)).high() < 0) {
          return true;
        }
      }
      return false;
    }

    private String words(Row row, List<double[]> accuracies, Difference whole) {
      List<String> means = new ArrayList<>();
      for (int i = 0; i < values.size(); i++) {
        means.add(
            String.format(
                Locale.ROOT, "%.3f at %d", Student.mean(accuracies.get(i)), values.get(i)));
      }
      return row.core()
          + ": "
          + String.join(", ", means)
          + String.format(
              Locale.ROOT,
              "; %+.3f (%+.3f to %+.3f)",
              (whole.low() + whole.high()) / 2,
              whole.low(),
              whole.high());
    }

    /// Accuracies of the seeds at every value; empty where a seed or a value is missing.
    private List<double[]> accuracies(Row row, int length) {
      List<double[]> all = new ArrayList<>();
      for (int value : values) {
        String setting = new OtherSetting(mechanism + ":" + knob + "=" + value).of(row.core());
        double[] ofSeeds = row.accuracies(setting, length);
        if (ofSeeds.length < 2 || ofSeeds.length < row.records().size()) {
          return List.of();
        }
        all.add(ofSeeds);
      }
      return all;
    }
  }

  /// The interval of the mean difference, pair by pair.
  private record Difference(double low, double high) {
    static Difference of(double[] before, double[] after) {
      double[] differences = new double[before.length];
      for (int i = 0; i < differences.length; i++) {
        differences[i] = after[i] - before[i];
      }
      double mean = Student.mean(differences);
      double half = Student.half(differences);
      return new Difference(mean - half, mean + half);
    }
  }
}
