// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.RowSelection;
import dev.crossover.attention.select.LargestScores;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// Decoding of [Dsa]: keys, values and index keys of all tokens are cached; a step scores all index
/// keys, in parts, then reads the chosen keys and values only.
final class DsaSession extends TokenSession {
  private static final int PART = 1024;

  private final Kernels kernels = Kernels.get();
  private final Workers workers;
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int capacity = Math.max(1, shape.keySeqLen());
  private final int groups = shape.batchSize() * shape.numKeyValueHeads();
  private final int indexHeads;
  private final int indexDim;
  private final float indexScale;
  private final float scale;
  private final int most;
  private final float[] keys;
  private final float[] values;
  private final float[] indexKeys;
  private final float[] scores;
  private final int[] chosen;
  private final int[] counts;
  private final LargestScores[] largest;
  private final float[][] dots;
  private final float[][] weights;
  private final Workers.Task part = this::part;
  private final Workers.Task choose = this::choose;
  private final Workers.Task head = this::head;
  private float[] out = new float[0];

  DsaSession(Dsa attention, AttentionShape shape, int threads) {
    super(attention, shape);
    workers = new Workers(threads);
    indexHeads = attention.indexHeads(shape);
    indexDim = attention.indexDim(shape);
    indexScale = (float) attention.indexScaleFor(shape);
    scale = (float) attention.scaleFor(shape);
    most = Math.min(attention.topK(), capacity);
    keys = new float[Tensor.sizeOf(groups, capacity, d)];
    values = new float[Tensor.sizeOf(groups, capacity, dv)];
    indexKeys = new float[Tensor.sizeOf(shape.batchSize(), capacity, indexDim)];
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

  @Override
  public long stateBytes() {
    long perToken = (long) groups * (d + dv) + (long) shape.batchSize() * indexDim;
    return position() * perToken * Float.BYTES;
  }

  @Override
  protected void take(int t, int tokens) {
    int at = position();
    for (int g = 0; g < groups; g++) {
      System.arraycopy(input("k"), (g * tokens + t) * d, keys, (g * capacity + at) * d, d);
      System.arraycopy(input("v"), (g * tokens + t) * dv, values, (g * capacity + at) * dv, dv);
    }
    for (int b = 0; b < shape.batchSize(); b++) {
      int to = (b * capacity + at) * indexDim;
      System.arraycopy(input("index_key"), (b * tokens + t) * indexDim, indexKeys, to, indexDim);
    }
  }

  @Override
  protected void answer(float[] output) {
    out = output;
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
    for (int j = batch * indexHeads; j < (batch + 1) * indexHeads; j++) {
      for (int s = 0; s < count; s++) {
        dots[worker][s] =
            kernels.dot(
                indexDim, input("index_query"), j * indexDim, indexKeys, (row + s) * indexDim);
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
    for (int s = 0; s < counts[batch]; s++) {
      int key = (group * capacity + chosen[list + s]) * d;
      p[s] = scale * kernels.dot(d, input("q"), problem * d, keys, key);
    }
    kernels.softmax(counts[batch], p, 0);
    RowSelection.mix(
        dv, counts[batch], p, chosen, list, values, group * capacity * dv, out, problem * dv);
  }
}
