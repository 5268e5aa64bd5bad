// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.store.KeyValueStore;
import dev.crossover.attention.store.Storage;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// Decoding of [Nsa]: a cache of keys and values, and the sums of their blocks, whose means are
/// formed of rows as they are read and kept as floats.
final class NsaSession extends TokenSession {
  private static final int TILE = 64;

  private final Nsa attention;
  private final Kernels kernels = Kernels.get();
  private final Workers workers;
  private final int d;
  private final int dv;
  private final int blocks;
  private final int groups;
  private final int chosenBefore;
  private final float factor;
  private final KeyValueStore cache;
  private final double[] keySums;
  private final double[] valueSums;
  private final float[] keyMeans;
  private final float[] valueMeans;
  private final float[][] weights;
  private final float[][] importance;
  private final float[][] mixed;

  /// Restored rows of a worker, and of the row just stored.
  private final float[][] tile;

  private final int[][] chosen;
  private final Workers.Task group = this::group;

  NsaSession(Nsa attention, AttentionShape shape, int threads, Storage storage) {
    super(attention, shape);
    this.attention = attention;
    workers = new Workers(threads);
    d = shape.headDim();
    dv = shape.valueDim();
    int capacity = Math.max(1, shape.keySeqLen());
    blocks = attention.blocks(capacity);
    groups = shape.batchSize() * shape.numKeyValueHeads();
    chosenBefore = attention.chosenBefore(capacity);
    factor = (float) Attention.defaultScale(shape);
    cache = new KeyValueStore(storage, shape);
    tile = new float[threads + 1][TILE * Math.max(d, dv)];
    keySums = new double[groups * d];
    valueSums = new double[groups * dv];
    keyMeans = new float[Tensor.sizeOf(groups, blocks, d)];
    valueMeans = new float[Tensor.sizeOf(groups, blocks, dv)];
    weights = new float[threads][capacity];
    importance = new float[threads][blocks];
    mixed = new float[threads][dv];
    chosen = new int[threads][chosenBefore];
  }

  @Override
  protected void take(int t, int tokens) {
    int at = position();
    float[] row = tile[tile.length - 1];
    cache.append(input("k"), input("v"), t, 1, tokens);
    for (int g = 0; g < groups; g++) {
      cache.readKeys(g, at, at + 1, row, 0);
      accumulate(row, d, keySums, g, keyMeans);
      cache.readValues(g, at, at + 1, row, 0);
      accumulate(row, dv, valueSums, g, valueMeans);
    }
  }

  /// Adds a row to the sum of its block; the block's mean once it is whole.
  private void accumulate(float[] row, int width, double[] sums, int g, float[] means) {
    int size = attention.blockSize();
    int inBlock = position() % size;
    int mean = (g * blocks + position() / size) * width;
    for (int c = 0; c < width; c++) {
      double before = inBlock == 0 ? 0 : sums[g * width + c];
      sums[g * width + c] = before + row[c];
      if (inBlock == size - 1) {
        means[mean + c] = (float) (sums[g * width + c] / size);
      }
    }
  }

  @Override
  protected void answer(float[] output) {
    workers.run(groups, group);
  }

  @Override
  public long stateBytes() {
    long whole = position() / attention.blockSize();
    long floats = groups * whole * (d + dv);
    long sums = position() == 0 ? 0 : (long) groups * (d + dv);
    return cache.bytes() + floats * Float.BYTES + sums * Double.BYTES;
  }

  /// All query heads of a key head: they choose together, then each attends.
  private void group(int worker, int g) {
    int position = position();
    int whole = (position + 1) / attention.blockSize();
    int own = position / attention.blockSize();
    Arrays.fill(importance[worker], 0, whole, 0);
    for (int h = g * shape.groupSize(); h < (g + 1) * shape.groupSize(); h++) {
      Arrays.fill(out, h * dv, (h + 1) * dv, 0);
      float[] p = weights[worker];
      for (int block = 0; block < whole; block++) {
        p[block] = score(h, keyMeans, (g * blocks + block) * d);
      }
      kernels.softmax(whole, p, 0);
      kernels.add(whole, p, 0, importance[worker], 0, importance[worker], 0);
      float gate = input("gate_compression")[h];
      for (int block = 0; block < whole; block++) {
        kernels.axpy(dv, gate * p[block], valueMeans, (g * blocks + block) * dv, out, h * dv);
      }
    }
    SelectedBlocks.choose(importance[worker], 0, own, chosenBefore, chosen[worker], 0);
    int windowStart = Math.max(0, position + 1 - attention.windowSize());
    for (int h = g * shape.groupSize(); h < (g + 1) * shape.groupSize(); h++) {
      selection(worker, g, h, own * attention.blockSize());
      float[] p = weights[worker];
      scores(worker, g, h, windowStart, position + 1, 0);
      kernels.softmax(position + 1 - windowStart, p, 0);
      mix(worker, h, input("gate_window")[h], g, 0, windowStart, position + 1);
    }
  }

  private void selection(int worker, int g, int h, int ownStart) {
    int size = attention.blockSize();
    float[] p = weights[worker];
    int count = 0;
    for (int block : chosen[worker]) {
      if (block >= 0) {
        scores(worker, g, h, block * size, (block + 1) * size, count);
        count += size;
      }
    }
    scores(worker, g, h, ownStart, position() + 1, count);
    count += position() + 1 - ownStart;
    kernels.softmax(count, p, 0);
    float gate = input("gate_selection")[h];
    int from = 0;
    for (int block : chosen[worker]) {
      if (block >= 0) {
        mix(worker, h, gate, g, from, block * size, (block + 1) * size);
        from += size;
      }
    }
    mix(worker, h, gate, g, from, ownStart, position() + 1);
  }

  /// Adds the gated mean of the values at positions `first … to - 1`, weighted from `from`.
  private void mix(int worker, int h, float gate, int g, int from, int first, int to) {
    float[] inPlace = cache.valuesInPlace(g);
    for (int j = first; j < to; j += TILE) {
      int count = Math.min(TILE, to - j);
      float[] rows = inPlace == null ? tile[worker] : inPlace;
      int row = inPlace == null ? 0 : j * dv;
      if (inPlace == null) {
        cache.readValues(g, j, j + count, rows, 0);
      }
      int w = from + j - first;
      kernels.multiply(
          1, dv, count, weights[worker], w, count, rows, row, dv, mixed[worker], 0, dv, j > first);
    }
    kernels.axpy(dv, gate, mixed[worker], 0, out, h * dv);
  }

  /// Scores of the keys at positions `first … to - 1`, written from `at`.
  private void scores(int worker, int g, int h, int first, int to, int at) {
    float[] inPlace = cache.keysInPlace(g);
    for (int j = first; j < to; j += TILE) {
      int count = Math.min(TILE, to - j);
      float[] rows = inPlace == null ? tile[worker] : inPlace;
      int row = inPlace == null ? 0 : j * d;
      if (inPlace == null) {
        cache.readKeys(g, j, j + count, rows, 0);
      }
      for (int c = 0; c < count; c++) {
        weights[worker][at + j - first + c] = score(h, rows, row + c * d);
      }
    }
  }

  private float score(int h, float[] rows, int row) {
    return factor * kernels.dot(d, input("q"), h * d, rows, row);
  }

  @Override
  protected void forget() {
    cache.truncate(0);
  }
}
