// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.lowrank.LunaCoreGradient;
import org.jspecify.annotations.Nullable;

/// [LunaLayer] with its backward pass: back through the output map, then through unpack and pack
/// ([LunaPackedGradient]) or the causal core ([LunaCoreGradient]), then through the other maps.
///
/// Projected rows lie head by head here, `[batch, heads, rows, D / heads]`.
final class LunaLayerGradient extends DifferentiablePlan {
  private static final int ROWS = 64;

  private final LunaLayer luna;
  private final Kernels kernels = Kernels.get();
  private final boolean causal = mask.isCausal();
  private final boolean tied;
  private final int l;
  private final int width = LunaLayer.width(shape);
  private final int heads;
  private final int d;
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final LunaLayerPlan forward;
  private final float[] attended;
  private final @Nullable LunaPackedGradient packed;
  private final LunaCoreGradient[] cores;
  private final LunaCoreGradient.Head[] rows;
  private final float[] query;
  private final float[] key;
  private final float[] value;
  private final float[] packKey;
  private final float[] gradAttended;
  private final float[] gradQuery;
  private final float[] gradKey;
  private final float[] gradValue;
  private final float[] gradPackKey;
  private final float[] gradPack;
  private final Workers.Task throughOutput = this::throughOutput;
  private final Workers.Task outputMap = this::outputMap;
  private final Workers.Task projectQuery = this::projectQuery;
  private final Workers.Task projectContext = this::projectContext;
  private final Workers.Task core = this::core;
  private final LunaMapGradient queryMap;
  private final @Nullable LunaMapGradient packQueryMap;
  private final @Nullable LunaMapGradient packContextMap;
  private final @Nullable LunaMapGradient keyMap;
  private final @Nullable LunaMapGradient valueMap;
  private float[] context = {};

  LunaLayerGradient(LunaLayer luna, PlanRequest request) {
    super(request);
    this.luna = luna;
    tied = luna.tieKeyValue();
    l = luna.packLength();
    heads = luna.heads(shape);
    d = width / heads;
    Sizes sizes = new Sizes(luna, shape, mask);
    attended = kept.floats(sizes.queries());
    float[] lse = kept.floats(causal ? 0 : (long) shape.batchSize() * heads * nq);
    forward = new LunaLayerPlan(luna, request, new LunaLayerPlan.Kept(kept, lse, attended));
    scratch.include(forward.scratchBytes());
    query = scratch.floats(sizes.queries());
    gradAttended = scratch.floats(sizes.queries());
    gradQuery = scratch.floats(sizes.queries());
    packed =
        causal ? null : new LunaPackedGradient(scratch, luna, shape, mask, threads(), forward, lse);
    key = scratch.floats(sizes.keys());
    packKey = scratch.floats(sizes.keys());
    value = tied ? key : scratch.floats(sizes.keys());
    gradKey = scratch.floats(sizes.keys());
    gradPackKey = scratch.floats(sizes.keys());
    gradValue = scratch.floats(sizes.keys());
    gradPack = scratch.floats(sizes.pack());
    cores = new LunaCoreGradient[causal ? threads() : 0];
    rows = new LunaCoreGradient.Head[cores.length];
    for (int t = 0; t < cores.length; t++) {
      cores[t] =
          new LunaCoreGradient(scratch, luna.activation(), l, luna.headed(shape), mask, d, d);
      rows[t] = new LunaCoreGradient.Head();
    }
    int reach = causal && nq > 0 ? mask.causalLimit(nq - 1, nq, nk) : nk;
    int first = 0;
    while (causal && first < nq && mask.causalLimit(first, nq, nk) == 0) {
      first++;
    }
    queryMap = map(nq, Mask.none(), first, nq, gradQuery);
    packQueryMap = causal ? map(l, Mask.none(), 0, l, gradPack) : null;
    packContextMap = causal ? map(nk, mask, 0, reach, gradPackKey) : null;
    keyMap = causal ? map(nk, mask, 0, reach, gradKey) : null;
    valueMap = causal && !tied ? map(nk, mask, 0, reach, gradValue) : null;
  }

