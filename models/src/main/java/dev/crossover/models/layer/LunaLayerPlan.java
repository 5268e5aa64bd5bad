// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxMerge;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.lowrank.LunaChunk;
import dev.crossover.variants.lowrank.LunaHeads;
import org.jspecify.annotations.Nullable;

/// The steps of [LunaLayer]: pack and unpack, or the causal form head by head.
///
/// Projected rows live in blocks only: a head's keys are projected in passing.
final class LunaLayerPlan extends LunaHeads {
  private static final int KEYS = 256;
  private static final int LEAST_KEYS_PER_SEGMENT = 2048;
  private static final int MOST_SEGMENTS = 16;

  private final LunaLayer luna;
  private final boolean causal = mask.isCausal();
  private final int rows = SoftmaxTile.preferredRows();
  private final int width = LunaLayer.width(shape);
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final int l;
  private final int heads;
  private final int packHeads;
  private final @Nullable Kept keep;

  /// The maps with the weights of the last pass.
  final LunaMaps maps;

  /// p W_pq, `[batch, pack_length, D]`.
  final float[] packQueries;

  private final int segmentKeys;
  private final int segments;

  /// Y_P, `[batch, pack_length, D]`.
  final float[] packed;

  private final float[] parts;

  /// Log-sum-exp of the pack stage, first `[batch, packHeads, pack_length]` of the whole.
  final float[] partLse;

  private final float[] packedKeys;
  private final float[] packedValues;
  private final KeyPanels[] packedPanels;
  private final SoftmaxTile[] packTiles;
  private final SoftmaxTile[] unpackTiles;
  private final KeyPanels[] contextPanels;
  private final float[][] contextKeys = new float[threads()][];
  private final float[][] contextValues = new float[threads()][];
  private final float[][] block = new float[threads()][];
  private final Workers.Task takeMap = this::takeMap;
  private final Workers.Task packQuery = this::packQuery;
  private final Workers.Task pack = this::pack;
  private final Workers.Task packedKey = this::packedKey;
  private final Workers.Task unpack = this::unpack;
  private final Workers.Task outputMap = this::outputMap;
  private float[] context = new float[0];

  /// What a forward pass keeps for a backward pass besides the packed sequence.
  ///
  /// @param scratch allocates what is kept
  /// @param lse log-sum-exp of the unpack stage, `[batch, heads, nq]`
  /// @param attended rows before the output map, `[batch, heads, nq, D / heads]`
  record Kept(Scratch scratch, float[] lse, float[] attended) {}

  LunaLayerPlan(LunaLayer luna, PlanRequest request) {
    this(luna, request, null);
  }

  /// @param keep what to keep for a backward pass; null: nothing
  LunaLayerPlan(LunaLayer luna, PlanRequest request, @Nullable Kept keep) {
    super(
        request,
        luna.activation(),
        luna.packLength(),
        luna.heads(request.shape()),
        LunaLayer.width(request.shape()) / luna.heads(request.shape()),
        LunaLayer.width(request.shape()) / luna.heads(request.shape()),
        LunaLayer.width(request.shape()));
    this.luna = luna;
    this.keep = keep;
    Scratch lasting = keep == null ? scratch : keep.scratch;
    l = luna.packLength();
    heads = luna.heads(shape);
    packHeads = luna.packHeads(shape);
    maps = new LunaMaps(scratch, luna, width);
    int packRows = shape.batchSize() * l;
    packQueries = lasting.floats((long) packRows * width);
    int d = width / heads;
    int unpackRows = causal ? 0 : packRows;
    segmentKeys = segmentKeys(shape);
    segments = Math.max(1, Math.ceilDiv(nk, segmentKeys));
    packed = lasting.floats((long) unpackRows * width);
    parts = scratch.floats((segments - 1L) * unpackRows * width);
    partLse = lasting.floats((long) segments * unpackRows * packHeads);
    packedKeys = scratch.floats((long) unpackRows * width);
    packedValues = luna.tieKeyValue() ? packedKeys : scratch.floats((long) unpackRows * width);
    packedPanels = new KeyPanels[causal ? 0 : shape.batchSize() * heads];
    for (int p = 0; p < packedPanels.length; p++) {
      packedPanels[p] = new KeyPanels(scratch, l, d);
    }
    int tiles = causal ? 0 : threads();
    packTiles = new SoftmaxTile[tiles];
    unpackTiles = new SoftmaxTile[tiles];
    contextPanels = new KeyPanels[tiles];
    int dp = width / packHeads;
    for (int t = 0; t < tiles; t++) {
      packTiles[t] = new SoftmaxTile(scratch, l, dp, dp);
      unpackTiles[t] = new SoftmaxTile(scratch, rows, d, d);
      contextPanels[t] = new KeyPanels(scratch, KEYS, dp);
      contextKeys[t] = scratch.floats((long) KEYS * dp);
      contextValues[t] = luna.tieKeyValue() ? contextKeys[t] : scratch.floats((long) KEYS * dp);
    }
    for (int t = 0; t < threads(); t++) {
      block[t] = scratch.floats((long) rows * width);
    }
  }

