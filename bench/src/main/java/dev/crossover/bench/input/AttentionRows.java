// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.ExactTarget;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// How peaked exact attention is on given tensors: means over sampled rows of all heads.
///
/// Up to 64 rows are spaced evenly over the query positions of every head; fewer on large problems.
/// The numbers say how hard an input is: sparse mechanisms live on a large top-k mass, low-rank
/// ones on a high entropy.
///
/// @param entropy mean of −Σ p ln p over rows, in nats
/// @param uniformEntropy mean of ln(visible keys), what the entropy would be without preference
/// @param effectiveRank of the scores q·k without mask, see the class [ScoreRank]; absent where it
///     is undefined or would take long
/// @param topMass mean share of the weight on the k largest keys, by k
public record AttentionRows(
    double entropy,
    double uniformEntropy,
    @Nullable Double effectiveRank,
    Map<Integer, Double> topMass) {
  private static final int ROWS_PER_HEAD = 64;
  private static final double MOST_PRODUCTS = 1L << 29;
  private static final int[] TOP = {8, 32, 128};

  /// Measures a problem.
  ///
  /// @param target the exact problem; a row that may see no key is left out
  public static AttentionRows of(ExactTarget target) {
    AttentionShape shape = target.shape();
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    int sampled = sampled(shape);
    double[] weights = new double[nk];
    double entropy = 0;
    double uniform = 0;
    double[] top = new double[TOP.length];
    int rows = 0;
    for (int b = 0; b < shape.batchSize(); b++) {
      for (int h = 0; h < shape.numHeads(); h++) {
        for (int s = 0; s < sampled; s++) {
          int i = position(s, sampled, nq);
          int visible = softmaxRow(target, b, h, i, weights);
          if (visible > 0) {
            entropy += entropy(weights, visible);
            uniform += Math.log(visible);
            addTopMass(weights, visible, top);
            rows++;
          }
        }
      }
    }
    Map<Integer, Double> mass = new LinkedHashMap<>();
    for (int t = 0; t < TOP.length; t++) {
      mass.put(TOP[t], rows == 0 ? 0 : top[t] / rows);
    }
    double rank = ScoreRank.of(target);
    return new AttentionRows(
        rows == 0 ? 0 : entropy / rows,
        rows == 0 ? 0 : uniform / rows,
        Double.isNaN(rank) ? null : rank,
        mass);
  }

  /// The entropy of each head alone, in nats: the mean over the rows that [#of] samples, and over
  /// the batch; 0 for a head whose rows see no key.
  ///
  /// @param target the exact problem
  public static List<Double> entropyByHead(ExactTarget target) {
    AttentionShape shape = target.shape();
    int sampled = sampled(shape);
    double[] weights = new double[shape.keySeqLen()];
    List<Double> byHead = new ArrayList<>();
    for (int h = 0; h < shape.numHeads(); h++) {
      double entropy = 0;
      int rows = 0;
      for (int b = 0; b < shape.batchSize(); b++) {
        for (int s = 0; s < sampled; s++) {
          int i = position(s, sampled, shape.querySeqLen());
          int visible = softmaxRow(target, b, h, i, weights);
          entropy += entropy(weights, visible);
          rows += visible > 0 ? 1 : 0;
        }
      }
      byHead.add(rows == 0 ? 0 : entropy / rows);
    }
    return byHead;
  }

  private static int sampled(AttentionShape shape) {
    double perRow = (double) shape.problems() * shape.keySeqLen() * shape.headDim();
    int affordable = (int) Math.clamp(MOST_PRODUCTS / perRow, 4, ROWS_PER_HEAD);
    return Math.min(affordable, shape.querySeqLen());
  }

  private static int position(int s, int sampled, int nq) {
    return (int) ((2L * s + 1) * nq / (2L * sampled));
  }

  /// Writes the weights of the visible keys, side by side, and returns their number.
  private static int softmaxRow(ExactTarget target, int b, int h, int i, double[] weights) {
    var shape = target.shape();
    int d = shape.headDim();
    float[] q = target.query().data();
    float[] k = target.key().data();
    int qo = shape.queryOffset(b, h) + i * d;
    int ko = shape.keyOffset(b, h);
    int limit = target.mask().causalLimit(i, shape.querySeqLen(), shape.keySeqLen());
    int visible = 0;
    double max = Double.NEGATIVE_INFINITY;
    for (int j = 0; j < limit; j++) {
      if (target.mask().isRealKey(b, j)) {
        double score = 0;
        for (int a = 0; a < d; a++) {
          score += (double) q[qo + a] * k[ko + j * d + a];
        }
        weights[visible] = target.scale() * score;
        max = Math.max(max, weights[visible]);
        visible++;
      }
    }
    double sum = 0;
    for (int j = 0; j < visible; j++) {
      weights[j] = Math.exp(weights[j] - max);
      sum += weights[j];
    }
    for (int j = 0; j < visible; j++) {
      weights[j] /= sum;
    }
    return visible;
  }

  private static double entropy(double[] weights, int visible) {
    double entropy = 0;
    for (int j = 0; j < visible; j++) {
      if (weights[j] > 0) {
        entropy -= weights[j] * Math.log(weights[j]);
      }
    }
    return entropy;
  }

  private static void addTopMass(double[] weights, int visible, double[] top) {
    double[] sorted = Arrays.copyOf(weights, visible);
    Arrays.sort(sorted);
    for (int t = 0; t < TOP.length; t++) {
      for (int j = 0; j < Math.min(TOP[t], visible); j++) {
        top[t] += sorted[visible - 1 - j];
      }
    }
  }
}
