// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.function.IntConsumer;

/// Helpers of [Workers] on a caller's executor.
///
/// A helper that begins takes a free worker number and then looks whether a run is open; a run ends
/// by closing and then waiting until every number is free. So a helper that begins late either
/// joins the run that is open by then or does nothing, two helpers never have the same number, and
/// nobody waits for a helper that has not begun. No helper is handed to the executor again before
/// it has begun, so that a busy executor's queue does not grow.
final class ExecutorHelpers {
  private static final int FREE = 0;
  private static final int TAKEN = 1;

  private final Executor executor;
  private final IntConsumer work;
  private final Helper[] helpers;
  private final AtomicIntegerArray numbers;
  private volatile boolean open;

  /// @param threads number of threads, the caller's included
  /// @param work what a helper with a worker number does while a run is open
  ExecutorHelpers(Executor executor, int threads, IntConsumer work) {
    this.executor = executor;
    this.work = work;
    helpers = new Helper[threads - 1];
    for (int i = 0; i < helpers.length; i++) {
      helpers[i] = new Helper();
    }
    numbers = new AtomicIntegerArray(threads);
  }

  /// Opens a run and asks for helpers.
  void begin(int wanted) {
    open = true;
    for (int i = 0; i < wanted; i++) {
      Helper helper = helpers[i];
      if (helper.queued.compareAndSet(false, true)) {
        try {
          executor.execute(helper);
        } catch (RejectedExecutionException e) {
          // the caller does the work alone
          helper.queued.set(false);
        }
      }
    }
  }

  /// Closes the run and waits for the helpers that have begun.
  void end() {
    open = false;
    for (int number = 1; number < numbers.length(); number++) {
      for (int spins = 0; numbers.get(number) == TAKEN; spins++) {
        Workers.pause(spins);
      }
    }
  }

  private void help() {
    for (int number = 1; number < numbers.length(); number++) {
      if (numbers.compareAndSet(number, FREE, TAKEN)) {
        try {
          if (open) {
            work.accept(number);
          }
        } finally {
          numbers.set(number, FREE);
        }
        return;
      }
    }
  }

  private final class Helper implements Runnable {
    private final AtomicBoolean queued = new AtomicBoolean();

    @Override
    public void run() {
      queued.set(false);
      help();
    }
  }
}