  /// What the constructor allocates.
  static long scratchBytes(LunaLayer luna, AttentionShape s, Mask mask, int threads) {
    int width = LunaLayer.width(s);
    int d = width / luna.heads(s);
    int dp = width / luna.packHeads(s);
    int l = luna.packLength();
    long copies = luna.tieKeyValue() ? 1 : 2;
    long packRow = Float.BYTES * (long) s.batchSize() * l * width;
    long blocks = Float.BYTES * (long) SoftmaxTile.preferredRows() * width;
    long mapped = LunaMaps.bytes(luna, width) + packRow + threads * blocks;
    if (mask.isCausal()) {
      return mapped + threads * LunaChunk.bytes(l, d, d);
    }
    long perThread =
        SoftmaxTile.bytes(l, dp, dp)
            + SoftmaxTile.bytes(SoftmaxTile.preferredRows(), d, d)
            + KeyPanels.bytes(KEYS, dp)
            + copies * Float.BYTES * KEYS * dp;
    long panels = (long) s.batchSize() * luna.heads(s) * KeyPanels.bytes(l, d);
    long segments = Math.max(1, Math.ceilDiv(s.keySeqLen(), segmentKeys(s)));
    long lse = Float.BYTES * segments * s.batchSize() * l * luna.packHeads(s);
    return mapped + (segments + copies) * packRow + lse + panels + threads * perThread;
  }

  /// What the constructor takes from [Kept#scratch]: pack queries, packed sequence and its
  /// log-sum-exp.
  static long lastingBytes(LunaLayer luna, AttentionShape s, Mask mask) {
    long packRows = (long) s.batchSize() * luna.packLength();
    long width = LunaLayer.width(s);
    long segments = Math.max(1, Math.ceilDiv(s.keySeqLen(), segmentKeys(s)));
    long unpack = mask.isCausal() ? 0 : width + segments * luna.packHeads(s);
    return Float.BYTES * packRows * (width + unpack);
  }

  /// Context tokens that one task packs: a rule of the shape, so that few heads fill many threads
  /// and results do not depend on their number.
  static int segmentKeys(AttentionShape s) {
    return Math.max(LEAST_KEYS_PER_SEGMENT, Math.ceilDiv(s.keySeqLen(), MOST_SEGMENTS));
  }

  @Override
  protected void compute(Tensor output) {
    context = input(hasInput("context") ? "context" : "x");
    workers.run(maps.count(), takeMap);
    workers.run(shape.batchSize(), packQuery);
    if (causal) {
      runHeads();
      workers.run(shape.batchSize() * Math.ceilDiv(nq, rows), outputMap);
    } else {
      workers.run(shape.batchSize() * packHeads * segments, pack);
      workers.run(shape.batchSize(), packedKey);
      workers.run(shape.batchSize() * Math.ceilDiv(nq, rows), unpack);
    }
    if (wantsResult("out_pack")) {
      float[] source = causal ? input("pack") : packed;
      System.arraycopy(source, 0, result("out_pack"), 0, shape.batchSize() * l * width);
    }
  }

  private void takeMap(int worker, int map) {
    maps.take(map, input(maps.weightName(map)), input(maps.biasName(map)));
  }

  /// p W_pq.
  private void packQuery(int worker, int batch) {
    int first = batch * l * width;
    maps.apply("pack_query", l, input("pack"), first, 0, width, packQueries, first, width);
  }

  /// Y_P of one pack head over one segment of the context: the pack queries read its real tokens.
  private void pack(int worker, int index) {
    int segment = index % segments;
    int batch = index / segments / packHeads;
    int head = index / segments % packHeads;
    int dp = width / packHeads;
    int column = head * dp;
    int first = batch * l * width + column;
    SoftmaxTile tile = packTiles[worker];
    tile.begin(packQueries, first, width, l, (float) (1 / Math.sqrt(dp)));
    int begin = segment * segmentKeys;
    int end = Math.min(nk, begin + segmentKeys);
    for (int from = mask.nextReal(batch, begin, end); from < end; ) {
      int to = mask.nextPadding(batch, from, Math.min(end, from + KEYS));
      int row = (batch * nk + from) * width;
      String keyMap = luna.tieKeyValue() ? "pack_context" : "pack_key";
      maps.apply(keyMap, to - from, context, row, column, dp, contextKeys[worker], 0, dp);
      if (!luna.tieKeyValue()) {
        maps.apply("pack_value", to - from, context, row, column, dp, contextValues[worker], 0, dp);
      }
      contextPanels[worker].pack(contextKeys[worker], 0, dp, to - from, 0);
      tile.attend(contextPanels[worker], contextValues[worker], 0, dp, 0, to - from);
      from = mask.nextReal(batch, to, end);
    }
    float[] target = segment == 0 ? packed : parts;
    tile.finish(
        target, partAt(segment, batch) + column, width, partLse, lseAt(segment, batch, head));
  }