  private LunaMapGradient map(int rows, Mask real, int first, int end, float[] gradient) {
    int[] sizes = {shape.batchSize(), width, heads, rows};
    return new LunaMapGradient(workers, real, sizes, first, end, gradient);
  }

  /// Numbers of floats of the arrays.
  private record Sizes(LunaLayer luna, AttentionShape s, Mask mask) {
    private long modelRows(long rows) {
      return s.batchSize() * rows * LunaLayer.width(s);
    }

    long queries() {
      return modelRows(s.querySeqLen());
    }

    long keys() {
      return mask.isCausal() ? modelRows(s.keySeqLen()) : 0;
    }

    long pack() {
      return mask.isCausal() ? modelRows(luna.packLength()) : 0;
    }
  }

  static GradientCost cost(LunaLayer luna, AttentionShape s, Mask mask, int threads) {
    Sizes sizes = new Sizes(luna, s, mask);
    long width = LunaLayer.width(s);
    int d = LunaLayer.width(s) / luna.heads(s);
    AttentionShape heads = luna.headed(s);
    long floats = 3 * sizes.queries() + (luna.tieKeyValue() ? 5 : 6) * sizes.keys() + sizes.pack();
    boolean causal = mask.isCausal();
    long lse = causal ? 0 : (long) s.batchSize() * luna.heads(s) * s.querySeqLen();
    long lasting = LunaLayerPlan.lastingBytes(luna, s, mask);
    long core =
        causal
            ? threads * LunaCoreGradient.bytes(luna.packLength(), heads, d, d)
            : LunaPackedGradient.bytes(luna, s, mask, threads);
    double maps = 2.0 * s.batchSize() * width * width;
    double mapped =
        2.0 * s.querySeqLen()
            + luna.packLength() * (causal ? 1.0 : 3.0)
            + s.keySeqLen() * (luna.tieKeyValue() ? 2.0 : 3.0);
    double perPair =
        causal
            ? LunaCoreGradient.flops(luna.packLength(), heads, d, d)
            : LunaPackedGradient.flops(luna, s, mask);
    return new GradientCost(
        3 * maps * mapped + perPair,
        lasting + Float.BYTES * (sizes.queries() + lse),
        LunaLayerPlan.scratchBytes(luna, s, mask, threads) - lasting + Float.BYTES * floats + core);
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
    if (wantsResult("out_pack")) {
      float[] source = causal ? input("pack") : forward.packed;
      System.arraycopy(source, 0, result("out_pack"), 0, shape.batchSize() * l * width);
    }
  }

  @Override
  protected void differentiate(float[] gradOut) {
    context = input(hasInput("context") ? "context" : "x");
    int blocks = Math.ceilDiv(nq, ROWS);
    workers.run(shape.batchSize() * heads * blocks, throughOutput);
    workers.run(heads, outputMap);
    workers.run(shape.batchSize() * heads * blocks, projectQuery);
    if (causal) {
      workers.run(shape.batchSize() * heads * Math.ceilDiv(nk, ROWS), projectContext);
      workers.run(shape.batchSize() * heads, core);
    } else if (packed != null) {
      packed.run(query, attended, gradAttended, gradQuery, context, this);
    }
    mapGradients();
  }

  /// Gradients of the rows that a block of a head attended with: ∂Y_X = ∂out W_o.
  private void throughOutput(int worker, int index) {
    int blocks = Math.ceilDiv(nq, ROWS);
    int first = index % blocks * ROWS;
    int count = Math.min(ROWS, nq - first);
    int batch = index / blocks / heads;
    int h = index / blocks % heads;
    int row = ((batch * heads + h) * nq + first) * d;
    kernels.multiply(
        count,
        d,
        width,
        gradOut,
        (batch * nq + first) * width,
        width,
        input("output_weight"),
        h * d,
        width,
        gradAttended,
        row,
        d,
        false);
  }

