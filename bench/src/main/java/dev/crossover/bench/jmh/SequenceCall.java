// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A call over a whole sequence that can be timed.
interface SequenceCall {
  /// Builds the plan.
  ///
  /// @throws IllegalArgumentException if the mechanism refuses the problem, by name
  /// @throws UnsupportedOperationException likewise
  void build();

  /// The call.
  void run();

  /// The elements of everything that the last call wrote.
  List<float[]> answers();

  /// Bytes that the plan allocated for its own use.
  long scratchBytes();

  /// Bytes of the parameters that the plan drew.
  long parameterBytes();

  /// Bytes that a forward pass keeps for the backward pass; nothing without one.
  @Nullable Long keptBytes();

  /// Difference from exact attention; nothing where that would mean nothing.
  @Nullable ErrorNorms error();
}
