// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/// Runs numbered tasks on the calling thread and on helpers: threads of a shared daemon pool, or
/// whatever threads a caller's [Executor] has.
///
/// Tasks are handed out by a counter, so that long and short ones balance; a task must not depend
/// on which worker runs it, which is what makes results equal bit for bit for any number of
/// threads. Nobody waits for a helper that has not begun. In steady state nothing is allocated. An
/// instance is used by one caller at a time.
public final class Workers {

  /// Turns, some tens of microseconds together, after which a thread that waits offers its
  /// processor to others: the one it waits for may have none.
  private static final int SPINS_BEFORE_YIELDING = 2_000;

  /// One numbered task.
  @FunctionalInterface
  public interface Task {
    /// Runs task `index` on worker `worker`.
    ///
    /// @param worker from 0 to `threads() - 1`; no two tasks run at once on the same worker
    /// @param index from 0 to the number of tasks - 1
    void run(int worker, int index);
  }

  private final int threads;
  private final AtomicInteger next = new AtomicInteger();
  private final AtomicInteger pending = new AtomicInteger();
  private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
  private volatile int tasks;
  private volatile @Nullable Task task;
  private final @Nullable ExecutorHelpers borrowed;
  private final @Nullable TaskTimeline timeline;

  /// @param threads number of threads, the caller's included, at least 1
  public Workers(int threads) {
    this(threads, null);
  }

  /// With helpers on a caller's executor. The calling thread works, too, and never waits for a
  /// helper that has not begun, so that an executor that is busy, or that refuses, costs time and
  /// nothing else; the bits are those of any other number of threads.
  ///
  /// @param threads number of threads, the caller's included, at least 1
  /// @param executor where helpers run; the shared pool when absent
  public Workers(int threads, @Nullable Executor executor) {
    if (threads < 1) {
      throw new IllegalArgumentException("threads must be >= 1, but was " + threads);
    }
    this.threads = threads;
    timeline = executor instanceof TaskTimeline told ? told : null;
    if (timeline != null && threads != 1) {
      throw new IllegalArgumentException(
          "threads must be 1 where tasks are timed one by one, but was " + threads);
    }
    borrowed = executor == null ? null : new ExecutorHelpers(executor, threads, this::drain);
  }

  /// Number of threads, the caller's included.
  public int threads() {
    return threads;
  }

  /// Runs tasks 0 to `count - 1` and returns when all are done.
  ///
  /// @throws RuntimeException whatever a task threw first
  public void run(int count, Task work) {
    int wanted = Math.min(threads, count) - 1;
    if (timeline != null) {
      timeline.run(count, work);
      return;
    }
    if (wanted <= 0) {
      for (int i = 0; i < count; i++) {
        work.run(0, i);
      }
      return;
    }
    task = work;
    tasks = count;
    next.set(0);
    failure.set(null);
    if (borrowed != null) {
      borrowed.begin(wanted);
      drain(0);
      borrowed.end();
    } else {
      pending.set(wanted);
      int found = Helper.join(this, wanted);
      pending.addAndGet(found - wanted);
      drain(0);
      pending.addAndGet(-Helper.dismiss(this));
      for (int spins = 0; pending.get() > 0; spins++) {
        pause(spins);
      }
    }
    task = null;
    Throwable thrown = failure.get();
    if (thrown instanceof RuntimeException runtime) {
      throw runtime;
    }
    if (thrown instanceof Error error) {
      throw error;
    }
  }

  /// One turn of a loop that waits for other threads.
  static void pause(int spins) {
    if (spins < SPINS_BEFORE_YIELDING) {
      Thread.onSpinWait();
    } else {
      Thread.yield();
    }
  }

  private void drain(int worker) {
    Task work = Objects.requireNonNull(task);
    int count = tasks;
    try {
      for (int i = next.getAndIncrement(); i < count; i = next.getAndIncrement()) {
        work.run(worker, i);
      }
    } catch (RuntimeException | Error thrown) {
      failure.compareAndSet(null, thrown);
      next.set(count);
    }
  }

  /// A daemon thread that serves one `Workers` at a time and parks when idle.
  private static final class Helper implements Runnable {
    private static final int MAX_HELPERS = 1024;
    private static final int TURNS_BEFORE_PARKING = 2 * SPINS_BEFORE_YIELDING;
    private static final Helper[] POOL = new Helper[MAX_HELPERS];
    private static volatile int size;

    private final AtomicReference<@Nullable Workers> serving = new AtomicReference<>();
    private volatile int worker;
    private final Thread thread;

    private Helper(int number) {
      thread = new Thread(this, "crossover-worker-" + number);
      thread.setDaemon(true);
    }

    /// Puts up to `wanted` idle helpers to work; returns how many.
    static int join(Workers workers, int wanted) {
      int found = 0;
      int known = size;
      for (int i = 0; i < known && found < wanted; i++) {
        Helper helper = POOL[i];
        if (helper.take(workers, found + 1)) {
          found++;
        }
      }
      while (found < wanted) {
        Helper helper = grow();
        if (helper == null) {
          break;
        }
        if (helper.take(workers, found + 1)) {
          found++;
        }
      }
      return found;
    }

    private boolean take(Workers workers, int number) {
      if (serving.get() != null || !serving.compareAndSet(null, RESERVED)) {
        return false;
      }
      worker = number;
      serving.set(workers);
      LockSupport.unpark(thread);
      return true;
    }

    /// Lets go of the helpers that have been put to work and have not begun; returns how many.
    static int dismiss(Workers workers) {
      int dismissed = 0;
      int known = size;
      for (int i = 0; i < known; i++) {
        if (POOL[i].serving.get() == workers && POOL[i].serving.compareAndSet(workers, null)) {
          dismissed++;
        }
      }
      return dismissed;
    }

    private static synchronized @Nullable Helper grow() {
      if (size == MAX_HELPERS) {
        return null;
      }
      Helper helper = new Helper(size + 1);
      POOL[size] = helper;
      size = size + 1;
      helper.thread.start();
      return helper;
    }

    @Override
    public void run() {
      for (int turns = 0; ; ) {
        Workers workers = serving.get();
        if (workers != null && workers != RESERVED && serving.compareAndSet(workers, RESERVED)) {
          workers.drain(worker);
          serving.set(null);
          workers.pending.decrementAndGet();
          turns = 0;
        } else if (++turns > TURNS_BEFORE_PARKING) {
          LockSupport.park(this);
        } else {
          pause(turns);
        }
      }
    }
  }

  /// What a helper serves while it is being put to work, and while it works.
  private static final Workers RESERVED = new Workers(1);
}
