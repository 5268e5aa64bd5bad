// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import org.openjdk.jmh.infra.IterationParams;
import org.openjdk.jmh.runner.IterationType;

/// What else happened while the samples of one length were taken: whether the measuring thread had
/// a processor, and whether the compiler was at work.
final class SampleWatch {
  private final Gauges gauges;
  private boolean measuring;
  private long wallBefore;
  private long threadBefore;
  private long runtimeBefore;
  private long compilationBefore;
  private long wall;
  private long thread;
  private long compiling;

  SampleWatch(Gauges gauges) {
    this.gauges = gauges;
  }

  /// Reads the gauges before a sample.
  void begin(IterationParams iteration) {
    begin(iteration.getType() == IterationType.MEASUREMENT);
  }

  /// The same; what is not kept counts for nothing.
  void begin(boolean kept) {
    measuring = kept;
    runtimeBefore = gauges.runtimeNanos();
    compilationBefore = gauges.compilationNanos();
    threadBefore = gauges.threadNanos();
    wallBefore = gauges.wallNanos();
  }

  /// Reads the gauges after a sample.
  void end() {
    if (!measuring) {
      return;
    }
    wall += gauges.wallNanos() - wallBefore;
    thread += gauges.threadNanos() - threadBefore;
    compiling +=
        Math.max(
            gauges.runtimeNanos() - runtimeBefore, gauges.compilationNanos() - compilationBefore);
  }

  /// Why the samples are not those of steady code; empty when they are.
  String verdict() {
    return Steadiness.ofSamples(wall, thread, compiling);
  }
}
