// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.bench.machine.Machine;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/// The error of one setting on one problem; a JSON line.
///
/// @param kind always `error`, so that lines of different studies can be told apart
/// @param point what was computed
/// @param error relative Frobenius error ‖O − O*‖ / ‖O*‖ of all outputs; null where the mechanism
///     cannot honour the mask or refuses the sizes
/// @param machine where it was computed
/// @param commit of the code
public record ErrorRecord(
    String kind, ErrorPoint point, @Nullable Double error, Machine machine, String commit) {
  /// The kind of these records.
  public static final String KIND = "error";

  /// The name of the record: records of the same name are the same.
  ///
  /// @throws IllegalArgumentException if it is no such record
  public String key() {
    if (!KIND.equals(kind)) {
      throw new IllegalArgumentException("kind must be " + KIND + ", but was " + kind);
    }
    if (point == null || machine == null || commit == null || point.spec() == null) {
      throw new IllegalArgumentException("record must be complete, but parts were missing");
    }
    return point.key(commit);
  }

  /// The error, if there is one.
  public OptionalDouble value() {
    return error == null ? OptionalDouble.empty() : OptionalDouble.of(error);
  }
}
