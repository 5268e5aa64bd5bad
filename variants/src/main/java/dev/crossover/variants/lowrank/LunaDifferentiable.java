// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;

/// [Luna] with its backward pass, [LunaCoreGradient] head by head.
final class LunaDifferentiable extends DifferentiablePlan {
  private final Kernels kernels = Kernels.get();
  private final int l;
  private final int d = shape.headDim();
  private final LunaPlan forward;
  private final LunaCoreGradient[] cores = new LunaCoreGradient[threads()];
  private final LunaCoreGradient.Head[] rows = new LunaCoreGradient.Head[threads()];
  private final float[] gradQuery;
  private final float[] gradKey;
  private final float[] gradValue;
  private final float[] gradPackKey;
  private final float[] gradPack;
  private final Workers.Task core = this::core;

  LunaDifferentiable(Luna luna, PlanRequest request) {
    super(request);
    l = luna.packLength();
    forward = new LunaPlan(luna, request);
    scratch.include(forward.scratchBytes());
    gradQuery = scratch.floats(rows(shape, shape.querySeqLen(), d));
    gradKey = scratch.floats(rows(shape, shape.keySeqLen(), d));
    gradPackKey = scratch.floats(rows(shape, shape.keySeqLen(), d));
    gradValue = scratch.floats(rows(shape, shape.keySeqLen(), shape.valueDim()));
    gradPack = scratch.floats(rows(shape, l, d));
    for (int t = 0; t < cores.length; t++) {
      cores[t] =
          new LunaCoreGradient(scratch, luna.activation(), l, shape, mask, d, shape.valueDim());
      rows[t] = new LunaCoreGradient.Head();
    }
  }

  private static long rows(AttentionShape s, int rows, int width) {
    return (long) s.problems() * rows * width;
  }

  static GradientCost cost(Luna luna, AttentionShape s, Mask mask, int threads) {
    int l = luna.packLength();
    int d = s.headDim();
    int dv = s.valueDim();
    long floats =
        rows(s, s.querySeqLen(), d)
            + 2 * rows(s, s.keySeqLen(), d)
            + rows(s, s.keySeqLen(), dv)
            + rows(s, l, d);
    return new GradientCost(
        LunaCoreGradient.flops(l, s, d, dv),
        0,
        Float.BYTES * floats
            + threads * (LunaChunk.bytes(l, d, dv) + LunaCoreGradient.bytes(l, s, d, dv)));
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] newGradOut) {
    workers.run(shape.problems(), core);
    add("q", gradQuery);
    add("k", gradKey);
    add("v", gradValue);
    add("pack_keys", gradPackKey);
    add("pack", gradPack);
  }

  private void add(String name, float[] computed) {
    if (wantsGradient(name)) {
      float[] sum = gradient(name);
      kernels.add(sum.length, sum, 0, computed, 0, sum, 0);
    }
  }

  private void core(int worker, int index) {
    LunaCoreGradient.Head head = rows[worker];
    head.index = index;
    head.q = input("q");
    head.k = input("k");
    head.v = input("v");
    head.packKeys = input("pack_keys");
    head.pack = input("pack");
    head.packPitch = d;
    head.packAt = index * l * d;
    head.gradOut = gradOut;
    head.gradQ = gradQuery;
    head.gradK = gradKey;
    head.gradV = gradValue;
    head.gradPackKeys = gradPackKey;
    head.gradPack = gradPack;
    cores[worker].run(head, index / shape.numHeads());
  }
}
