// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;

/// The backward pass of `tiled`: five products where the forward pass has two.
final class GradientContender implements Contender {
  /// Work beside that of the forward pass.
  static final double FORWARDS = 2.5;

  private static final int CHECKED_ROWS = 20;

  private final DifferentiablePlan plan;
  private final Tensors inputs;
  private final Tensor gradOut;
  private final Tensors gradients;

  GradientContender(Problem problem, int threads) {
    int heads = problem.shape().numHeads();
    int n = problem.shape().querySeqLen();
    int d = problem.shape().headDim();
    Tiled tiled = new Tiled();
    inputs = problem.inputs();
    Tensor out = Tensor.zeros(1, heads, n, d);
    gradOut = Draws.gaussian(4, 1, heads, n, d);
    gradients =
        Tensors.NONE
            .with("grad_q", Tensor.zeros(1, heads, n, d))
            .with("grad_k", Tensor.zeros(1, heads, n, d))
            .with("grad_v", Tensor.zeros(1, heads, n, d));
    plan = tiled.differentiable(problem.shape(), problem.mask(), threads);
    plan.forward(inputs, out);
  }

  @Override
  public String name() {
    return "tiled, backward";
  }

  @Override
  public void run() {
    plan.backward(gradOut, gradients);
  }

  @Override
  public float[] output() {
    return gradients.get("grad_q").data();
  }

  /// Of some rows of the gradient of q: Σ_j p_j (∂p_j − Σ p ∂p) k_j / √d.
  @Override
  public double error(Problem problem) {
    int n = problem.shape().querySeqLen();
    int d = problem.shape().headDim();
    double worst = 0;
    for (int c = 0; c < CHECKED_ROWS; c++) {
      int head = c % problem.shape().numHeads();
      int row = (int) ((long) c * (n - 1) / (CHECKED_ROWS - 1));
      int at = (head * n + row) * d;
      double[] p = problem.weights(head, row, problem.causal() ? row + 1 : n, d);
      double[] slopes = new double[p.length];
      double mean = 0;
      for (int j = 0; j < p.length; j++) {
        for (int x = 0; x < d; x++) {
          int value = (head * n + j) * d + x;
          slopes[j] += (double) gradOut.data()[at + x] * problem.value().data()[value];
        }
        mean += p[j] * slopes[j];
      }
      for (int x = 0; x < d; x++) {
        double expected = 0;
        for (int j = 0; j < p.length; j++) {
          float key = problem.key().data()[(head * n + j) * d + x];
          expected += p[j] * (slopes[j] - mean) * key / Math.sqrt(d);
        }
        double difference = Math.abs(expected - output()[at + x]);
        worst = difference <= worst ? worst : difference;
      }
    }
    return worst;
  }

  @Override
  public void close() {}
}
