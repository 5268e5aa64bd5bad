// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import org.apache.commons.rng.UniformRandomProvider;

/// Positions in clusters: a query prefers the keys of its own cluster.
///
/// ```
/// q_i = √scale (√(1 − spread²) μ_{z(i)} + spread ε_i),     k_j alike with its own ε_j
/// ```
///
/// The centres μ_c ~ N(0, I_d) differ by head; the cluster z of a position is uniform over C and
/// shared by all heads. Scores within a cluster are about scale·(1 − spread²)·√d, between clusters
/// N(0, scale²). Where there are fewer queries than keys, queries belong to the last positions.
/// Values are N(0, 1).
///
/// @param clusters C, at least 1
/// @param spread share of a vector's standard deviation that is its own, 0 to 1
/// @param scale standard deviation of scores between clusters, above 0
@InputInfo(name = "clustered", title = "positions in clusters that prefer their own")
public record ClusteredInput(
    @Parameter(value = "number of clusters", defaultValue = "16") int clusters,
    @Parameter(
            value = "share of the standard deviation that is a position's own, 0 to 1",
            defaultValue = "0.3")
        double spread,
    @Parameter(
            value = "standard deviation of the scores between clusters, above 0",
            defaultValue = "1")
        double scale)
    implements GeneratedInput {

  /// Validates the parameters.
  public ClusteredInput {
    Generated.require(clusters >= 1, "clusters must be >= 1", clusters);
    Generated.require(spread >= 0 && spread <= 1, "spread must be from 0 to 1", spread);
    Generated.requireScale(scale);
  }

  @Override
  public Tensors load(AttentionShape s, long seed) {
    int d = s.headDim();
    int positions = Math.max(s.querySeqLen(), s.keySeqLen());
    UniformRandomProvider generator = Draws.generator(Draws.seedFor(seed, "clusters"));
    int[] cluster = new int[s.batchSize() * positions];
    for (int p = 0; p < cluster.length; p++) {
      cluster[p] = generator.nextInt(clusters);
    }
    Tensor centres =
        Draws.gaussian(Draws.seedFor(seed, "centres"), s.numKeyValueHeads(), clusters, d);
    Tensor q = Draws.gaussian(Draws.seedFor(seed, "q"), Generated.queries(s, d));
    Tensor k = Draws.gaussian(Draws.seedFor(seed, "k"), Generated.keys(s, d));
    gather(q, s.groupSize(), positions, cluster, centres);
    gather(k, 1, positions, cluster, centres);
    return Tensors.qkv(q, k, Generated.values(s, seed));
  }

  /// Moves every row of noise to its cluster's centre.
  private void gather(Tensor rows, int group, int positions, int[] cluster, Tensor centres) {
    int heads = rows.extent(1);
    int n = rows.extent(2);
    int d = rows.extent(3);
    double common = Math.sqrt(scale * (1 - spread * spread));
    double own = Math.sqrt(scale) * spread;
    for (int row = 0; row < rows.size() / d; row++) {
      int batch = row / (heads * n);
      int head = row / n % heads / group;
      int position = positions - n + row % n;
      int centre = (head * clusters + cluster[batch * positions + position]) * d;
      for (int e = 0; e < d; e++) {
        double noise = rows.data()[row * d + e];
        rows.data()[row * d + e] = (float) (own * noise + common * centres.data()[centre + e]);
      }
    }
  }
}
