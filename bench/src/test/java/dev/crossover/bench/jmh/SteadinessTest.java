// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/// The judge of warm-up on a machine made of numbers: a thread that gets a share of a processor,
/// and a compiler that gets another, until it has done its work.
class SteadinessTest {
  private static final double MILLI = 1e6;

  @Test
  void compiledCodeIsSteadyAfterTwoWindows() {
    Simulated machine = new Simulated();
    assertEquals("", machine.warmUp(0));
    assertTrue(machine.thread < 0.5e9, machine.toString());
  }

  @Test
  void firstWorkOfAProcessRunsForItsLeastTime() {
    Simulated machine = new Simulated();
    assertEquals("", machine.warmUp(Steadiness.FIRST_NANOS));
    assertTrue(machine.thread >= Steadiness.FIRST_NANOS, machine.toString());
  }

  /// The load that spoiled a sweep: four seconds of time of day gave the compiler less than its
  /// work, and a speed eight times too low was recorded.
  @Test
  void loadedMachineIsWaitedForUntilTheCompilerIsDone() {
    Simulated machine = new Simulated();
    machine.share = 0.1;
    machine.compilerShare = 0.1;
    machine.compilerWork = 1200 * MILLI;
    assertEquals("", machine.warmUp(0));
    assertTrue(machine.compiled(), machine.toString());
    assertTrue(machine.wall > 12e9, "time of day ends nothing: " + machine);
  }

  @Test
  void codeThatIsNotCompiledWithinTheBudgetIsUnsteady() {
    Simulated machine = new Simulated();
    machine.compilerWork = 60_000 * MILLI;
    String reason = machine.warmUp(0);
    assertTrue(reason.startsWith("its code was still being compiled after 10"), reason);
    assertTrue(machine.thread < 1.1 * Steadiness.MOST_NANOS, machine.toString());
  }

  @Test
  void threadThatNeverRunsEndsByTimeOfDay() {
    Simulated machine = new Simulated();
    machine.share = 0.001;
    String reason = machine.warmUp(0);
    assertTrue(reason.startsWith("it had run too little to be judged"), reason);
    assertTrue(machine.wall < 1.5 * Steadiness.MOST_WALL_NANOS, machine.toString());
  }

  /// The n-th call takes c / (1 + n / 50): a quarter of a second is always a fifth of all calls.
  @Test
  void callsThatBecomeFasterAreNotSteadyYet() {
    Simulated machine = new Simulated();
    machine.callNanos = 20 * MILLI;
    machine.faster = 0.02;
    String reason = machine.warmUp(0);
    assertTrue(reason.startsWith("its calls were still becoming faster"), reason);
  }

  /// A compiler that pauses: nothing is compiled for longer than a window, but calls allocate.
  @Test
  void callsThatAllocateAreGivenALongerWindow() {
    Simulated machine = new Simulated();
    machine.allocating = 1 << 20;
    assertEquals("", machine.warmUp(0));
    assertTrue(machine.thread > Steadiness.WINDOW_WHILE_ALLOCATING_NANOS, machine.toString());
  }

  @Test
  void longCallsAreSeenAtLeastThreeTimes() {
    Simulated machine = new Simulated();
    machine.callNanos = 2_000 * MILLI;
    assertEquals("", machine.warmUp(0));
    assertEquals(4, machine.calls, "one, and three after it");
  }

  @Test
  void samplesTakenWhileCompilingOrWaitingAreUnsteady() {
    assertEquals("", Steadiness.ofSamples(500_000_000, 490_000_000, 20_000_000));
    assertEquals(
        "the compiler worked for 100 ms beside 490 ms of samples",
        Steadiness.ofSamples(500_000_000, 490_000_000, 100_000_000));
    assertEquals(
        "the measuring thread had a processor for only 60 % of the time",
        Steadiness.ofSamples(500_000_000, 300_000_000, 0));
  }

  /// Calls take some processor time, eight times as much until the compiler has done its work.
  private static final class Simulated implements Gauges {
    private double callNanos = MILLI;
    private double share = 1;
    private double compilerShare = 1;
    private double compilerWork;
    private double faster;
    private long allocating;
    private double wall;
    private double thread;
    private double compiler;
    private long allocated;
    private int calls;

    String warmUp(long least) {
      return new Steadiness(this).warmUp(this::call, least);
    }

    boolean compiled() {
      return compiler >= compilerWork;
    }

    private double call() {
      double nanos = callNanos / (1 + faster * calls) * (compiled() ? 1 : 8);
      calls++;
      thread += nanos;
      wall += nanos / share;
      compiler = Math.min(compilerWork, compiler + nanos / share * compilerShare);
      allocated += allocating;
      return nanos;
    }

    @Override
    public long wallNanos() {
      return (long) wall;
    }

    @Override
    public long threadNanos() {
      return (long) thread;
    }

    /// In ticks, as Linux tells it.
    @Override
    public long runtimeNanos() {
      return 10_000_000 * (long) (compiler / 10_000_000);
    }

    /// Told when a piece of work is done, not before.
    @Override
    public long compilationNanos() {
      return compiled() ? (long) compilerWork : 0;
    }

    @Override
    public long allocatedBytes() {
      return allocated;
    }

    @Override
    public String toString() {
      return String.format("wall %.2f s, thread %.2f s, %d calls", wall / 1e9, thread / 1e9, calls);
    }
  }
}
