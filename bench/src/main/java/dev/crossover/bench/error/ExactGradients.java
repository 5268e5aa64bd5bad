// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Workers;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.GradientNorms;
import java.util.ArrayList;
import java.util.List;

/// Gradients of exact attention in double precision, where the outputs of some positions have an
/// upstream gradient G and the others none:
///
/// ```
/// p = softmax(s)      ds_ij = p_ij (G_i·v_j − Σ_j p_ij G_i·v_j)      s_ij = scale q_i·k_j
/// ∂q_i = scale Σ_j ds_ij k_j      ∂k_j = scale Σ_i ds_ij q_i      ∂v_j = Σ_i p_ij G_i
/// ```
///
/// A backward pass is linear in G. With independent G of mean zero, what each position adds to a
/// gradient, and to its error, is uncorrelated with what the others add, so that the squares add
/// up: the relative error from some positions, drawn without regard to the rest, estimates that
/// from all. Cost and memory are those of the positions, not of all pairs, while every row of ∂k
/// and ∂v is there.
///
/// @param positions query positions with an upstream gradient, ascending
/// @param query ∂q, `[batch, heads, positions, d]`; it is zero elsewhere
/// @param key ∂k, `[batch, kvHeads, nk, d]`
/// @param value ∂v, `[batch, kvHeads, nk, dv]`
public record ExactGradients(int[] positions, double[] query, double[] key, double[] value) {

  /// The upstream gradient with zeros in the rows that are not at the positions.
  ///
  /// @param gradOut `[batch, heads, nq, dv]`
  public static Tensor at(int[] positions, Tensor gradOut) {
    Tensor kept = Tensor.zeros(gradOut.shape());
    int nq = gradOut.extent(2);
    int width = gradOut.extent(3);
    for (int problem = 0; problem < gradOut.extent(0) * gradOut.extent(1); problem++) {
      for (int i : positions) {
        int at = (problem * nq + i) * width;
        System.arraycopy(gradOut.data(), at, kept.data(), at, width);
      }
    }
    return kept;
  }

  /// Computes the gradients.
  ///
  /// @param target the exact problem; a row that may see no key sends none
  /// @param gradOut `[batch, heads, nq, dv]`; only the rows of the positions count
  /// @param threads number of threads; the values do not depend on it
  public static ExactGradients of(
      ExactTarget target, Tensor gradOut, int[] positions, int threads) {
    AttentionShape shape = target.shape();
    int groups = shape.batchSize() * shape.numKeyValueHeads();
    int nk = shape.keySeqLen();
    int count = positions.length;
    double[] query = new double[Tensor.sizeOf(shape.problems(), count, shape.headDim())];
    double[] key = new double[Tensor.sizeOf(groups, nk, shape.headDim())];
    double[] value = new double[Tensor.sizeOf(groups, nk, shape.valueDim())];
    ExactGradients gradients = new ExactGradients(positions, query, key, value);
    double[][] weights = new double[threads][nk];
    double[][] slopes = new double[threads][nk];
    new Workers(threads)
        .run(
            groups,
            (worker, group) -> {
              for (int h = 0; h < shape.groupSize(); h++) {
                for (int s = 0; s < count; s++) {
                  int problem = group * shape.groupSize() + h;
                  gradients.row(target, gradOut, problem, s, weights[worker], slopes[worker]);
                }
              }
            });
    return gradients;
  }

  private void row(
      ExactTarget target, Tensor gradOut, int problem, int s, double[] weights, double[] slopes) {
    AttentionShape shape = target.shape();
    int i = positions[s];
    double sum = ExactRows.weigh(target, problem, i, weights);
    if (sum == 0) {
      return;
    }
    int limit = target.mask().causalLimit(i, shape.querySeqLen(), shape.keySeqLen());
    int batch = problem / shape.numHeads();
    int head = problem % shape.numHeads();
    int d = shape.headDim();
    int dv = shape.valueDim();
    int go = (problem * shape.querySeqLen() + i) * dv;
    int v = shape.valueOffset(batch, head);
    double mean = 0;
    for (int j = 0; j < limit; j++) {
      weights[j] /= sum;
      slopes[j] = 0;
      for (int x = 0; x < dv && weights[j] > 0; x++) {
        double g = gradOut.data()[go + x];
        slopes[j] += g * target.value().data()[v + j * dv + x];
        value[v + j * dv + x] += weights[j] * g;
      }
      mean += weights[j] * slopes[j];
    }
    int q = shape.queryOffset(batch, head) + i * d;
    int k = shape.keyOffset(batch, head);
    int own = (problem * positions.length + s) * d;
    for (int j = 0; j < limit; j++) {
      double ds = target.scale() * weights[j] * (slopes[j] - mean);
      for (int x = 0; x < d && ds != 0; x++) {
        query[own + x] += ds * target.key().data()[k + j * d + x];
        key[k + j * d + x] += ds * target.query().data()[q + x];
      }
    }
  }

