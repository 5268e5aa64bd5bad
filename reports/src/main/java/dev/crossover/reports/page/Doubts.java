// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.quality.QualityRecord.Status;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.Crossover;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import dev.crossover.reports.answer.ScalingFit;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;

/// Reasons to doubt a report's numbers, from the records themselves and from what such numbers can
/// mean.
final class Doubts {
  private Doubts() {}

  /// One sentence or two each, those of this run first.
  static List<String> of(List<PanelAnswer> answers, List<ResultRecord> records) {
    List<String> doubts = new ArrayList<>();
    for (PanelAnswer answer : answers) {
      doubts.addAll(NoiseWords.of(answer, answers.size() > 1));
    }
    answers.stream()
        .filter(answer -> !answer.series().isEmpty())
        .map(NoiseWords::unknown)
        .filter(words -> !words.isEmpty())
        .distinct()
        .forEach(doubts::add);
    long missing = records.stream().filter(r -> r.status() != ResultRecord.Status.OK).count();
    if (missing > 0) {
      doubts.add(
          count(missing, "point was", "points were")
              + " skipped or failed; they are listed with their reasons below the panels.");
    }
    long unsteady = records.stream().filter(ResultRecord::unsteady).count();
    if (unsteady > 0) {
      doubts.add(
          count(unsteady, "point was", "points were")
              + " not steady when measured: hollow in the charts, in no answer and no table but"
              + " that of reasons. The same command measures "
              + (unsteady == 1 ? "it" : "them")
              + " again.");
    }
    disturbed(answers, doubts);
    long unfinished = records.stream().filter(r -> !r.finished() && !r.unsteady()).count();
    if (unfinished > 0) {
      doubts.add(
          count(unfinished, "point has", "points have")
              + " fewer forks than planned: the sweep was not finished.");
    }
    int fewest =
        records.stream()
            .filter(r -> r.time() != null)
            .mapToInt(ResultRecord::forks)
            .min()
            .orElse(0);
    if (fewest > 0 && fewest < 5) {
      doubts.add(
          "Some points have only "
              + count(fewest, "fork", "forks")
              + (fewest == 1
                  ? ": what varies from process to process is unknown there."
                  : ": intervals from so few are coarse."));
    }
    fits(answers, doubts);
    crossovers(answers, doubts);
    targets(answers, doubts);
    environments(records, doubts);
    doubts.add(
        "One machine and "
            + (answers.size() == 1 ? "one setting" : count(answers.size(), "setting", "settings"))
            + ": caches, cores and vector width decide where curves cross. Another machine, head"
            + " size or batch has other crossovers.");
    doubts.add(
        "All mechanisms share one set of kernels, but not one shape: the share of the measured peak"
            + " in the table says how much a faster implementation could still gain. Papers measure"
            + " GPUs.");
    doubts.add(
        "Error is that of the attention output on this input, not the loss of a model. Models"
            + " trained with a mechanism live with its error; this input came from a model that was"
            + " not.");
    answers.stream()
        .map(answer -> answer.panel().view().doubt())
        .filter(doubt -> !doubt.isEmpty())
        .distinct()
        .forEach(doubts::add);
    doubts.add(
        "Counted memory is exact but leaves out inputs, output and the runtime; the resident set"
            + " includes them, is coarse, and is that of a point only where each was measured"
            + " alone. Calls allocate nothing once they are compiled; the first ones, which the"
            + " interpreter runs, allocate what the table says.");
    return doubts.stream()
        .map(d -> d.substring(0, 1).toUpperCase(Locale.ROOT) + d.substring(1))
        .toList();
  }

