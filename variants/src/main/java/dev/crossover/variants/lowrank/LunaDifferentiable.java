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
import dev.crossover.variants.lowrank.Luna.Level;
import org.jspecify.annotations.Nullable;

/// [Luna] with its backward pass: back through the output map, then through unpack and pack
/// ([LunaPackedGradient]) or the causal core ([LunaCoreGradient]), then through the other maps.
///
/// Projected rows lie head by head here, `[batch, heads, rows, D / heads]`.
final class LunaDifferentiable extends DifferentiablePlan {
  private static final int ROWS = 64;

  private final Luna luna;
  private final Kernels kernels = Kernels.get();
  private final boolean module;
  private final boolean causal = mask.isCausal();
  private final boolean tied;
  private final int l;
  private final int width = Luna.width(shape);
  private final int heads;
  private final int d;
  private final int dv;
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final LunaPlan forward;
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
  private final @Nullable LunaMapGradient queryMap;
  private final @Nullable LunaMapGradient packQueryMap;
  private final @Nullable LunaMapGradient packContextMap;
  private final @Nullable LunaMapGradient keyMap;
  private final @Nullable LunaMapGradient valueMap;
  private float[] context = {};

  LunaDifferentiable(Luna luna, PlanRequest request) {
    super(request);
    this.luna = luna;
    module = luna.level() == Level.MODULE;
    tied = luna.tieKeyValue();
    l = luna.packLength();
    heads = luna.heads(shape);
    d = width / heads;
    dv = module ? d : shape.valueDim();
    Sizes sizes = new Sizes(luna, shape, mask);
    attended = kept.floats(sizes.attended());
    float[] lse = kept.floats(causal ? 0 : (long) shape.batchSize() * heads * nq);
    forward = new LunaPlan(luna, request, new LunaPlan.Kept(kept, lse, attended));
    scratch.include(forward.scratchBytes());
    query = scratch.floats(sizes.moduleQueries());
    gradAttended = scratch.floats(sizes.moduleQueries());
    gradQuery = scratch.floats(sizes.queries());
    packed =
        causal ? null : new LunaPackedGradient(scratch, luna, shape, mask, threads(), forward, lse);
    key = scratch.floats(sizes.moduleKeys());
    packKey = scratch.floats(sizes.moduleKeys());
    value = tied ? key : scratch.floats(sizes.moduleKeys());
    gradKey = scratch.floats(sizes.keys());
    gradPackKey = scratch.floats(sizes.keys());
    gradValue = scratch.floats(sizes.values());
    gradPack = scratch.floats(sizes.pack());
    cores = new LunaCoreGradient[causal ? threads() : 0];
    rows = new LunaCoreGradient.Head[cores.length];
    for (int t = 0; t < cores.length; t++) {
      cores[t] = new LunaCoreGradient(scratch, luna, shape, mask, d, dv);
      rows[t] = new LunaCoreGradient.Head();
    }
    int reach = causal && nq > 0 ? mask.causalLimit(nq - 1, nq, nk) : nk;
    int first = 0;
    while (causal && first < nq && mask.causalLimit(first, nq, nk) == 0) {
      first++;
    }
    boolean maps = module && causal;
    queryMap = module ? map(nq, Mask.none(), first, nq, gradQuery) : null;
    packQueryMap = maps ? map(l, Mask.none(), 0, l, gradPack) : null;
    packContextMap = maps ? map(nk, mask, 0, reach, gradPackKey) : null;
    keyMap = maps ? map(nk, mask, 0, reach, gradKey) : null;
    valueMap = maps && !tied ? map(nk, mask, 0, reach, gradValue) : null;
  }

  private LunaMapGradient map(int rows, Mask real, int first, int end, float[] gradient) {
    int[] sizes = {shape.batchSize(), width, heads, rows};
    return new LunaMapGradient(workers, real, sizes, first, end, gradient);
  }

  /// Numbers of floats of the arrays.
  private record Sizes(Luna luna, AttentionShape s, Mask mask) {
    private boolean module() {
      return luna.level() == Level.MODULE;
    }

    private long modelRows(long rows) {
      return s.batchSize() * rows * Luna.width(s);
    }

