// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/// The pool of helpers: who runs which task, how often, and what a caller may rely on after a run.
class WorkersTest {
  private static final int RUNS = 2_000;

  @Test
  void everyTaskRunsOnceAndNoTwoAtOnceOnAWorker() throws Exception {
    List<FutureTask<Void>> callers = new ArrayList<>();
    for (int threads = 1; threads <= 4; threads++) {
      Workers workers = new Workers(threads);
      callers.add(new FutureTask<>(() -> requireEveryTaskOnce(workers), null));
    }
    for (FutureTask<Void> caller : callers) {
      new Thread(caller).start();
    }
    for (FutureTask<Void> caller : callers) {
      caller.get();
    }
  }

  private static void requireEveryTaskOnce(Workers workers) {
    AtomicIntegerArray busy = new AtomicIntegerArray(workers.threads());
    AtomicReference<String> problem = new AtomicReference<>("");
    for (int run = 0; run < RUNS; run++) {
      // written without synchronisation: a run's end must make them visible to the caller
      int[] done = new int[run % 9];
      workers.run(
          done.length,
          (worker, index) -> {
            if (busy.incrementAndGet(worker) > 1) {
              problem.set("two tasks at once on worker " + worker);
            }
            done[index]++;
            busy.decrementAndGet(worker);
          });
      for (int index = 0; index < done.length; index++) {
        assertEquals(1, done[index], "task " + index + " of run " + run);
      }
    }
    assertEquals("", problem.get());
  }

  /// The first task waits for the second, which only a helper can run.
  @Test
  void helpersWorkBesideTheCaller() {
    Workers workers = new Workers(2);
    for (int run = 0; run < 20; run++) {
      CountDownLatch both = new CountDownLatch(2);
      int[] ranOn = new int[2];
      workers.run(
          2,
          (worker, index) -> {
            ranOn[index] = worker;
            both.countDown();
            await(both);
          });
      assertEquals(1, ranOn[0] + ranOn[1]);
    }
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void whatATaskThrowsReachesTheCallerAndTheNextRunWorks() {
    Workers workers = new Workers(3);
    IllegalStateException thrown = new IllegalStateException("task 5");
    for (int run = 0; run < 100; run++) {
      assertSame(
          thrown,
          assertThrows(
              IllegalStateException.class,
              () ->
                  workers.run(
                      8,
                      (_, index) -> {
                        if (index == 5) {
                          throw thrown;
                        }
                      })));
      AtomicIntegerArray done = new AtomicIntegerArray(8);
      workers.run(8, (_, index) -> done.incrementAndGet(index));
      for (int index = 0; index < 8; index++) {
        assertEquals(1, done.get(index));
      }
    }
  }

  @Test
  void noThreadsAreRefusedByName() {
    assertTrue(
        assertThrows(IllegalArgumentException.class, () -> new Workers(0))
            .getMessage()
            .contains("threads must be >= 1, but was 0"));
  }
}
