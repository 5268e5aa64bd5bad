// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import java.util.List;
import java.util.Map;

/// Records made up for tests.
public final class ResultRecords {
  private ResultRecords() {}

  /// A measured point with as many forks as lists of samples, of three planned.
  public static ResultRecord measured(String spec, int n, List<List<Double>> samples) {
    return new ResultRecord(
        ResultRecord.SCHEMA,
        ResultRecord.Study.FORWARD,
        spec.split(":")[0],
        spec,
        Map.of("seed", "7"),
        Approximates.SOFTMAX,
        new ResultRecord.Shape(1, 2, 2, n, n, 64, 64),
        "causal",
        new ResultRecord.Input("captured ‖é‖", 2.5, 8.7, null, Map.of(32, 0.8)),
        2,
        42,
        ResultRecord.Status.OK,
        null,
        new ResultRecord.Time(samples, samples.get(0).get(0), 0.1, 0.3, 3, null),
        new ResultRecord.Memory(4096, 128, null, 0.01, null, 100L << 20),
        new ResultRecord.ErrorNorms(0.1, 0.2, 0.99, List.of(0.1, 0.3)),
        new ResultRecord.Counted(1e9, 1e6),
        new ResultRecord.Peak(500, 40),
        new ResultRecord.Environment(
            "cpu", 2, 1L << 34, "Linux 6 amd64", "25", "-Xmx1g", "scalar", "abc", "2026-01-01"));
  }
}
