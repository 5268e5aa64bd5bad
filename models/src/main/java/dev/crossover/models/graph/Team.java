// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

import dev.crossover.attention.Workers;

/// Runs numbered tasks, on other threads only where there is enough to do.
///
/// Handing tasks over costs some microseconds. Below [#LEAST_WORK] multiply-adds, which one core
/// does in about ten, all tasks run on the calling thread, with the same bits.
public final class Team {
  /// Multiply-adds below which tasks are not handed to other threads.
  public static final long LEAST_WORK = 1 << 19;

  private final Workers workers;

  /// @param threads number of threads, at least 1
  public Team(int threads) {
    workers = new Workers(threads);
  }

  /// Number of threads.
  public int threads() {
    return workers.threads();
  }

  /// Runs tasks 0 to `count - 1`.
  ///
  /// @param work multiply-adds, or as many operations on memory, of all tasks together
  public void run(int count, long work, Workers.Task task) {
    if (work < LEAST_WORK) {
      for (int i = 0; i < count; i++) {
        task.run(0, i);
      }
    } else {
      workers.run(count, task);
    }
  }
}
