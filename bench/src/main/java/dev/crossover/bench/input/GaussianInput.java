// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;

/// Independent Gaussian queries, keys and values whose scores have a chosen standard deviation.
///
/// With elements of q and k drawn from N(0, σ²), a score q·k/√d has standard deviation σ²; σ =
/// √scale. Values are N(0, 1). A scale of 1 is near-uniform attention, 4 and more is peaked.
///
/// @param scale standard deviation of the scores, above 0
@InputInfo(name = "gaussian", title = "independent normal elements")
public record GaussianInput(
    @Parameter(value = "standard deviation of the scores, above 0", defaultValue = "1")
        double scale)
    implements GeneratedInput {

  /// Validates the scale.
  public GaussianInput {
    Generated.requireScale(scale);
  }

  @Override
  public Tensors load(AttentionShape s, long seed) {
    double deviation = Math.sqrt(scale);
    return Tensors.qkv(
        Draws.gaussian(Draws.seedFor(seed, "q"), deviation, Generated.queries(s, s.headDim())),
        Draws.gaussian(Draws.seedFor(seed, "k"), deviation, Generated.keys(s, s.keyDim())),
        Generated.values(s, seed));
  }
}
