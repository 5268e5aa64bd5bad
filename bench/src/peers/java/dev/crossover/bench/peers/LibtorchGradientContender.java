// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.attention.random.Draws;
import org.bytedeco.pytorch.BoolOptional;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorArrayRefOptional;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;

/// libtorch's fused attention and its gradients by autograd, on the CPU.
final class LibtorchGradientContender implements Contender {
  private final boolean causal;
  private final Tensor query;
  private final Tensor key;
  private final Tensor value;
  private final Tensor gradOut;
  private final float[] given;

  LibtorchGradientContender(Problem problem, int threads) {
    torch.set_num_threads(threads);
    causal = problem.causal();
    int heads = problem.shape().numHeads();
    int n = problem.shape().querySeqLen();
    int d = problem.shape().headDim();
    given = Draws.gaussian(GradientContender.SEED, 1, heads, n, d).data();
    query = Tensor.create(problem.query().data(), 1, heads, n, d).set_requires_grad(true);
    key = Tensor.create(problem.key().data(), 1, heads, n, d).set_requires_grad(true);
    value = Tensor.create(problem.value().data(), 1, heads, n, d).set_requires_grad(true);
    gradOut = Tensor.create(given, 1, heads, n, d);
  }

  @Override
  public String name() {
    return "libtorch 2.10.0, forward + backward";
  }

  @Override
  public double forwards() {
    return 3.5;
  }

  @Override
  public void run() {
    query.mutable_grad().reset();
    key.mutable_grad().reset();
    value.mutable_grad().reset();
    try (TensorOptional mask = new TensorOptional();
        DoubleOptional scale = new DoubleOptional();
        BoolOptional retain = new BoolOptional();
        TensorArrayRefOptional inputs = new TensorArrayRefOptional();
        Tensor out =
            torch.scaled_dot_product_attention(query, key, value, mask, 0, causal, scale, false)) {
      out.backward(gradOut, retain, false, inputs);
    }
  }

  @Override
  public float[] output() {
    try (Tensor gradient = query.grad();
        Tensor packed = gradient.contiguous()) {
      float[] values = new float[(int) packed.numel()];
      packed.data_ptr_float().get(values);
      return values;
    }
  }

  @Override
  public double error(Problem problem) {
    return problem.error(given, output());
  }

  @Override
  public void close() {
    query.close();
    key.close();
    value.close();
    gradOut.close();
  }
}
