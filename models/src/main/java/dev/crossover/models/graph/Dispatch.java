// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

import dev.crossover.attention.Workers;
import java.util.ArrayList;
import java.util.List;

/// Consecutive operations that run block of rows by block of rows, or one over the whole batch.
final class Dispatch {
  private final Rows rows;
  private final boolean whole;
  private final List<Operation> operations = new ArrayList<>();
  private final Workers.Task forward = this::forwardBlock;
  private final Workers.Task backward = this::backwardBlock;
  private final Workers.Task job = this::job;

  Dispatch(Operation first) {
    rows = first.output().rows();
    whole = first.reach() == Operation.Reach.WHOLE;
  }

  /// Whether an operation may follow the others without waiting for all rows.
  boolean takes(Operation operation) {
    return !whole && operation.reach() == Operation.Reach.ROW && operation.output().rows() == rows;
  }

  void add(Operation operation) {
    operations.add(operation);
  }

  List<Operation> operations() {
    return operations;
  }

  void forward(Team team) {
    if (whole) {
      operations.getFirst().forward(team);
    } else {
      team.run(rows.blocks(), work(), forward);
    }
  }

  /// The gradients of the inputs, then those of the parameters, which sum over all rows.
  void backward(Team team) {
    if (whole) {
      operations.getFirst().backward(team);
    } else {
      team.run(rows.blocks(), 2 * work(), backward);
    }
    int jobs = 0;
    long work = 0;
    for (int i = 0; i < operations.size(); i++) {
      jobs += operations.get(i).allJobs();
      work += operations.get(i).allJobWork();
    }
    if (jobs > 0) {
      team.run(jobs, work, job);
    }
  }

  private long work() {
    long perRow = 0;
    for (int i = 0; i < operations.size(); i++) {
      perRow += operations.get(i).work();
    }
    return perRow * rows.active();
  }

  private void forwardBlock(int worker, int block) {
    int from = block * rows.block();
    int to = Math.min(from + rows.block(), rows.active());
    for (int i = 0; i < operations.size(); i++) {
      operations.get(i).forward(worker, from, to);
    }
  }

  private void backwardBlock(int worker, int block) {
    int from = block * rows.block();
    int to = Math.min(from + rows.block(), rows.active());
    for (int i = 0; i < operations.size(); i++) {
      operations.get(i).backward(worker, from, to);
    }
  }

  private void job(int worker, int index) {
    int at = index;
    for (int i = 0; i < operations.size(); i++) {
      int jobs = operations.get(i).allJobs();
      if (at < jobs) {
        operations.get(i).anyJob(worker, at);
        return;
      }
      at -= jobs;
    }
  }
}
