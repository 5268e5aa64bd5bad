// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

/// One implementation of exact attention, made ready for one problem.
interface Contender extends AutoCloseable {

  /// Name and version, as in the table.
  String name();

  /// Computes the attention once.
  void run();

  /// The output of the last run, `[heads, n, d]`.
  float[] output();

  /// Largest deviation of the last run's result from double precision.
  default double error(Problem problem) {
    return problem.error(output());
  }

  @Override
  void close();
}