  /// Reasons to doubt what training runs say; none without runs.
  static List<String> ofQuality(List<QualityRecord> runs) {
    List<String> doubts = new ArrayList<>();
    if (runs.isEmpty()) {
      return doubts;
    }
    long cut = runs.stream().filter(run -> run.status() == Status.BUDGET).count();
    if (cut > 0) {
      doubts.add(
          count(cut, "training run was", "training runs were")
              + " ended by the budget before all steps were done: more time may change "
              + (cut == 1 ? "its accuracy." : "their accuracies."));
    }
    long diverged = runs.stream().filter(run -> run.status() == Status.DIVERGED).count();
    if (diverged > 0) {
      doubts.add(
          count(diverged, "training run", "training runs")
              + " diverged and had no accuracy; a smaller learning rate may help.");
    }
    long seeds = runs.stream().map(QualityRecord::seed).distinct().count();
    if (seeds < 3) {
      doubts.add(
          "Accuracies rest on "
              + count(seeds, "seed", "seeds")
              + " of the model: learning is often all or nothing, and others may end elsewhere.");
    }
    long rates =
        runs.stream()
            .collect(Collectors.groupingBy(run -> run.task() + " " + run.mixer()))
            .values()
            .stream()
            .mapToLong(all -> all.stream().map(QualityRecord::learningRate).distinct().count())
            .max()
            .orElse(0);
    if (rates < 2) {
      doubts.add(
          "Every mixer was trained with one learning rate, near the threshold a matter of more"
              + " weight than the mechanism: a mixer that failed may solve the task with another.");
    }
    doubts.add(
        "What small models learn of synthetic tasks in minutes separates mechanisms; it does not"
            + " rank them as parts of large ones.");
    return doubts;
  }

  private static void fits(List<PanelAnswer> answers, List<String> doubts) {
    Set<String> bent = new LinkedHashSet<>();
    for (PanelAnswer answer : answers) {
      for (SeriesAnswer one : answer.series()) {
        if (one.timeFit().filter(ScalingFit::bends).isPresent()) {
          bent.add(one.series().label());
        }
      }
    }
    if (!bent.isEmpty()) {
      doubts.add(
          "The time of these has no exponent, because its local slopes change along the upper half"
              + " of the lengths: "
              + String.join("; ", bent)
              + ".");
    }
  }

  private static void disturbed(List<PanelAnswer> answers, List<String> doubts) {
    long disturbed =
        answers.stream()
            .flatMap(answer -> answer.series().stream())
            .flatMap(one -> one.series().points().stream())
            .filter(point -> !point.disturbance().isEmpty())
            .count();
    if (disturbed > 0) {
      doubts.add(
          "The peak moved by more than 10 %, or was exceeded, beside "
              + count(disturbed, "point", "points")
              + ": no share of it is shown there.");
    }
  }

  private static void crossovers(List<PanelAnswer> answers, List<String> doubts) {
    Set<String> open = new LinkedHashSet<>();
    for (PanelAnswer answer : answers) {
      for (SeriesAnswer one : answer.series()) {
        if (one.time().values().stream().anyMatch(Crossover::doubtful)) {
          open.add(one.series().label());
        }
      }
    }
    if (!open.isEmpty()) {
      doubts.add(
          "Noise alone could change whether these cross a baseline within the measured lengths: "
              + String.join("; ", open)
              + ".");
    }
  }

  /// Names the mechanisms whose error is not against the attention that was given.
  private static void targets(List<PanelAnswer> answers, List<String> doubts) {
    Set<String> elsewhere = new LinkedHashSet<>();
    for (PanelAnswer answer : answers) {
      for (SeriesAnswer one : answer.series()) {
        String target = Labels.target(one.series().mechanism());
        if (!target.isEmpty()) {
          elsewhere.add(Labels.title(one.series().mechanism()) + " (" + target + ")");
        }
      }
    }
    if (!elsewhere.isEmpty()) {
      doubts.add(
          "Some errors are against another softmax than the one over the given queries and keys: "
              + String.join("; ", elsewhere)
              + ". A model must be trained with it.");
    }
  }

  private static void environments(List<ResultRecord> records, List<String> doubts) {
    long environments = records.stream().map(r -> r.environment().key()).distinct().count();
    if (environments > 1) {
      doubts.add(
          "The records come from "
              + environments
              + " environments (machine, JDK, kernels, commit); they are never mixed into one"
              + " curve.");
    }
    if (records.stream().anyMatch(r -> r.environment().commit().endsWith("-dirty"))) {
      doubts.add("The code had uncommitted changes when it was measured.");
    }
    if (records.stream().anyMatch(r -> r.environment().kernels().startsWith("scalar"))) {
      doubts.add("Scalar kernels were in use: times say little about the vector ones.");
    }
  }

  private static String count(long number, String one, String many) {
    return number + " " + (number == 1 ? one : many);
  }
}
