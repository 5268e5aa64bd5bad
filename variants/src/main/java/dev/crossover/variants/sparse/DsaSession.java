// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.RowSelection;
import dev.crossover.attention.select.LargestScores;
import dev.crossover.attention.store.KeyValueStore;
import dev.crossover.attention.store.Storage;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// Decoding of [Dsa]: keys, values and index keys of all tokens are cached; a step scores all index
/// keys, in parts, then reads the chosen keys and values only.
final class DsaSession extends TokenSession {
  private static final int PART = 1024;
  private static final int TILE = 64;

  private final Kernels kernels = Kernels.get();
  private final Workers workers;
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int capacity = Math.max(1, shape.keySeqLen());
  private final int indexHeads;
  private final int indexDim;
  private final float indexScale;
  private final float scale;
  private final int most;
  private final KeyValueStore cache;
  private final KeyValueStore indexKeys;
  private final float[] scores;
  private final int[] chosen;
  private final int[] counts;
  private final LargestScores[] largest;
  private final float[][] dots;
  private final float[][] weights;
  private final float[][] tile;
  private final Workers.Task part = this::part;
  private final Workers.Task choose = this::choose;
  private final Workers.Task head = this::head;

  DsaSession(Dsa attention, AttentionShape shape, int threads, Storage storage) {
    super(attention, shape);
    workers = new Workers(threads);
    indexHeads = attention.indexHeads(shape);
    indexDim = attention.indexDim(shape);
    indexScale = (float) attention.indexScaleFor(shape);
    scale = (float) attention.scaleFor(shape);
    most = Math.min(attention.topK(), capacity);
    cache = new KeyValueStore(storage, shape);
    indexKeys = new KeyValueStore(storage, index(shape), true);
    tile = new float[threads][TILE * Math.max(indexDim, Math.max(d, dv))];
    scores = new float[Tensor.sizeOf(shape.batchSize(), capacity)];
    chosen = new int[Tensor.sizeOf(shape.batchSize(), most)];
    counts = new int[shape.batchSize()];
    largest = new LargestScores[threads];
    dots = new float[threads][PART];
    weights = new float[threads][most];
    for (int t = 0; t < threads; t++) {
      largest[t] = new LargestScores(new Scratch(), capacity);
    }
  }

  /// Index keys are one row per token of a batch entry.
  private AttentionShape index(AttentionShape s) {
    return new AttentionShape(
        s.batchSize(), 1, 1, s.querySeqLen(), s.keySeqLen(), indexDim, indexDim, indexDim);
  }

  @Override
  public long stateBytes() {
    return cache.bytes() + indexKeys.bytes();
  }

  @Override
  protected void take(int t, int tokens) {
    float[] index = input("index_key");
    cache.append(input("k"), input("v"), t, 1, tokens);
    indexKeys.append(index, index, t, 1, tokens);
  }

  @Override
  protected void answer(float[] output) {
    workers.run(shape.batchSize() * Math.ceilDiv(position() + 1, PART), part);
    workers.run(shape.batchSize(), choose);
    workers.run(shape.problems(), head);
  }

  /// I of some cached tokens.
  private void part(int worker, int index) {
    int parts = Math.ceilDiv(position() + 1, PART);
    int batch = index / parts;
    int first = index % parts * PART;
    int count = Math.min(PART, position() + 1 - first);
    int row = batch * capacity + first;
    Arrays.fill(scores, row, row + count, 0);
    for (int s = 0; s < count; s += TILE) {
      addScores(worker, batch, first + s, Math.min(TILE, count - s), row + s);
    }
  }

  /// Adds the scores of the tokens `first … first + count - 1`.
  private void addScores(int worker, int batch, int first, int count, int row) {
    float[] inPlace = indexKeys.keysInPlace(batch);
    float[] keys = inPlace == null ? tile[worker] : inPlace;
    int key = inPlace == null ? 0 : first * indexDim;
    if (inPlace == null) {
      indexKeys.readKeys(batch, first, first + count, keys, 0);
    }
    float[] query = input("index_query");
    for (int j = batch * indexHeads; j < (batch + 1) * indexHeads; j++) {
      for (int s = 0; s < count; s++) {
        dots[worker][s] = kernels.dot(indexDim, query, j * indexDim, keys, key + s * indexDim);
      }
      float weight = input("index_weight")[j];
      RowSelection.addRelu(count, weight, indexScale, dots[worker], 0, scores, row);
    }
  }

  private void choose(int worker, int batch) {
    counts[batch] =
        largest[worker].keepFirst(
            scores, batch * capacity, position() + 1, most, chosen, batch * most);
  }

  private void head(int worker, int problem) {
    int batch = problem / shape.numHeads();
    int group = batch * shape.numKeyValueHeads() + problem % shape.numHeads() / shape.groupSize();
    float[] p = weights[worker];
    int list = batch * most;
    float[] keys = cache.keysInPlace(group);
    float[] row = tile[worker];
    for (int s = 0; s < counts[batch]; s++) {
      int j = chosen[list + s];
      if (keys == null) {
        cache.readKeys(group, j, j + 1, row, 0);
      }
      float[] from = keys == null ? row : keys;
      p[s] = scale * kernels.dot(d, input("q"), problem * d, from, keys == null ? 0 : j * d);
    }
    kernels.softmax(counts[batch], p, 0);
    mix(worker, problem, group, list, counts[batch]);
  }

  private void mix(int worker, int problem, int group, int list, int count) {
    float[] p = weights[worker];
    float[] values = cache.valuesInPlace(group);
    if (values != null) {
      RowSelection.mix(dv, count, p, chosen, list, values, 0, out, problem * dv);
      return;
    }
    float[] row = tile[worker];
    Arrays.fill(out, problem * dv, (problem + 1) * dv, 0);
    for (int s = 0; s < count; s++) {
      int j = chosen[list + s];
      cache.readValues(group, j, j + 1, row, 0);
      kernels.axpy(dv, p[s], row, 0, out, problem * dv);
    }
  }

  @Override
  protected void forget() {
    cache.truncate(0);
    indexKeys.truncate(0);
  }
}