  /// ∂q with its zeros.
  ///
  /// @param nq number of queries
  /// @param d their width
  /// @return `[batch, heads, nq, d]`
  public double[] wholeQuery(int nq, int d) {
    double[] whole = new double[query.length / Math.max(1, positions.length) * nq];
    for (int row = 0; row < query.length / Math.max(1, d); row++) {
      int to = (row / positions.length * nq + positions[row % positions.length]) * d;
      System.arraycopy(query, row * d, whole, to, d);
    }
    return whole;
  }

  /// Norms of the difference between a mechanism's gradients and these.
  ///
  /// @param gradQuery `[batch, heads, nq, d]`
  /// @param gradKey `[batch, kvHeads, nk, d]`
  /// @param gradValue `[batch, kvHeads, nk, dv]`
  public ErrorNorms compare(Tensor gradQuery, Tensor gradKey, Tensor gradValue) {
    double[] whole = wholeQuery(gradQuery.extent(2), gradQuery.extent(3));
    return compare(gradQuery, whole, gradKey, key, gradValue);
  }

  /// Norms of the difference between the gradients of a mechanism whose queries and keys are made
  /// of other inputs, and these carried back to those inputs.
  ///
  /// @param gradQuery of what queries are made of
  /// @param exactQuery these, carried back, of the same shape
  /// @param gradKey of what keys are made of; the same tensor where both are made of one
  /// @param exactKey these, carried back
  /// @param gradValue `[batch, kvHeads, nk, dv]`
  public ErrorNorms compare(
      Tensor gradQuery, double[] exactQuery, Tensor gradKey, double[] exactKey, Tensor gradValue) {
    int heads = gradQuery.extent(1);
    Sums q = new Sums(heads);
    q.add(gradQuery, exactQuery);
    Sums k = new Sums(gradKey.extent(1));
    k.add(gradKey, exactKey);
    Sums v = new Sums(gradValue.extent(1));
    v.add(gradValue, value);
    GradientNorms norms = new GradientNorms(q.relative(), k.relative(), v.relative());
    List<Double> perHead = new ArrayList<>();
    for (int h = 0; h < heads; h++) {
      int shared = h * gradKey.extent(1) / heads;
      perHead.add(largest(q.relative(h), k.relative(shared), v.relative(shared)));
    }
    return new ErrorNorms(
        largest(norms.query(), norms.key(), norms.value()),
        largest(q.max, k.max, v.max),
        (q.cosine() + k.cosine() + v.cosine()) / 3,
        List.copyOf(perHead),
        positions.length,
        norms);
  }

  /// NaN if one of them is.
  private static double largest(double a, double b, double c) {
    return Math.max(a, Math.max(b, c));
  }

  /// Squares of one gradient, by head.
  private static final class Sums {
    private final double[] difference;
    private final double[] reference;
    private double own;
    private double dot;
    private double max;

    Sums(int heads) {
      difference = new double[heads];
      reference = new double[heads];
    }

    void add(Tensor gradient, double[] exact) {
      int perHead = gradient.extent(2) * gradient.extent(3);
      for (int e = 0; e < exact.length; e++) {
        int head = e / perHead % difference.length;
        double a = gradient.data()[e];
        double delta = a - exact[e];
        difference[head] += delta * delta;
        reference[head] += exact[e] * exact[e];
        own += a * a;
        dot += a * exact[e];
        max = Math.max(max, Math.abs(delta));
      }
    }

    double relative() {
      double all = 0;
      double of = 0;
      for (int h = 0; h < difference.length; h++) {
        all += difference[h];
        of += reference[h];
      }
      return ErrorStudy.relative(all, of);
    }

    double relative(int head) {
      return ErrorStudy.relative(difference[head], reference[head]);
    }

    double cosine() {
      double other = 0;
      for (double square : reference) {
        other += square;
      }
      return own == 0 || other == 0 ? (own == other ? 1 : 0) : dot / Math.sqrt(own * other);
    }
  }
}
