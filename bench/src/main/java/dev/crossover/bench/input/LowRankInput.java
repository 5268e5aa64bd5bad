// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.random.OrthogonalDraws;
import dev.crossover.attention.random.OrthogonalDraws.Lengths;
import dev.crossover.attention.tensor.Tensor;

/// Gaussian queries and keys in a random subspace: the score matrix has exactly the chosen rank.
///
/// ```
/// q_i = c a_i B,   k_j = c b_j B,   c = √(scale·√(d/r))      a_i, b_j ~ N(0, I_r)
/// ```
///
/// B `[r, d]` has orthonormal rows, one for all heads. Scores q·k/√d = c² a·b/√d have standard
/// deviation `scale`. Values are N(0, 1).
///
/// @param rank r, at least 1; at most the head's width when loaded
/// @param scale standard deviation of the scores, above 0
@InputInfo(name = "low_rank", title = "in a random subspace")
public record LowRankInput(
    @Parameter(value = "width of the subspace, at most that of a head", defaultValue = "8")
        int rank,
    @Parameter(value = "standard deviation of the scores, above 0", defaultValue = "1")
        double scale)
    implements GeneratedInput {

  /// Validates the parameters.
  public LowRankInput {
    Generated.require(rank >= 1, "rank must be >= 1", rank);
    Generated.requireScale(scale);
  }

  @Override
  public Tensors load(AttentionShape s, long seed) {
    int d = s.headDim();
    Generated.require(rank <= d, "rank must be at most the head width " + d, rank);
    Tensor basis = OrthogonalDraws.of(Draws.seedFor(seed, "basis"), Lengths.SCALED, true, rank, d);
    double c = Math.sqrt(scale * Math.sqrt((double) d / rank)) / Math.sqrt(d);
    return Tensors.qkv(
        spanned(Draws.gaussian(Draws.seedFor(seed, "q"), Generated.queries(s, rank)), basis, c),
        spanned(Draws.gaussian(Draws.seedFor(seed, "k"), Generated.keys(s, rank)), basis, c),
        Generated.values(s, seed));
  }

  /// Rows of coefficients times the basis, whose rows have the length √d.
  private Tensor spanned(Tensor coefficients, Tensor basis, double factor) {
    int[] shape = coefficients.shape();
    int d = basis.extent(1);
    shape[3] = d;
    Tensor rows = Tensor.zeros(shape);
    for (int row = 0; row < coefficients.size() / rank; row++) {
      for (int e = 0; e < d; e++) {
        double sum = 0;
        for (int a = 0; a < rank; a++) {
          sum += (double) coefficients.data()[row * rank + a] * basis.data()[a * d + e];
        }
        rows.data()[row * d + e] = (float) (factor * sum);
      }
    }
    return rows;
  }
}