    long attended() {
      return module() ? queries() : 0;
    }

    long moduleQueries() {
      return module() ? queries() : 0;
    }

    long queries() {
      return modelRows(s.querySeqLen());
    }

    long keys() {
      return mask.isCausal() ? modelRows(s.keySeqLen()) : 0;
    }

    long moduleKeys() {
      return module() ? keys() : 0;
    }

    long values() {
      if (!mask.isCausal()) {
        return 0;
      }
      int dv = module() ? s.headDim() : s.valueDim();
      return (long) s.problems() * s.keySeqLen() * dv;
    }

    long pack() {
      return mask.isCausal() ? modelRows(luna.packLength()) : 0;
    }
  }

  static GradientCost cost(Luna luna, AttentionShape s, Mask mask, int threads) {
    Sizes sizes = new Sizes(luna, s, mask);
    boolean module = luna.level() == Level.MODULE;
    long width = Luna.width(s);
    int d = Luna.width(s) / luna.heads(s);
    int dv = module ? d : s.valueDim();
    long floats =
        2 * sizes.moduleQueries()
            + sizes.queries()
            + (luna.tieKeyValue() ? 2 : 3) * sizes.moduleKeys()
            + 2 * sizes.keys()
            + sizes.values()
            + sizes.pack();
    boolean causal = mask.isCausal();
    long lse = causal ? 0 : (long) s.batchSize() * luna.heads(s) * s.querySeqLen();
    long lasting = LunaPlan.lastingBytes(luna, s, mask);
    long core =
        causal
            ? threads * LunaCoreGradient.bytes(luna, s, d, dv)
            : LunaPackedGradient.bytes(luna, s, mask, threads);
    double maps = 2.0 * s.batchSize() * width * width;
    double mapped =
        2.0 * s.querySeqLen()
            + luna.packLength() * (causal ? 1.0 : 3.0)
            + s.keySeqLen() * (luna.tieKeyValue() ? 2.0 : 3.0);
    double chunk = LunaChunk.ROWS;
    double perPair =
        causal
            ? s.problems()
                * (double) luna.packLength()
                * (s.querySeqLen() * (8.0 * d + 8.0 * dv + 8 * chunk)
                    + s.keySeqLen() * (14.0 * d + 8.0 * dv))
            : LunaPackedGradient.flops(luna, s, mask);
    return new GradientCost(
        (module ? 3 * maps * mapped : 0) + perPair,
        lasting + Float.BYTES * (sizes.attended() + lse),
        LunaPlan.scratchBytes(luna, s, mask, threads) - lasting + Float.BYTES * floats + core);
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
    if (module) {
      context = input(hasInput("context") ? "context" : "x");
      int blocks = Math.ceilDiv(nq, ROWS);
      workers.run(shape.batchSize() * heads * blocks, throughOutput);
      workers.run(heads, outputMap);
      workers.run(shape.batchSize() * heads * blocks, projectQuery);
    }
    if (causal) {
      int blocks = Math.ceilDiv(nk, ROWS);
      workers.run(module ? shape.batchSize() * heads * blocks : 0, projectContext);
      workers.run(shape.batchSize() * heads, core);
    } else if (packed != null) {
      packed.run(query, attended, gradAttended, gradQuery, context, this);
    }
    if (module) {
      mapGradients();
    } else {
      add("q", gradQuery);
      add("k", gradKey);
      add("v", gradValue);
      add("pack_keys", gradPackKey);
      add("pack", gradPack);
    }
  }

  private void add(String name, float[] computed) {
    if (wantsGradient(name)) {
      float[] sum = gradient(name);
      kernels.add(sum.length, sum, 0, computed, 0, sum, 0);
    }
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
    head.q = module ? query : input("q");
    head.k = module ? key : input("k");
    head.v = module ? value : input("v");
    head.packKeys = module ? packKey : input("pack_keys");
    head.pack = module ? forward.packQueries : input("pack");
    head.packPitch = module ? width : d;
    head.packAt = module ? index / heads * l * width + index % heads * d : index * l * d;
    head.gradOut = module ? gradAttended : gradOut;
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