  private int partAt(int segment, int batch) {
    return (Math.max(0, segment - 1) * shape.batchSize() + batch) * l * width;
  }

  private int lseAt(int segment, int batch, int head) {
    return ((segment * shape.batchSize() + batch) * packHeads + head) * l;
  }

  /// Merges the segments of Y_P of one batch entry into the first.
  private void mergeSegments(int batch) {
    int dp = width / packHeads;
    for (int row = 0; row < packHeads * l; row++) {
      int at = row % l * width + row / l * dp;
      int lse = lseAt(0, batch, 0) + row;
      for (int segment = 1; segment < segments; segment++) {
        partLse[lse] =
            SoftmaxMerge.merge(
                dp,
                packed,
                partAt(0, batch) + at,
                partLse[lse],
                parts,
                partAt(segment, batch) + at,
                partLse[lseAt(segment, batch, 0) + row]);
      }
    }
  }

  /// Y_P W_k and Y_P W_v of one batch entry.
  private void packedKey(int worker, int batch) {
    mergeSegments(batch);
    int first = batch * l * width;
    String keyMap = luna.tieKeyValue() ? "context" : "key";
    maps.apply(keyMap, l, packed, first, 0, width, packedKeys, first, width);
    if (!luna.tieKeyValue()) {
      maps.apply("value", l, packed, first, 0, width, packedValues, first, width);
    }
    int d = width / heads;
    for (int h = 0; h < heads; h++) {
      packedPanels[batch * heads + h].pack(packedKeys, first + h * d, width, l, 0);
    }
  }

  /// A block of queries reads the packed sequence, head by head, and is mapped to the output.
  private void unpack(int worker, int index) {
    int blocks = Math.ceilDiv(nq, rows);
    int batch = index / blocks;
    int first = index % blocks * rows;
    int count = Math.min(rows, nq - first);
    int row = (batch * nq + first) * width;
    int d = width / heads;
    float[] query = block[worker];
    maps.apply("query", count, input("x"), row, 0, width, query, 0, width);
    for (int h = 0; h < heads; h++) {
      unpackTiles[worker].begin(query, h * d, width, count, (float) (1 / Math.sqrt(d)));
      unpackTiles[worker].attend(
          packedPanels[batch * heads + h], packedValues, batch * l * width + h * d, width, 0, l);
      finish(worker, batch, h, first, count);
    }
    maps.apply("output", count, query, 0, 0, width, out, row, width);
  }

  private void finish(int worker, int batch, int h, int first, int count) {
    int d = width / heads;
    float[] query = block[worker];
    if (keep == null) {
      unpackTiles[worker].finish(query, h * d, width);
      return;
    }
    int row = (batch * heads + h) * nq + first;
    unpackTiles[worker].finish(query, h * d, width, keep.lse, row);
    keepRows(query, batch, h, first, count);
  }

  /// Keeps a head's columns of a block of rows before the output map.
  private void keepRows(float[] rowsOfHeads, int batch, int h, int first, int count) {
    int d = width / heads;
    for (int r = 0; keep != null && r < count; r++) {
      int to = ((batch * heads + h) * nq + first + r) * d;
      System.arraycopy(rowsOfHeads, r * width + h * d, keep.attended, to, d);
    }
  }

  @Override
  protected void begin(LunaChunk chunk, int batch, int h) {
    chunk.begin(packQueries, batch * l * width + h * (width / heads), width);
  }

  @Override
  protected void takeTokens(LunaChunk chunk, int batch, int h, int from, int tokens) {
    int d = width / heads;
    int row = (batch * nk + from) * width;
    boolean tied = luna.tieKeyValue();
    maps.apply("pack_context", tokens, context, row, h * d, d, chunk.packKey, 0, d);
    maps.apply(tied ? "context" : "key", tokens, context, row, h * d, d, chunk.key, 0, d);
    if (tied) {
      System.arraycopy(chunk.key, 0, chunk.value, 0, tokens * d);
    } else {
      maps.apply("value", tokens, context, row, h * d, d, chunk.value, 0, d);
    }
  }

  @Override
  protected void takeQueries(LunaChunk chunk, int batch, int h, int first, int count) {
    int d = width / heads;
    int row = (batch * nq + first) * width;
    maps.apply("query", count, input("x"), row, h * d, d, chunk.query, 0, d);
  }

  @Override
  protected int outputAt(int batch, int h, int i) {
    return (batch * nq + i) * width + h * (width / heads);
  }

  /// Y_X W_o of one block of rows, in place.
  private void outputMap(int worker, int index) {
    int blocks = Math.ceilDiv(nq, rows);
    int first = index % blocks * rows;
    int count = Math.min(rows, nq - first);
    int row = (index / blocks * nq + first) * width;
    System.arraycopy(out, row, block[worker], 0, count * width);
    for (int h = 0; h < heads; h++) {
      keepRows(block[worker], index / blocks, h, first, count);
    }
    maps.apply("output", count, block[worker], 0, 0, width, out, row, width);
  }
}
