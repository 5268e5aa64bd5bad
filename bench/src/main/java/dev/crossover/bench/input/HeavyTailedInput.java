// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import org.apache.commons.rng.sampling.distribution.TSampler;

/// Independent elements of queries and keys from Student's t distribution: outliers, as trained
/// models have them.
///
/// ```
/// q, k = √scale · t_ν / s_ν,     s_ν = √(ν/(ν − 2)) for ν > 2 (unit variance), 1 otherwise
/// ```
///
/// Values are N(0, 1).
///
/// @param dof degrees of freedom ν, from 1 (Cauchy); large is Gaussian
/// @param scale standard deviation of the scores where ν > 2, above 0
@InputInfo(name = "heavy_tailed", title = "Student's t elements")
public record HeavyTailedInput(
    @Parameter(value = "degrees of freedom, from 1 (Cauchy); large is Gaussian", defaultValue = "3")
        double dof,
    @Parameter(
            value = "standard deviation of the scores where dof is above 2, above 0",
            defaultValue = "1")
        double scale)
    implements GeneratedInput {

  /// Validates the parameters.
  public HeavyTailedInput {
    Generated.require(dof >= 1 && dof <= 1e6, "dof must be from 1 to 1e6", dof);
    Generated.requireScale(scale);
  }

  @Override
  public Tensors load(AttentionShape s, long seed) {
    return Tensors.qkv(
        draw(Draws.seedFor(seed, "q"), Generated.queries(s, s.headDim())),
        draw(Draws.seedFor(seed, "k"), Generated.keys(s, s.headDim())),
        Generated.values(s, seed));
  }

  private Tensor draw(long seed, int[] shape) {
    Tensor tensor = Tensor.zeros(shape);
    TSampler sampler = TSampler.of(Draws.generator(seed), dof);
    double factor = Math.sqrt(dof > 2 ? scale * (dof - 2) / dof : scale);
    for (int e = 0; e < tensor.size(); e++) {
      tensor.data()[e] = (float) (factor * sampler.sample());
    }
    return tensor;
  }
}
