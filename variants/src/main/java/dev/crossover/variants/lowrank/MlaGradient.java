// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.TiledBackward;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// [Mla] with its backward pass: that of softmax attention over the queries, keys and values of the
/// form, then back through the maps.
///
/// ```
/// in parallel, absorbed:                 dy = value_upᵀ ∂out
/// softmax's:                             gradients of queries, keys, values
/// in parallel, for blocks of queries:    ∂q
/// in parallel, for blocks of tokens:     dc and dt, summed over the heads; ∂latent, ∂key_rope
/// in parallel, for each head:            ∂key_up, ∂value_up, summed over the batch
/// ```
final class MlaGradient extends DifferentiablePlan {
  private static final int ROWS = MlaMaps.ROWS;

  private final MlaMaps maps;
  private final AttentionPlan softmax;
  private final TiledBackward backward;
  private final Tensor lse;
  private final Tensors results;
  private final Kernels kernels = Kernels.get();
  private final int r;
  private final int dr;
  private final int dn;
  private final int dv;
  private final int queryBlocks;
  private final int tokenBlocks;

  /// Of the softmax attention's output where that is not the caller's: dy.
  private final float[] gradMixed;

  private final float[] gradQueries;
  private final float[] gradKeys;
  private final float[] gradValues;

  /// `[batch · blocks, r]`.
  private final double[] gradWeights;

  private final float[][] gradLatents;
  private final float[][] gradRotated;
  private final Workers.Task mixed = this::mixed;
  private final Workers.Task query = this::query;
  private final Workers.Task token = this::token;
  private final Workers.Task head = this::head;
  private float @Nullable [] gradQ;
  private float @Nullable [] gradLatent;
  private float @Nullable [] gradKeyRope;
  private boolean weighted;

  MlaGradient(Mla mla, PlanRequest request) {
    super(request);
    boolean absorbed = mla.absorbed(shape, mask);
    AttentionShape inner = mla.inner(shape, absorbed);
    maps = new MlaMaps(kept, scratch, mla, shape, mask, workers, absorbed);
    r = maps.r;
    dr = maps.dr;
    dn = maps.dn;
    dv = maps.dv;
    queryBlocks = maps.queryBlocks;
    tokenBlocks = maps.keyBlocks;
    softmax = part(mla.softmax(shape), inner, mask);
    lse =
        Tensor.of(
            kept.floats(MlaMaps.queryRows(shape)),
            shape.batchSize(),
            shape.numHeads(),
            shape.querySeqLen());
    results = Tensors.NONE.with("lse", lse);
    backward = new TiledBackward(inner, mask, threads(), mla.scaleFor(shape), false, scratch);
    gradMixed = scratch.floats(absorbed ? MlaMaps.queryRows(shape) * r : 0);
    gradQueries = scratch.floats(MlaMaps.queryRows(shape) * inner.headDim());
    gradKeys = scratch.floats(MlaMaps.keyRows(inner) * inner.headDim());
    gradValues = scratch.floats(MlaMaps.keyRows(inner) * inner.valueDim());
    gradWeights = scratch.doubles((long) shape.batchSize() * tokenBlocks * r);
    gradLatents = new float[threads()][];
    gradRotated = new float[threads()][];
    for (int t = 0; t < threads(); t++) {
      gradLatents[t] = scratch.floats((long) ROWS * r);
      gradRotated[t] = scratch.floats(dr);
    }
  }

  /// Bytes that are kept besides those of [MlaMaps].
  static long keptBytes(AttentionShape s) {
    return Float.BYTES * MlaMaps.queryRows(s);
  }

