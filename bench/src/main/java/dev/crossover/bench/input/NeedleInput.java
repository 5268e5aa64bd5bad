// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Parameter;

/// One key that matters far away: [PlantedKeys] with a single one.
///
/// @param depth place of the needle as a share of the keys, 0 to below 1
/// @param mass share of a row's weight on it, between 0 and 1
/// @param scale standard deviation of the other scores, above 0
@InputInfo(name = "needle", title = "one key far away takes most of every row")
public record NeedleInput(
    @Parameter(
            value = "place of the key as a share of the keys, from 0 to below 1",
            defaultValue = "0.1")
        double depth,
    @Parameter(value = "share of a row's weight on the key, between 0 and 1", defaultValue = "0.9")
        double mass,
    @Parameter(value = "standard deviation of the other scores, above 0", defaultValue = "1")
        double scale)
    implements GeneratedInput {

  /// Validates the parameters.
  public NeedleInput {
    Generated.require(depth >= 0 && depth < 1, "depth must be from 0 to below 1", depth);
    Generated.require(mass > 0 && mass < 1, "mass must be above 0 and below 1", mass);
    Generated.requireScale(scale);
  }

  @Override
  public Tensors load(AttentionShape s, long seed) {
    return new PlantedKeys((int) (depth * s.keySeqLen()), 1, mass, 1, scale).load(s, seed);
  }
}
