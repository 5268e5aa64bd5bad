// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

/// One implementation of exact attention, made ready for one problem.
interface Contender extends AutoCloseable {

  /// Name and version, as in the table.
  String name();

  /// Computes the attention once.
  void run();

  /// Work of a run beside that of a forward pass.
  default double forwards() {
    return 1;
  }

  /// The output of the last run, `[batch, heads, n, d]`.
  float[] output();

  /// Largest deviation of the last run's result from double precision.
  default double error(Problem problem) {
    return problem.error(output());
  }

  @Override
  void close();
}
