// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.TiledBackward;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The backward pass of unpack and pack of [LunaLayer], both exact attention:
///
/// ```
/// unpack: ∂q, ∂k, ∂v of Y_X = softmax(q kᵀ / √d) v        ∂Y_P = ∂k W_k + ∂v W_v + ∂out_pack
/// pack:   ∂p_q, ∂c_k, ∂c_v of Y_P = softmax(p_q c_kᵀ / √d_p) c_v        ∂p, ∂c through their maps
/// ```
final class LunaPackedGradient {
  private static final int ROWS = 64;

  private final Kernels kernels = Kernels.get();
  private final Workers workers;
  private final AttentionShape unpackShape;
  private final AttentionShape packShape;
  private final LunaLayerPlan forward;
  private final boolean tied;
  private final int l;
  private final int nk;
  private final int width;
  private final int heads;
  private final int packHeads;
  private final int d;
  private final int dp;
  private final float[] unpackLse;
  private final TiledBackward unpack;
  private final TiledBackward pack;
  private final float[] key;
  private final float[] value;
  private final float[] gradKey;
  private final float[] gradValue;
  private final float[] packQuery;
  private final float[] packed;
  private final float[] gradPackedRows;
  private final float[] gradPacked;
  private final float[] contextKey;
  private final float[] contextValue;
  private final float[] gradPackQuery;
  private final float[] gradContextKey;
  private final float[] gradContextValue;
  private final LunaMapGradient keyMap;
  private final LunaMapGradient valueMap;
  private final LunaMapGradient packQueryMap;
  private final LunaMapGradient contextKeyMap;
  private final LunaMapGradient contextValueMap;
  private final Workers.Task projectPacked = this::projectPacked;
  private final Workers.Task projectContext = this::projectContext;
  private final Workers.Task splitPacked = this::splitPacked;
  private float[] context = new float[0];

  LunaPackedGradient(
      Scratch scratch,
      LunaLayer luna,
      AttentionShape s,
      Mask mask,
      int threads,
      LunaLayerPlan forward,
      float[] unpackLse) {
    this.forward = forward;
    this.unpackLse = unpackLse;
    workers = new Workers(threads);
    tied = luna.tieKeyValue();
    l = luna.packLength();
    nk = s.keySeqLen();
    width = LunaLayer.width(s);
    heads = luna.heads(s);
    packHeads = luna.packHeads(s);
    d = width / heads;
    dp = width / packHeads;
    unpackShape = unpackShape(luna, s);
    packShape = packShape(luna, s);
    unpack = new TiledBackward(unpackShape, Mask.none(), threads, 1 / Math.sqrt(d), false, scratch);
    pack = new TiledBackward(packShape, mask, threads, 1 / Math.sqrt(dp), false, scratch);
    int batches = s.batchSize();
    long packRows = (long) batches * l * width;
    long contextRows = (long) batches * nk * width;
    key = scratch.floats(packRows);
    value = tied ? key : scratch.floats(packRows);
    gradKey = scratch.floats(packRows);
    gradValue = scratch.floats(packRows);
    packQuery = scratch.floats(packRows);
    packed = scratch.floats(packRows);
    gradPackedRows = scratch.floats(packRows);
    gradPacked = scratch.floats(packRows);
    gradPackQuery = scratch.floats(packRows);
    contextKey = scratch.floats(contextRows);
    contextValue = tied ? contextKey : scratch.floats(contextRows);
    gradContextKey = scratch.floats(contextRows);
    gradContextValue = scratch.floats(contextRows);
    int[] unpacked = {batches, width, heads, l};
    int[] packs = {batches, width, packHeads, l};
    int[] contexts = {batches, width, packHeads, nk};
    keyMap = new LunaMapGradient(workers, Mask.none(), unpacked, 0, l, gradKey);
    valueMap = new LunaMapGradient(workers, Mask.none(), unpacked, 0, l, gradValue);
    packQueryMap = new LunaMapGradient(workers, Mask.none(), packs, 0, l, gradPackQuery);
    contextKeyMap = new LunaMapGradient(workers, mask, contexts, 0, nk, gradContextKey);
    contextValueMap = new LunaMapGradient(workers, mask, contexts, 0, nk, gradContextValue);
  }

  private static AttentionShape unpackShape(LunaLayer luna, AttentionShape s) {
    return AttentionShape.of(
            s.batchSize(), luna.heads(s), s.querySeqLen(), LunaLayer.width(s) / luna.heads(s))
        .withSeqLens(s.querySeqLen(), luna.packLength());
  }

