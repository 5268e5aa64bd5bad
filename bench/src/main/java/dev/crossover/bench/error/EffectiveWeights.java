// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.tensor.Tensor;

/// The weights with which a mechanism mixes values: column j is its output for a value that is one
/// at key j and zero elsewhere.
///
/// Every approximation of softmax attention is linear in its values. Unit vectors are passed as
/// many at a time as a value row is wide.
///
/// @param heads heads of the first batch entry, each `[nq, nk]`
/// @param queries nq
/// @param keys nk
public record EffectiveWeights(float[][] heads, int queries, int keys) {
  /// Most positions: weights take 4 n² bytes a head.
  public static final int MOST_POSITIONS = 512;

  /// The mechanism's weights.
  public static EffectiveWeights of(ErrorProblem problem, ErrorProblem.Run run) {
    AttentionPlan plan = run.attention().plan(problem.shape(), problem.mask(), problem.threads());
    Tensor out = Tensor.zeros(run.attention().outputShape(problem.shape()));
    EffectiveWeights weights = empty(problem.shape());
    for (int first = 0; first < weights.keys; first += problem.shape().valueDim()) {
      plan.forward(run.inputs().with("v", units(problem.shape(), first)), out);
      weights.put(out, first);
    }
    return weights;
  }

  /// The weights of exact attention.
  public static EffectiveWeights exact(ErrorProblem problem, ExactTarget target) {
    EffectiveWeights weights = empty(problem.shape());
    for (int first = 0; first < weights.keys; first += problem.shape().valueDim()) {
      ExactTarget units =
          new ExactTarget(
              target.shape(),
              target.mask(),
              target.query(),
              target.key(),
              units(problem.shape(), first),
              target.scale(),
              target.selfLast());
      weights.put(ErrorStudy.exact(units, problem.threads()), first);
    }
    return weights;
  }

  private static EffectiveWeights empty(AttentionShape shape) {
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    if (Math.max(nq, nk) > MOST_POSITIONS) {
      throw new IllegalArgumentException(
          "positions must be at most " + MOST_POSITIONS + ", but was " + Math.max(nq, nk));
    }
    return new EffectiveWeights(new float[shape.numHeads()][nq * nk], nq, nk);
  }

  private static Tensor units(AttentionShape shape, int first) {
    int dv = shape.valueDim();
    Tensor value = Tensor.zeros(shape.batchSize(), shape.numKeyValueHeads(), shape.keySeqLen(), dv);
    for (int b = 0; b < shape.batchSize(); b++) {
      for (int h = 0; h < shape.numKeyValueHeads(); h++) {
        for (int column = 0; column < dv && first + column < shape.keySeqLen(); column++) {
          value.data()[shape.valueOffset(b, h) + (first + column) * dv + column] = 1;
        }
      }
    }
    return value;
  }

  private void put(Tensor out, int first) {
    int dv = out.extent(3);
    int columns = Math.min(dv, keys - first);
    for (int h = 0; h < heads.length; h++) {
      for (int i = 0; i < queries; i++) {
        System.arraycopy(out.data(), (h * queries + i) * dv, heads[h], i * keys + first, columns);
      }
    }
  }
}
