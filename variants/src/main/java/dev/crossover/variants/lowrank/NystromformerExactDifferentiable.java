// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.TiledBackward;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// [Nystromformer] with its backward pass where landmarks are the positions: exact attention, in
/// which padded queries count as zero.
final class NystromformerExactDifferentiable extends DifferentiablePlan {
  private final Kernels kernels = Kernels.get();
  private final int taps;
  private final NystromformerPlan forward;
  private final TiledBackward backward;
  private final SkipConvolutionGradient convolution;
  private final int d = shape.headDim();
  private final int n = shape.querySeqLen();
  private final float[] lse;
  private final float[] attended;
  private final float[] queries;
  private final float[] gradQueries;
  private final float[] gradKeys;
  private final float[] gradValues;
  private final Workers.Task takeQueries = this::takeQueries;
  private final Workers.Task queryGradients = this::queryGradients;
  private final Workers.Task valueGradients = this::valueGradients;
  private final Workers.Task weightGradients = this::weightGradients;

  NystromformerExactDifferentiable(Nystromformer nystrom, PlanRequest request) {
    super(request);
    taps = nystrom.convKernelSize().orElse(0);
    lse = kept.floats(queries(shape));
    attended = kept.floats(taps == 0 ? 0 : queries(shape) * shape.valueDim());
    float[] none = new float[0];
    forward =
        new NystromformerPlan(
            nystrom, request, new NystromformerPlan.Kept(new Scratch(), none, none, lse, attended));
    scratch.include(forward.scratchBytes());
    double scale = Attention.defaultScale(shape);
    backward = new TiledBackward(shape, mask, threads(), scale, false, scratch);
    convolution = new SkipConvolutionGradient(shape, mask, taps);
    queries = scratch.floats(queries(shape) * d);
    gradQueries = scratch.floats(queries(shape) * d);
    gradKeys = scratch.floats(keys(shape) * d);
    gradValues = scratch.floats(keys(shape) * shape.valueDim());
  }

  static GradientCost cost(Nystromformer nystrom, AttentionShape s, Mask mask, int threads) {
    long taps = nystrom.convKernelSize().orElse(0);
    long attended = taps == 0 ? 0 : queries(s) * s.valueDim();
    long own = 2 * queries(s) * s.headDim() + keys(s) * (s.headDim() + s.valueDim());
    return new GradientCost(
        TiledBackward.flops(s, mask) + 4.0 * queries(s) * s.valueDim() * taps,
        Float.BYTES * (queries(s) + attended),
        NystromformerPlan.scratchBytes(nystrom, s, threads)
            + TiledBackward.bytes(s, mask, threads, false)
            + Float.BYTES * own);
  }

  private static long queries(AttentionShape s) {
    return (long) s.problems() * s.querySeqLen();
  }

  private static long keys(AttentionShape s) {
    return (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    workers.run(shape.problems(), takeQueries);
    float[] out = taps == 0 ? output() : attended;
    backward.bind(queries, input("k"), input("v"), out, lse);
    backward.run(gradOut, gradQueries, gradKeys, gradValues);
    if (wantsGradient("q")) {
      workers.run(shape.problems(), queryGradients);
    }
    if (wantsGradient("k")) {
      float[] sum = gradient("k");
      kernels.add(sum.length, sum, 0, gradKeys, 0, sum, 0);
    }
    if (wantsGradient("v")) {
      workers.run(shape.batchSize() * shape.numKeyValueHeads(), valueGradients);
    }
    if (taps > 0 && wantsGradient("conv_weight")) {
      workers.run(shape.numHeads(), weightGradients);
    }
  }

  private void takeQueries(int worker, int problem) {
    for (int i = 0; i < n; i++) {
      int at = (problem * n + i) * d;
      if (forward.isRealQuery(problem / shape.numHeads(), i)) {
        System.arraycopy(input("q"), at, queries, at, d);
      } else {
        Arrays.fill(queries, at, at + d, 0);
      }
    }
  }

  private void queryGradients(int worker, int problem) {
    float[] sum = gradient("q");
    for (int i = 0; i < n; i++) {
      if (forward.isRealQuery(problem / shape.numHeads(), i)) {
        int at = (problem * n + i) * d;
        kernels.add(d, sum, at, gradQueries, at, sum, at);
      }
    }
  }

  private void valueGradients(int worker, int head) {
    int count = n * shape.valueDim();
    float[] sum = gradient("v");
    kernels.add(count, sum, head * count, gradValues, head * count, sum, head * count);
    if (taps > 0) {
      int keyHeads = shape.numKeyValueHeads();
      convolution.values(head / keyHeads, head % keyHeads, input("conv_weight"), gradOut, sum);
    }
  }

  private void weightGradients(int worker, int h) {
    convolution.weights(h, input("v"), gradOut, gradient("conv_weight"));
  }
}
