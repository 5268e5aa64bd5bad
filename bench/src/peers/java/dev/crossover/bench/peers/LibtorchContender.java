// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;

/// libtorch's fused attention on the CPU.
final class LibtorchContender implements Contender {
  private final boolean causal;
  private final Tensor query;
  private final Tensor key;
  private final Tensor value;
  private Tensor out;

  LibtorchContender(Problem problem, int threads) {
    torch.set_num_threads(threads);
    causal = problem.causal();
    long batch = problem.shape().batchSize();
    long heads = problem.shape().numHeads();
    long nq = problem.shape().querySeqLen();
    long n = problem.shape().keySeqLen();
    long d = problem.shape().headDim();
    query = Tensor.create(problem.query().data(), batch, heads, nq, d);
    key = Tensor.create(problem.repeated(problem.key()), batch, heads, n, d);
    value = Tensor.create(problem.repeated(problem.value()), batch, heads, n, d);
    out = query;
  }

  @Override
  public String name() {
    return "libtorch 2.10.0";
  }

  @Override
  public void run() {
    try (NoGradGuard _ = new NoGradGuard();
        TensorOptional mask = new TensorOptional();
        DoubleOptional scale = new DoubleOptional()) {
      Tensor next =
          torch.scaled_dot_product_attention(query, key, value, mask, 0, causal, scale, false);
      release();
      out = next;
    }
  }

  private void release() {
    if (out != query) {
      out.close();
    }
  }

  @Override
  public float[] output() {
    float[] values = new float[(int) out.numel()];
    try (Tensor packed = out.contiguous()) {
      packed.data_ptr_float().get(values);
    }
    return values;
  }

  @Override
  public void close() {
    release();
    query.close();
    key.close();
    value.close();
  }
}
