// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;

/// A mechanism of this toolkit.
final class OurContender implements Contender {
  private final String name;
  private final AttentionPlan plan;
  private final Tensors inputs;
  private final Tensor out;

  OurContender(Attention attention, Problem problem, int threads) {
    name = attention.name();
    plan = attention.plan(problem.shape(), problem.mask(), threads);
    inputs = problem.inputs();
    out = Tensor.zeros(attention.outputShape(problem.shape()));
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public void run() {
    plan.forward(inputs, out);
  }

  @Override
  public float[] output() {
    return out.data();
  }

  @Override
  public void close() {}
}
