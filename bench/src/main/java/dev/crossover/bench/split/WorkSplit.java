// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.split;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TaskTimeline;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
import java.util.List;
import java.util.PriorityQueue;

/// The tasks of a forward pass, timed one by one, and what any number of cores would make of them.
///
/// Simulated is what [dev.crossover.attention.Workers] does: whoever is free takes the next task, a
/// phase begins when the one before has ended. What cores do to each other, by shared caches,
/// bandwidth or clock, is not in it, nor what handing out a task costs: it says how far the split
/// of work goes, not how far a machine does.
///
/// @param phases nanoseconds of every task of every phase
/// @param serial nanoseconds before, between and after the phases, which belong to no task
public record WorkSplit(List<long[]> phases, long serial) {
  private static final double NANOS = 1e9;

  /// Copies the list.
  public WorkSplit {
    phases = List.copyOf(phases);
  }

  /// Times a forward pass.
  ///
  /// @param problem with one thread
  /// @param repetitions of which the shortest time of each task is kept, at least 1; the first ones
  ///     run code that is not compiled yet
  /// @throws IllegalArgumentException if the mechanism refuses the problem, by name
  public static WorkSplit of(Problem problem, int repetitions) throws IOException {
    TaskTimeline timeline = new TaskTimeline();
    PlanRequest request =
        PlanRequest.checked(problem.attention(), problem.shape(), problem.mask(), 1);
    AttentionPlan plan = problem.attention().newPlan(request.on(timeline));
    Tensors inputs = problem.load();
    Tensor output = problem.newOutput();
    for (int i = 0; i < repetitions; i++) {
      timeline.begin();
      plan.forward(inputs, output);
      timeline.end();
    }
    return new WorkSplit(timeline.phases(), timeline.serial());
  }

  /// Number of tasks of all phases.
  public int tasks() {
    return phases.stream().mapToInt(times -> times.length).sum();
  }

  /// Seconds of all tasks together.
  public double taskSeconds() {
    double sum = 0;
    for (long[] times : phases) {
      for (long time : times) {
        sum += time / NANOS;
      }
    }
    return sum;
  }

  /// Seconds of the whole pass on one core.
  public double seconds() {
    return serial / NANOS + taskSeconds();
  }

  /// Share of the pass that belongs to no task, and so to one core alone.
  public double serialShare() {
    return serial / NANOS / seconds();
  }

  /// Seconds until the last task has ended, on so many cores.
  ///
  /// @param cores at least 1
  public double longest(int cores) {
    double all = 0;
    for (long[] times : phases) {
      PriorityQueue<Long> free = new PriorityQueue<>();
      for (int c = 0; c < cores; c++) {
        free.add(0L);
      }
      long end = 0;
      for (long time : times) {
        long done = free.remove() + time;
        free.add(done);
        end = Math.max(end, done);
      }
      all += end / NANOS;
    }
    return all;
  }

  /// The longest thread over the mean of all: 1 where every core is busy to the end.
  public double longestOverMean(int cores) {
    return longest(cores) * cores / taskSeconds();
  }

  /// How many times faster than one core, what belongs to no task included.
  public double speedUp(int cores) {
    return seconds() / (serial / NANOS + longest(cores));
  }
}