  /// A head's columns of ∂W_o = ∂outᵀ Y_X, and of ∂b_o.
  private void outputMap(int worker, int h) {
    for (int batch = 0; batch < shape.batchSize(); batch++) {
      int out = batch * nq * width;
      if (wantsGradient("output_weight")) {
        kernels.multiplyTransposedA(
            width,
            d,
            nq,
            gradOut,
            out,
            width,
            attended,
            (batch * heads + h) * nq * d,
            d,
            gradient("output_weight"),
            h * d,
            width,
            true);
      }
      for (int i = 0; wantsGradient("output_bias") && i < nq; i++) {
        float[] sum = gradient("output_bias");
        kernels.add(d, sum, h * d, gradOut, out + i * width + h * d, sum, h * d);
      }
    }
  }

  private void projectQuery(int worker, int index) {
    project("query", input("x"), nq, index, query);
  }

  private void projectContext(int worker, int index) {
    project("pack_context", context, nk, index, packKey);
    project(tied ? "context" : "key", context, nk, index, key);
    if (!tied) {
      project("value", context, nk, index, value);
    }
  }

  /// A block of rows of a head's columns of a map.
  private void project(String map, float[] x, int n, int index, float[] y) {
    int blocks = Math.ceilDiv(n, ROWS);
    int first = index % blocks * ROWS;
    int head = index / blocks;
    int row = (head / heads * n + first) * width;
    int count = Math.min(ROWS, n - first);
    int to = (head * n + first) * d;
    forward.maps.apply(map, count, x, row, head % heads * d, d, y, to, d);
  }

  private void core(int worker, int index) {
    LunaCoreGradient.Head head = rows[worker];
    head.index = index;
    head.q = query;
    head.k = key;
    head.v = value;
    head.packKeys = packKey;
    head.pack = forward.packQueries;
    head.packPitch = width;
    head.packAt = index / heads * l * width + index % heads * d;
    head.gradOut = gradAttended;
    head.gradQ = gradQuery;
    head.gradK = gradKey;
    head.gradV = gradValue;
    head.gradPackKeys = gradPackKey;
    head.gradPack = gradPack;
    cores[worker].run(head, index / heads);
  }

  /// Back through the maps of the inputs.
  private void mapGradients() {
    float[] gradContext = contextGradient();
    run(queryMap, "query", input("x"), wanted("x"));
    if (!causal) {
      return;
    }
    run(packQueryMap, "pack_query", input("pack"), wanted("pack"));
    run(packContextMap, "pack_context", context, gradContext);
    if (tied) {
      kernels.add(gradKey.length, gradKey, 0, gradValue, 0, gradKey, 0);
    } else {
      run(valueMap, "value", context, gradContext);
    }
    run(keyMap, tied ? "context" : "key", context, gradContext);
    if (hasResultGradient("out_pack") && wantsGradient("pack")) {
      float[] sum = gradient("pack");
      kernels.add(sum.length, sum, 0, resultGradient("out_pack"), 0, sum, 0);
    }
  }

  /// Where the gradient of the context is added: that of x where x is the context; null where it is
  /// not wanted.
  float @Nullable [] contextGradient() {
    return wanted(hasInput("context") ? "context" : "x");
  }

  float @Nullable [] packGradient() {
    return wanted("pack");
  }

  /// Back through one map.
  void run(@Nullable LunaMapGradient map, String name, float[] x, float @Nullable [] gradX) {
    if (map != null) {
      int index = forward.maps.index(name);
      String weight = forward.maps.weightName(index);
      map.run(input(weight), x, gradX, wanted(weight), wanted(forward.maps.biasName(index)));
    }
  }

  /// The pack, as it was given.
  float[] pack() {
    return input("pack");
  }

  /// The upstream gradient of the packed sequence; null if there is none.
  float @Nullable [] packedGradient() {
    return hasResultGradient("out_pack") ? resultGradient("out_pack") : null;
  }
}
