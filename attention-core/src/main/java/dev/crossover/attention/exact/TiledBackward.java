package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BackwardPlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.SoftmaxGradient;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// The backward pass of [Tiled]: gradients of q, k and v, a task per key/value head.
final class TiledBackward implements BackwardPlan {
  private final AttentionShape shape;
  private final float scale;
  private final Scratch scratch = new Scratch();
  private final Workers workers;
  private final VisibleKeys visible;
  private final int[] limits;
  private final SoftmaxGradient[] heads;
  private final Workers.Task task = this::head;
  private float[] q = new float[0];
  private float[] k = q;
  private float[] v = q;
  private float[] out = q;
  private float[] lse = q;
  private float[] gradOut = q;
  private float[] gradQuery = q;
  private float[] gradKey = q;
  private float[] gradValue = q;

  TiledBackward(PlanRequest request, double scale) {
    shape = request.shape();
    this.scale = (float) scale;
    Mask mask = request.mask();
    workers = new Workers(request.threads());
    visible = new VisibleKeys(scratch, shape, mask);
    limits = scratch.ints((long) shape.batchSize() * shape.querySeqLen());
    for (int b = 0; b < shape.batchSize(); b++) {
      for (int i = 0; i < shape.querySeqLen(); i++) {
        limits[b * shape.querySeqLen() + i] = visible.limit(b, i);
      }
    }
    heads = new SoftmaxGradient[request.threads()];
    for (int t = 0; t < heads.length; t++) {
      heads[t] =
          new SoftmaxGradient(
              scratch, shape.querySeqLen(), shape.keySeqLen(), shape.headDim(), shape.valueDim());
    }
  }

  @Override
  public void backward(
      Tensors inputs, Tensor output, Tensors results, Tensor gradOutput, Tensors gradients) {
    AttentionShape s = shape;
    if (inputs.has("bias")) {
      throw new IllegalArgumentException("tiled: inputs must not contain bias, but did");
    }
    int b = s.batchSize();
    int kv = s.numKeyValueHeads();
    q = checked("q", inputs.get("q"), b, s.numHeads(), s.querySeqLen(), s.headDim());
    k = checked("k", inputs.get("k"), b, kv, s.keySeqLen(), s.headDim());
    v = checked("v", inputs.get("v"), b, kv, s.keySeqLen(), s.valueDim());
    out = checked("output", output, b, s.numHeads(), s.querySeqLen(), s.valueDim());
    gradOut = checked("gradOutput", gradOutput, b, s.numHeads(), s.querySeqLen(), s.valueDim());
    Tensor sums = results.get("lse");
    if (!sums.hasShape(new int[] {b, s.numHeads(), s.querySeqLen()})) {
      throw new IllegalArgumentException(
          "tiled: lse must have shape [batch, heads, nq], but was " + sums);
    }
    lse = sums.data();
    gradQuery =
        checked("grad_q", gradients.get("grad_q"), b, s.numHeads(), s.querySeqLen(), s.headDim());
    gradKey = checked("grad_k", gradients.get("grad_k"), b, kv, s.keySeqLen(), s.headDim());
    gradValue = checked("grad_v", gradients.get("grad_v"), b, kv, s.keySeqLen(), s.valueDim());
    workers.run(b * kv, task);
  }

  private static float[] checked(
      String name, Tensor tensor, int batch, int heads, int seqLen, int dim) {
    if (!tensor.hasShape(new int[] {batch, heads, seqLen, dim})) {
      throw new IllegalArgumentException(
          "tiled: "
              + name
              + " must have shape "
              + Arrays.toString(new int[] {batch, heads, seqLen, dim})
              + ", but was "
              + tensor);
    }
    return Objects.requireNonNull(tensor.data());
  }

  private void head(int worker, int index) {
    int batch = index / shape.numKeyValueHeads();
    int first = index % shape.numKeyValueHeads() * shape.groupSize();
    int ko = shape.keyOffset(batch, first);
    int vo = shape.valueOffset(batch, first);
    int nq = shape.querySeqLen();
    int @Nullable [] list = visible.gathered() ? visible.index() : null;
    int from = visible.offset(batch);
    SoftmaxGradient gradient = heads[worker];
    gradient.begin(k, ko, v, vo, list, from, visible.count(batch));
    for (int h = first; h < first + shape.groupSize(); h++) {
      int qo = shape.queryOffset(batch, h);
      int oo = shape.outputOffset(batch, h);
      gradient.addQueries(
          q,
          qo,
          out,
          oo,
          gradOut,
          oo,
          lse,
          (batch * shape.numHeads() + h) * nq,
          limits,
          batch * nq,
          nq,
          scale,
          gradQuery,
          qo);
    }
    Arrays.fill(gradKey, ko, ko + shape.keySeqLen() * shape.headDim(), 0);
    Arrays.fill(gradValue, vo, vo + shape.keySeqLen() * shape.valueDim(), 0);
    gradient.finish(scale, gradKey, ko, gradValue, vo, list, from);
  }

  @Override
  public long scratchBytes() {
    return scratch.bytes();
  }
}