  /// Bytes of scratch besides those of [MlaMaps] and of the softmax attention's forward pass.
  static long bytes(Mla mla, AttentionShape s, Mask mask, boolean absorbed, int threads) {
    AttentionShape inner = mla.inner(s, absorbed);
    long floats =
        MlaMaps.queryRows(s) * (inner.headDim() + (absorbed ? mla.rank(s) : 0))
            + MlaMaps.keyRows(inner) * (inner.headDim() + inner.valueDim())
            + threads * ((long) ROWS * mla.rank(s) + mla.rotated(s));
    long doubles = (long) s.batchSize() * Math.ceilDiv(s.keySeqLen(), ROWS) * mla.rank(s);
    return Float.BYTES * floats
        + Double.BYTES * doubles
        + TiledBackward.bytes(inner, mask, threads, false);
  }

  @Override
  protected void compute(Tensor output) {
    maps.expand(inputs());
    softmax.forward(maps.tensors(), maps.softmaxOutput(output), results);
    maps.project(output);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    gradQ = wanted("q");
    gradLatent = wanted("latent");
    gradKeyRope = wanted("key_rope");
    weighted = wantsGradient("latent_norm_weight");
    if (maps.absorbed) {
      workers.run(shape.problems() * queryBlocks, mixed);
    }
    Tensors read = maps.tensors();
    backward.bind(
        read.tensor(0).data(),
        read.tensor(1).data(),
        read.tensor(2).data(),
        maps.absorbed ? maps.mixed : output(),
        lse.data());
    backward.run(maps.absorbed ? gradMixed : gradOut, gradQueries, gradKeys, gradValues);
    if (gradQ != null) {
      workers.run(shape.problems() * queryBlocks, query);
    }
    if (gradLatent != null || gradKeyRope != null || weighted) {
      Arrays.fill(gradWeights, 0);
      workers.run(shape.batchSize() * tokenBlocks, token);
    }
    if (weighted) {
      float[] sums = gradient("latent_norm_weight");
      for (int e = 0; e < gradWeights.length; e++) {
        sums[e % r] += (float) gradWeights[e];
      }
    }
    if (wantsGradient("key_up") || wantsGradient("value_up")) {
      workers.run(shape.numHeads(), head);
    }
  }

  /// dy = value_upᵀ ∂out of a block of queries.
  private void mixed(int worker, int index) {
    int problem = index / queryBlocks;
    int first = index % queryBlocks * ROWS;
    int count = Math.min(ROWS, shape.querySeqLen() - first);
    int at = problem * shape.querySeqLen() + first;
    int map = problem % shape.numHeads() * dv * r;
    kernels.multiply(
        count, r, dv, gradOut, at * dv, dv, input("value_up"), map, r, gradMixed, at * r, r, false);
  }

  /// ∂q of a block of queries: absorbed key_up du, and the rotation taken back.
  private void query(int worker, int index) {
    float[] sums = gradient("q");
    int problem = index / queryBlocks;
    int first = index % queryBlocks * ROWS;
    int count = Math.min(ROWS, shape.querySeqLen() - first);
    int at = problem * shape.querySeqLen() + first;
    int d = dn + dr;
    int plain = maps.absorbed ? r : dn;
    int from = at * (plain + dr);
    if (maps.absorbed) {
      int map = problem % shape.numHeads() * dn * r;
      kernels.multiplyTransposedB(
          count,
          dn,
          r,
          gradQueries,
          from,
          r + dr,
          input("key_up"),
          map,
          r,
          sums,
          at * d,
          d,
          true,
          maps.work[worker],
          0);
    }
    for (int i = 0; i < count; i++) {
      int row = from + i * (plain + dr);
      int to = (at + i) * d;
      if (!maps.absorbed) {
        kernels.add(dn, sums, to, gradQueries, row, sums, to);
      }
      int position = maps.position(first + i);
      maps.rows[worker].rotateBack(
          input("q"), to + dn, position, gradQueries, row + plain, sums, to + dn);
    }
  }

