// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;

/// How long every task of a plan takes: what a study of the split of work needs.
///
/// A plan that is built for one thread `on` a timeline runs its tasks one by one on the calling
/// thread. Because work is split by shape and never by threads, these are the tasks of any number
/// of threads. A phase is one call of [Workers#run]: all its tasks may run at once, phases follow
/// each other.
public final class TaskTimeline implements Executor {
  private final List<long[]> phases = new ArrayList<>();
  private final List<Long> between = new ArrayList<>();
  private int phase;
  private int gap;
  private long mark;

  /// Begins a repetition; of every task the shortest time of all repetitions is kept.
  public void begin() {
    phase = 0;
    gap = 0;
    mark = System.nanoTime();
  }

  /// Ends a repetition.
  public void end() {
    pass(System.nanoTime());
  }

  /// Nanoseconds that belong to no task: before, between and after the phases, the shortest of all
  /// repetitions.
  public long serial() {
    return between.stream().mapToLong(Long::longValue).sum();
  }

  /// What lies between two phases has passed.
  private void pass(long now) {
    if (gap == between.size()) {
      between.add(now - mark);
    } else {
      between.set(gap, Math.min(between.get(gap), now - mark));
    }
    gap++;
  }

  /// Nanoseconds of every task of every phase, in the order in which they are handed out.
  public List<long[]> phases() {
    return phases.stream().map(long[]::clone).toList();
  }

  void run(int count, Workers.Task work) {
    pass(System.nanoTime());
    boolean first = phase == phases.size();
    if (first) {
      phases.add(new long[count]);
    }
    long[] times = phases.get(phase);
    phase++;
    if (times.length != count) {
      throw new IllegalStateException(
          "repetitions must have the same tasks, but phase "
              + phase
              + " had "
              + times.length
              + " and then "
              + count);
    }
    for (int i = 0; i < count; i++) {
      long begin = System.nanoTime();
      work.run(0, i);
      long took = System.nanoTime() - begin;
      times[i] = first ? took : Math.min(times[i], took);
    }
    mark = System.nanoTime();
  }

  /// Never happens: a plan on a timeline has no helpers.
  ///
  /// @throws UnsupportedOperationException always
  @Override
  public void execute(Runnable helper) {
    throw new UnsupportedOperationException("a timeline runs tasks on the calling thread alone");
  }
}