  private static AttentionShape packShape(LunaLayer luna, AttentionShape s) {
    return AttentionShape.of(
            s.batchSize(), luna.packHeads(s), s.keySeqLen(), LunaLayer.width(s) / luna.packHeads(s))
        .withSeqLens(luna.packLength(), s.keySeqLen());
  }

  /// Bytes the constructor allocates.
  static long bytes(LunaLayer luna, AttentionShape s, Mask mask, int threads) {
    long row = (long) s.batchSize() * LunaLayer.width(s);
    long copies = luna.tieKeyValue() ? 0 : 1;
    return TiledBackward.bytes(unpackShape(luna, s), Mask.none(), threads, false)
        + TiledBackward.bytes(packShape(luna, s), mask, threads, false)
        + Float.BYTES * row * ((8 + copies) * luna.packLength() + (3 + copies) * s.keySeqLen());
  }

  /// Floating-point operations of both stages.
  static double flops(LunaLayer luna, AttentionShape s, Mask mask) {
    return TiledBackward.flops(unpackShape(luna, s), Mask.none())
        + TiledBackward.flops(packShape(luna, s), mask);
  }

  /// From the gradient of the attended rows to those of the queries, which are written, and to
  /// those of pack, context and all maps between.
  void run(
      float[] query,
      float[] attended,
      float[] gradAttended,
      float[] gradQuery,
      float[] newContext,
      LunaLayerGradient plan) {
    context = newContext;
    int batches = packShape.batchSize();
    workers.run(batches * heads, projectPacked);
    unpack.bind(query, key, value, attended, unpackLse);
    unpack.run(gradAttended, gradQuery, gradKey, gradValue);
    float @Nullable [] upstream = plan.packedGradient();
    if (upstream == null) {
      Arrays.fill(gradPackedRows, 0);
    } else {
      System.arraycopy(upstream, 0, gradPackedRows, 0, upstream.length);
    }
    String keyName = tied ? "context" : "key";
    if (tied) {
      kernels.add(gradKey.length, gradKey, 0, gradValue, 0, gradKey, 0);
    } else {
      plan.run(valueMap, "value", forward.packed, gradPackedRows);
    }
    plan.run(keyMap, keyName, forward.packed, gradPackedRows);
    workers.run(batches * packHeads, splitPacked);
    workers.run(batches * packHeads * Math.ceilDiv(nk, ROWS), projectContext);
    pack.bind(packQuery, contextKey, contextValue, packed, forward.partLse);
    pack.run(gradPacked, gradPackQuery, gradContextKey, gradContextValue);
    plan.run(packQueryMap, "pack_query", plan.pack(), plan.packGradient());
    String contextName = tied ? "pack_context" : "pack_key";
    if (tied) {
      int count = gradContextKey.length;
      kernels.add(count, gradContextKey, 0, gradContextValue, 0, gradContextKey, 0);
    } else {
      plan.run(contextValueMap, "pack_value", context, plan.contextGradient());
    }
    plan.run(contextKeyMap, contextName, context, plan.contextGradient());
  }

  /// Keys and values of the unpack stage of one head.
  private void projectPacked(int worker, int head) {
    int row = head / heads * l * width;
    int column = head % heads * d;
    int to = head * l * d;
    LunaMaps maps = forward.maps;
    String keyName = tied ? "context" : "key";
    maps.apply(keyName, l, forward.packed, row, column, d, key, to, d);
    if (!tied) {
      maps.apply("value", l, forward.packed, row, column, d, value, to, d);
    }
  }

  /// Pack queries, packed rows and their gradients of one pack head.
  private void splitPacked(int worker, int head) {
    for (int a = 0; a < l; a++) {
      int from = (head / packHeads * l + a) * width + head % packHeads * dp;
      int to = (head * l + a) * dp;
      System.arraycopy(forward.packQueries, from, packQuery, to, dp);
      System.arraycopy(forward.packed, from, packed, to, dp);
      System.arraycopy(gradPackedRows, from, gradPacked, to, dp);
    }
  }

  /// Keys and values of the pack stage, a block of rows of one head.
  private void projectContext(int worker, int index) {
    int blocks = Math.ceilDiv(nk, ROWS);
    int first = index % blocks * ROWS;
    int count = Math.min(ROWS, nk - first);
    int head = index / blocks;
    int row = (head / packHeads * nk + first) * width;
    int column = head % packHeads * dp;
    int to = (head * nk + first) * dp;
    LunaMaps maps = forward.maps;
    String keyName = tied ? "pack_context" : "pack_key";
    maps.apply(keyName, count, context, row, column, dp, contextKey, to, dp);
    if (!tied) {
      maps.apply("pack_value", count, context, row, column, dp, contextValue, to, dp);
    }
  }
}
