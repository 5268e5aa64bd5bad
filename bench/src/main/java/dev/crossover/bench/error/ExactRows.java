// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Workers;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;

/// Exact attention in double precision at some positions, what every output is compared with, those
/// of the exact baselines included.
///
/// Up to [#MOST_POSITIONS] positions, one drawn from each of as many equal parts of the sequence,
/// so that they fall on no pattern of blocks; fewer on large problems, all of short sequences.
/// Scores, weights and sums are double, on the single-precision tensors that a mechanism is given.
///
/// @param positions query positions, ascending
/// @param heads number of heads
/// @param width elements of a row
/// @param values `[batch, heads, positions, width]`
public record ExactRows(int[] positions, int heads, int width, double[] values) {
  /// Positions of a sequence that are compared at most.
  public static final int MOST_POSITIONS = 256;

  private static final int LEAST_POSITIONS = 16;
  private static final double MOST_PRODUCTS = 1L << 30;

  /// The positions at which a problem is compared.
  public static int[] positions(AttentionShape shape) {
    int nq = shape.querySeqLen();
    double perPosition =
        Math.max(1.0, shape.problems())
            * shape.keySeqLen()
            * ((double) shape.headDim() + shape.valueDim());
    int count =
        Math.min(
            nq, (int) Math.clamp(MOST_PRODUCTS / perPosition, LEAST_POSITIONS, MOST_POSITIONS));
    UniformRandomProvider random = Draws.generator(Draws.seedFor(Draws.DEFAULT_SEED, "positions"));
    int[] positions = new int[count];
    for (int s = 0; s < count; s++) {
      int from = (int) ((long) s * nq / count);
      int to = (int) ((s + 1L) * nq / count);
      positions[s] = from + random.nextInt(to - from);
    }
    return positions;
  }

  /// Computes rows.
  ///
  /// @param target the exact problem; a row that may see no key is zero
  /// @param positions ascending
  /// @param threads number of threads; the values do not depend on it
  public static ExactRows of(ExactTarget target, int[] positions, int threads) {
    AttentionShape shape = target.shape();
    int dv = shape.valueDim();
    double[] values = new double[Math.multiplyExact(shape.problems() * positions.length, dv)];
    double[][] weights = new double[threads][shape.keySeqLen()];
    new Workers(threads)
        .run(
            shape.problems() * positions.length,
            (worker, index) ->
                row(
                    target,
                    index / positions.length,
                    positions[index % positions.length],
                    weights[worker],
                    values,
                    index * dv));
    return new ExactRows(positions, shape.numHeads(), dv, values);
  }

  /// Rows of an output that was computed otherwise.
  ///
  /// @param output `[batch, heads, nq, width]`
  public static ExactRows of(Tensor output, int[] positions) {
    int width = output.extent(3);
    int problems = output.extent(0) * output.extent(1);
    double[] values = new double[problems * positions.length * width];
    for (int p = 0; p < problems; p++) {
      for (int s = 0; s < positions.length; s++) {
        for (int x = 0; x < width; x++) {
          values[(p * positions.length + s) * width + x] =
              output.data()[(p * output.extent(2) + positions[s]) * width + x];
        }
      }
    }
    return new ExactRows(positions, output.extent(1), width, values);
  }

  private static void row(
      ExactTarget target, int problem, int i, double[] weights, double[] out, int at) {
    AttentionShape shape = target.shape();
    double sum = weigh(target, problem, i, weights);
    if (sum == 0) {
      return;
    }
    int dv = shape.valueDim();
    int v = shape.valueOffset(problem / shape.numHeads(), problem % shape.numHeads());
    int limit = target.mask().causalLimit(i, shape.querySeqLen(), shape.keySeqLen());
    for (int j = 0; j < limit; j++) {
      double weight = weights[j];
      if (weight > 0) {
        for (int x = 0; x < dv; x++) {
          out[at + x] += weight * target.value().data()[v + j * dv + x];
        }
      }
    }
    for (int x = 0; x < dv; x++) {
      out[at + x] /= sum;
    }
  }

  /// Weights of a row up to its causal limit, before they are divided by their sum; zero for keys
  /// that it may not see.
  ///
  /// @param problem batch entry times heads plus head
  /// @param i the query
  /// @param weights room for every key
  /// @return the sum, zero for a row that sees no key
  static double weigh(ExactTarget target, int problem, int i, double[] weights) {
    AttentionShape shape = target.shape();
    int batch = problem / shape.numHeads();
    int head = problem % shape.numHeads();
    int nk = shape.keySeqLen();
    int d = shape.headDim();
    int limit = target.mask().causalLimit(i, shape.querySeqLen(), nk);
    int q = shape.queryOffset(batch, head) + i * d;
    int k = shape.keyOffset(batch, head);
    boolean lonely = true;
    double max = Double.NEGATIVE_INFINITY;
    Arrays.fill(weights, 0, limit, Double.NEGATIVE_INFINITY);
    for (int j = 0; j < limit; j++) {
      if (target.mask().isRealKey(batch, j) && !(target.selfLast() && j == i)) {
        double score = 0;
        for (int x = 0; x < d; x++) {
          score += (double) target.query().data()[q + x] * target.key().data()[k + j * d + x];
        }
        weights[j] = target.scale() * score;
        max = Math.max(max, weights[j]);
        lonely = false;
      }
    }
    if (lonely && target.selfLast() && i < limit && target.mask().isRealKey(batch, i)) {
      weights[i] = 0;
      max = 0;
      lonely = false;
    }
    double sum = 0;
    for (int j = 0; j < limit; j++) {
      weights[j] = lonely ? 0 : Math.exp(weights[j] - max);
      sum += weights[j];
    }
    return sum;
  }
}