  /// dc and dt of a block of tokens, and what follows from them.
  private void token(int worker, int index) {
    int batch = index / tokenBlocks;
    int first = index % tokenBlocks * ROWS;
    int count = Math.min(ROWS, shape.keySeqLen() - first);
    latents(worker, batch, first, count);
    for (int j = 0; j < count; j++) {
      int row = batch * shape.keySeqLen() + first + j;
      maps.rows[worker].normBack(
          row, gradLatents[worker], j * r, gradLatent, weighted ? gradWeights : null, index * r);
      float[] sums = gradKeyRope;
      if (sums != null) {
        rotated(worker, batch, first + j);
        maps.rows[worker].keyRopeBack(row, first + j, gradRotated[worker], 0, sums);
      }
    }
  }

  /// dc of a block of tokens.
  private void latents(int worker, int batch, int first, int count) {
    float[] sums = gradLatents[worker];
    if (maps.absorbed) {
      for (int j = 0; j < count; j++) {
        int row = batch * shape.keySeqLen() + first + j;
        kernels.add(r, gradKeys, row * (r + dr), gradValues, row * r, sums, j * r);
      }
      return;
    }
    for (int h = 0; h < shape.numHeads(); h++) {
      int row = (batch * shape.numHeads() + h) * shape.keySeqLen() + first;
      int d = dn + dr;
      float[] keyUp = input("key_up");
      float[] valueUp = input("value_up");
      kernels.multiply(count, r, dn, gradKeys, row * d, d, keyUp, h * dn * r, r, sums, 0, r, h > 0);
      kernels.multiply(
          count, r, dv, gradValues, row * dv, dv, valueUp, h * dv * r, r, sums, 0, r, true);
    }
  }

  /// dt of a token, summed over the heads.
  private void rotated(int worker, int batch, int j) {
    float[] sums = gradRotated[worker];
    int heads = maps.absorbed ? 1 : shape.numHeads();
    int plain = maps.absorbed ? r : dn;
    Arrays.fill(sums, 0);
    for (int h = 0; h < heads; h++) {
      int row = ((batch * heads + h) * shape.keySeqLen() + j) * (plain + dr) + plain;
      kernels.add(dr, sums, 0, gradKeys, row, sums, 0);
    }
  }

  /// ∂key_up and ∂value_up of a head.
  private void head(int worker, int h) {
    float[] gradKeyUp = wanted("key_up");
    float[] gradValueUp = wanted("value_up");
    for (int batch = 0; batch < shape.batchSize(); batch++) {
      int problem = batch * shape.numHeads() + h;
      int first = maps.absorbed ? maps.firstQuery(batch) : 0;
      int count = (maps.absorbed ? shape.querySeqLen() : shape.keySeqLen()) - first;
      int query = problem * shape.querySeqLen() + first;
      int key = problem * shape.keySeqLen();
      int latent = batch * shape.keySeqLen() * (r + dr);
      int d = dn + dr;
      if (gradKeyUp != null && maps.absorbed) {
        float[] q = input("q");
        outer(dn, count, q, query * d, d, gradQueries, query * (r + dr), r + dr, gradKeyUp, h);
      } else if (gradKeyUp != null) {
        outer(dn, count, gradKeys, key * d, d, maps.latents, latent, r + dr, gradKeyUp, h);
      }
      if (gradValueUp != null && maps.absorbed) {
        outer(dv, count, gradOut, query * dv, dv, maps.mixed, query * r, r, gradValueUp, h);
      } else if (gradValueUp != null) {
        outer(dv, count, gradValues, key * dv, dv, maps.latents, latent, r + dr, gradValueUp, h);
      }
    }
  }

  /// `sums_h += Σ x yᵀ` over rows x of n and y of r.
  private void outer(
      int n,
      int count,
      float[] x,
      int xo,
      int ldx,
      float[] y,
      int yo,
      int ldy,
      float[] sums,
      int h) {
    kernels.multiplyTransposedA(n, r, count, x, xo, ldx, y, yo, ldy, sums, h * n * r, r, true);
  }
}
