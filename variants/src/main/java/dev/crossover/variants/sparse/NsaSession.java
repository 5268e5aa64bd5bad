// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// Decoding of [Nsa]: a cache of keys and values, and the sums of their blocks.
final class NsaSession extends TokenSession {
  private final Nsa attention;
  private final Kernels kernels = Kernels.get();
  private final Workers workers;
  private final int d;
  private final int dv;
  private final int capacity;
  private final int blocks;
  private final int groups;
  private final int chosenBefore;
  private final float factor;
  private final float[] keys;
  private final float[] values;
  private final double[] keySums;
  private final double[] valueSums;
  private final float[] keyMeans;
  private final float[] valueMeans;
  private final float[][] weights;
  private final float[][] importance;
  private final float[][] mixed;
  private final int[][] chosen;
  private final Workers.Task group = this::group;
  private float[] out = new float[0];

  NsaSession(Nsa attention, AttentionShape shape, int threads) {
    super(attention, shape);
    this.attention = attention;
    workers = new Workers(threads);
    d = shape.headDim();
    dv = shape.valueDim();
    capacity = Math.max(1, shape.keySeqLen());
    blocks = attention.blocks(capacity);
    groups = shape.batchSize() * shape.numKeyValueHeads();
    chosenBefore = attention.chosenBefore(capacity);
    factor = (float) Attention.defaultScale(shape);
    keys = new float[Tensor.sizeOf(groups, capacity, d)];
    values = new float[Tensor.sizeOf(groups, capacity, dv)];
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
    for (int g = 0; g < groups; g++) {
      System.arraycopy(input("k"), (g * tokens + t) * d, keys, (g * capacity + at) * d, d);
      System.arraycopy(input("v"), (g * tokens + t) * dv, values, (g * capacity + at) * dv, dv);
      accumulate(keys, (g * capacity + at) * d, d, keySums, g, keyMeans);
      accumulate(values, (g * capacity + at) * dv, dv, valueSums, g, valueMeans);
    }
  }

  /// Adds a row to the sum of its block; the block's mean once it is whole.
  private void accumulate(float[] rows, int row, int width, double[] sums, int g, float[] means) {
    int size = attention.blockSize();
    int inBlock = position() % size;
    int mean = (g * blocks + position() / size) * width;
    for (int c = 0; c < width; c++) {
      double before = inBlock == 0 ? 0 : sums[g * width + c];
      sums[g * width + c] = before + rows[row + c];
      if (inBlock == size - 1) {
        means[mean + c] = (float) (sums[g * width + c] / size);
      }
    }
  }

  @Override
  protected void answer(float[] output) {
    out = output;
    workers.run(groups, group);
  }

  @Override
  public long stateBytes() {
    long whole = position() / attention.blockSize();
    long floats = (long) groups * (position() + whole) * (d + dv);
    long sums = position() == 0 ? 0 : (long) groups * (d + dv);
    return floats * Float.BYTES + sums * Double.BYTES;
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
      for (int j = windowStart; j <= position; j++) {
        p[j - windowStart] = score(h, keys, (g * capacity + j) * d);
      }
      kernels.softmax(position + 1 - windowStart, p, 0);
      mix(worker, h, input("gate_window")[h], g, 0, windowStart, position + 1);
    }
  }

  private void selection(int worker, int g, int h, int ownStart) {
    int size = attention.blockSize();
    float[] p = weights[worker];
    int count = 0;
    for (int block : chosen[worker]) {
      for (int j = block * size; block >= 0 && j < (block + 1) * size; j++) {
        p[count++] = score(h, keys, (g * capacity + j) * d);
      }
    }
    for (int j = ownStart; j <= position(); j++) {
      p[count++] = score(h, keys, (g * capacity + j) * d);
    }
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
    kernels.multiply(
        1,
        dv,
        to - first,
        weights[worker],
        from,
        to - first,
        values,
        (g * capacity + first) * dv,
        dv,
        mixed[worker],
        0,
        dv,
        false);
    kernels.axpy(dv, gate, mixed[worker], 0, out, h * dv);
  }

  private float score(int h, float[] rows, int row) {
    return factor * kernels.dot(d, input("q"), h * d, rows, row);
  }
}
