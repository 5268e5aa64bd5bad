// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;

/// The backward pass of `tiled`, alone or with the forward pass before it.
final class GradientContender implements Contender {
  /// Seed of the gradient of the output.
  static final int SEED = 4;

  private final DifferentiablePlan plan;
  private final Tensors inputs;
  private final Tensor out;
  private final Tensor gradOut;
  private final Tensors gradients;
  private final boolean both;

  /// @param both whether a run is both passes
  GradientContender(Problem problem, int threads, boolean both) {
    int heads = problem.shape().numHeads();
    int n = problem.shape().querySeqLen();
    int d = problem.shape().headDim();
    this.both = both;
    Tiled tiled = new Tiled();
    inputs = problem.inputs();
    out = Tensor.zeros(1, heads, n, d);
    gradOut = Draws.gaussian(SEED, 1, heads, n, d);
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
    return both ? "tiled, forward + backward" : "tiled, backward";
  }

  /// Five products where the forward pass has two.
  @Override
  public double forwards() {
    return both ? 3.5 : 2.5;
  }

  @Override
  public void run() {
    if (both) {
      plan.forward(inputs, out);
    }
    plan.backward(gradOut, gradients);
  }

  @Override
  public float[] output() {
    return gradients.get("grad_q").data();
  }

  @Override
  public double error(Problem problem) {
    return problem.error(gradOut.data(), output());
  }

  @Override
  public void close() {}
}
