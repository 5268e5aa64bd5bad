// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import com.sun.management.OperatingSystemMXBean;
import com.sun.management.ThreadMXBean;
import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;

/// What can be read about a process while it measures itself.
interface Gauges {

  /// Time of day, in nanoseconds from any moment.
  long wallNanos();

  /// Processor time of the calling thread, in nanoseconds.
  long threadNanos();

  /// Processor time of the compiler and of the rest of the runtime, in nanoseconds: what no thread
  /// of Java code used. It may be told in steps of ten milliseconds.
  long runtimeNanos();

  /// Time the compiler says it has worked, in nanoseconds; what it is working on comes when that is
  /// done.
  long compilationNanos();

  /// Heap allocated by all threads, in bytes.
  long allocatedBytes();

  /// The gauges of this process.
  static Gauges ofThisProcess() {
    return new ThisProcess();
  }

  /// Reads the management beans.
  final class ThisProcess implements Gauges {
    private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private final OperatingSystemMXBean system =
        ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
    private final CompilationMXBean compiler = ManagementFactory.getCompilationMXBean();

    private ThisProcess() {}

    @Override
    public long wallNanos() {
      return System.nanoTime();
    }

    @Override
    public long threadNanos() {
      return threads.getCurrentThreadCpuTime();
    }

    @Override
    public long runtimeNanos() {
      long java = 0;
      for (long nanos : threads.getThreadCpuTime(threads.getAllThreadIds())) {
        java += Math.max(0, nanos);
      }
      return system.getProcessCpuTime() - java;
    }

    @Override
    public long compilationNanos() {
      return compiler != null && compiler.isCompilationTimeMonitoringSupported()
          ? 1_000_000 * compiler.getTotalCompilationTime()
          : 0;
    }

    @Override
    public long allocatedBytes() {
      return threads.getTotalThreadAllocatedBytes();
    }
  }
}
