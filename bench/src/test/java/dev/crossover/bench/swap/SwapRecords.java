// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.swap.SwapRecord.Status;
import java.util.List;

/// Records for tests.
final class SwapRecords {
  private SwapRecords() {}

  /// A record of one layer.
  static SwapRecord of(
      String setting,
      List<Integer> lengths,
      List<Double> cosines,
      List<Double> errors,
      double work) {
    return new SwapRecord(
        "swap",
        "model",
        "weights",
        "texts",
        "digest",
        setting,
        Status.DONE,
        "",
        lengths,
        cosines,
        errors.stream().map(List::of).toList(),
        0.5,
        0.5,
        work,
        0,
        new Machine("cpu", 2, 1, "os", "jdk"),
        "commit");
  }
}
