// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Parameter;

/// The first keys take much of every row, as attention sinks do: [PlantedKeys] at the start, whose
/// values are small.
///
/// @param count number of sinks, at least 1
/// @param mass share of a row's weight on them, between 0 and 1
/// @param value factor on their values
/// @param scale standard deviation of the other scores, above 0
@InputInfo(name = "sinks", title = "the first keys take much of every row")
public record SinksInput(
    @Parameter(value = "number of sinks, below the number of keys", defaultValue = "4") int count,
    @Parameter(
            value = "share of a row's weight on the sinks, between 0 and 1",
            defaultValue = "0.5")
        double mass,
    @Parameter(value = "factor on the sinks' values", defaultValue = "0.1") double value,
    @Parameter(value = "standard deviation of the other scores, above 0", defaultValue = "1")
        double scale)
    implements GeneratedInput {

  /// Validates the parameters.
  public SinksInput {
    Generated.require(count >= 1, "count must be >= 1", count);
    Generated.require(mass > 0 && mass < 1, "mass must be above 0 and below 1", mass);
    Generated.requireScale(scale);
  }

  @Override
  public Tensors load(AttentionShape s, long seed) {
    return new PlantedKeys(0, count, mass, value, scale).load(s, seed);
  }
}
