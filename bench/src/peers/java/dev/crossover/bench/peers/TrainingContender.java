// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

/// One implementation of the training of a language model, made ready for one problem.
interface TrainingContender extends AutoCloseable {

  /// Name and version, as in the table.
  String name();

  /// Trains on the next batch: loss, gradients, clipping, update.
  ///
  /// @return the loss before the update
  double step();

  @Override
  void close();
}
