// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// [Differential] with its backward pass: that of the exact attention that all maps are, between
/// the norm's and the rotations turned back. Keeps the maps' rows and outputs.
final class DifferentialGradient extends DifferentiablePlan {
  private final Differential differential;
  private final DifferentialMaps maps;
  private final DifferentiablePlan softmax;
  private final AttentionShape inner;
  private final int dv = shape.valueDim();
  private final Tensor gradOutputs;
  private final Tensors gradRows;

  /// ∂λ, one number per head.
  private final double[] gradLambda;

  /// ∂norm_weight, `[batch, heads, dv]`.
  private final double[] gradWeight;

  private final Workers.Task norm = this::norm;
  private final Workers.Task query = this::query;
  private final Workers.Task key = this::key;
  private float @Nullable [] weight;

  DifferentialGradient(Differential differential, PlanRequest request) {
    super(request);
    this.differential = differential;
    inner = differential.maps(shape);
    maps = new DifferentialMaps(kept, scratch, differential, shape, mask, workers);
    softmax = differential.softmax(shape).differentiable(inner, mask, threads());
    scratch.include(softmax.scratchBytes());
    kept.include(softmax.keptBytes());
    gradOutputs = DifferentialMaps.queries(scratch, inner, dv);
    gradRows =
        Tensors.NONE
            .with("grad_q", DifferentialMaps.queries(scratch, inner, inner.headDim()))
            .with("grad_k", DifferentialMaps.keys(scratch, inner, inner.headDim()))
            .with("grad_v", DifferentialMaps.keys(scratch, inner, dv));
    gradLambda = scratch.doubles(shape.problems());
    gradWeight = scratch.doubles((long) shape.problems() * dv);
  }

  static GradientCost cost(Differential differential, AttentionShape s, Mask mask, int threads) {
    GradientCost softmax =
        differential.softmax(s).gradientCost(differential.maps(s), mask, threads);
    double outputs = (double) s.problems() * s.querySeqLen() * s.valueDim();
    return new GradientCost(
        softmax.flops() + differential.rotations(s) + 18 * outputs + 8.0 * s.headDim(),
        DifferentialMaps.keptBytes(s) + softmax.keptBytes(),
        DifferentialMaps.workBytes(differential, s, threads)
            + softmax.scratchBytes()
            + DifferentialMaps.keptBytes(s)
            + Double.BYTES * (1L + s.valueDim()) * s.problems());
  }

  @Override
  protected void compute(Tensor output) {
    maps.expand(inputs());
    softmax.forward(maps.tensors(), maps.outputs());
    maps.combine(output.data());
  }

  @Override
  protected void differentiate(float[] gradOut) {
    weight = hasInput("norm_weight") ? input("norm_weight") : null;
    Arrays.fill(gradLambda, 0);
    Arrays.fill(gradWeight, 0);
    workers.run(inner.problems(), norm);
    softmax.backward(gradOutputs, gradRows);
    if (wantsGradient("q")) {
      workers.run(inner.problems(), query);
    }
    if (wantsGradient("k")) {
      workers.run(inner.batchSize() * inner.numKeyValueHeads(), key);
    }
    float[] values = wanted("v");
    if (values != null) {
      maps.valueBackward(gradRows.get("grad_v").data(), values);
    }
    addWeight(wanted("norm_weight"));
    double sum = 0;
    for (double part : gradLambda) {
      sum += part;
    }
    addLambda(0, sum);
    addLambda(2, -sum);
  }

  /// ∂(A_0 v) and ∂(A_1 v) of one head, the task of its first map.
  private void norm(int worker, int problem) {
    int map = problem % inner.numHeads();
    int source = differential.source(shape, map);
    if (source % 2 == 1) {
      return;
    }
    int head = problem / inner.numHeads() * shape.numHeads() + source / 2;
    int second = problem - map + differential.second(shape, map);
    int nq = shape.querySeqLen();
    for (int i = 0; i < nq; i++) {
      row(head, (head * nq + i) * dv, (problem * nq + i) * dv, (second * nq + i) * dv);
    }
  }

  private void row(int head, int at, int first, int second) {
    float[] out = maps.outputs().data();
    float[] to = gradOutputs.data();
    double lambda = maps.lambda;
    double factor = 1 - differential.lambdaInit();
    double root = DifferentialMaps.root(differential, dv, lambda, out, first, second);
    if (root == 0) {
      Arrays.fill(to, first, first + dv, 0);
      Arrays.fill(to, second, second + dv, 0);
      return;
    }
    double mean = 0;
    for (int c = 0; c < dv; c++) {
      double u = (out[first + c] - lambda * out[second + c]) / root;
      double g = factor * gradOut[at + c];
      gradWeight[head * dv + c] += g * u;
      mean += g * (weight == null ? 1 : weight[c]) * u / dv;
    }
    double sum = 0;
    for (int c = 0; c < dv; c++) {
      double u = (out[first + c] - lambda * out[second + c]) / root;
      double e = factor * gradOut[at + c] * (weight == null ? 1 : weight[c]);
      double slope = (e - u * mean) / root;
      to[first + c] = (float) slope;
      to[second + c] = (float) (-lambda * slope);
      sum -= slope * out[second + c];
    }
    gradLambda[head] += sum;
  }

  private void query(int worker, int problem) {
    maps.queryBackward(worker, problem, gradRows.get("grad_q").data(), gradient("q"));
  }

  private void key(int worker, int head) {
    maps.keyBackward(worker, head, gradRows.get("grad_k").data(), gradient("k"));
  }

  private void addWeight(float @Nullable [] to) {
    for (int c = 0; to != null && c < dv; c++) {
      double sum = 0;
      for (int head = 0; head < shape.problems(); head++) {
        sum += gradWeight[head * dv + c];
      }
      to[c] += (float) sum;
    }
  }

  /// Adds the gradients of the two vectors of one term of λ.
  private void addLambda(int first, double slope) {
    double factor = slope * Math.exp(DifferentialMaps.product(inputs(), first));
    for (int part = first; part < first + 2; part++) {
      float[] to = wanted(Differential.LAMBDAS.get(part));
      float[] other = input(Differential.LAMBDAS.get(part == first ? first + 1 : first));
      for (int c = 0; to != null && c < to.length; c++) {
        to[c] += (float) (factor * other[c]);
      }
    }
  }
}
