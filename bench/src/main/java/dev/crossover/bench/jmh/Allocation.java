// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.infra.IterationParams;
import org.openjdk.jmh.runner.IterationType;

/// Heap allocated by all threads per call, over the measured iterations.
///
/// This is what JMH's gc.alloc.rate.norm divides too, but read next to the timed loop: JMH reads it
/// around its own bookkeeping, which allocates megabytes per iteration and would drown a call that
/// takes seconds.
final class Allocation {
  private final Gauges gauges;
  private boolean measuring;
  private long bytesBefore;
  private long callsNow;
  private long bytes;
  private long calls;

  Allocation(Gauges gauges) {
    this.gauges = gauges;
  }

  /// Reads the counter before an iteration's calls.
  void begin(IterationParams iteration) {
    measuring = iteration.getType() == IterationType.MEASUREMENT;
    callsNow = 0;
    bytesBefore = gauges.allocatedBytes();
  }

  /// Counts a call.
  void count() {
    callsNow++;
  }

  /// Reads the counter after an iteration's calls.
  void end() {
    long now = gauges.allocatedBytes();
    if (measuring) {
      bytes += now - bytesBefore;
      calls += callsNow;
    }
  }

  /// Bytes per counted call; absent where the JVM does not count them.
  @Nullable Double bytesPerCall() {
    return calls == 0 || bytesBefore < 0 ? null : (double) bytes / calls;
  }
}
