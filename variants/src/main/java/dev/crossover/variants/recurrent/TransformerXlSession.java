// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.store.SlotCache;
import dev.crossover.attention.store.Storage;

/// Decoding with [TransformerXl]: a ring of the last keys and values, and the position keys of the
/// distances met so far, which are kept while the same `position_projection` is given.
final class TransformerXlSession extends TokenSession {
  private final TransformerXl xl;
  private final Kernels kernels = Kernels.get();
  private final int d;
  private final int dv;
  private final int window;
  private final int modelWidth;
  private final SlotCache cache;
  private final SoftmaxTile tile;
  private final float[] sinusoid;
  private final float[] positionKeys;
  private final float[] contentQueries;
  private final float[] positionQuery;
  private final float[] positionScores;
  private float[] projection = new float[0];
  private int knownDistances;

  TransformerXlSession(TransformerXl xl, AttentionShape shape, Storage storage) {
    super(xl, shape);
    this.xl = xl;
    d = shape.headDim();
    dv = shape.valueDim();
    window = xl.decodingWindow(shape.keySeqLen());
    modelWidth = xl.modelWidth(shape);
    Scratch scratch = new Scratch();
    int heads = shape.batchSize() * shape.numKeyValueHeads();
    cache = new SlotCache(storage, scratch, heads, window, d, dv);
    tile = new SoftmaxTile(scratch, shape.groupSize(), d, dv);
    sinusoid = scratch.floats(modelWidth);
    positionKeys = scratch.floats((long) window * shape.numHeads() * d);
    contentQueries = scratch.floats((long) shape.groupSize() * d);
    positionQuery = scratch.floats(d);
    positionScores = scratch.floats((long) shape.groupSize() * window);
  }

  @Override
  protected void take(int t, int tokens) {
    int slot = position() % window;
    for (int p = 0; p < shape.batchSize() * shape.numKeyValueHeads(); p++) {
      int row = p * tokens + t;
      cache.put(p, slot, input("k"), row * d, input("v"), row * dv);
    }
  }

  @Override
  protected void answer(float[] out) {
    int used = Math.min(position() + 1, window);
    projectDistances(used);
    int group = shape.groupSize();
    for (int p = 0; p < shape.batchSize() * shape.numKeyValueHeads(); p++) {
      for (int r = 0; r < group; r++) {
        addBiases(p * group + r, r, used);
      }
      tile.begin(contentQueries, 0, d, group, (float) Attention.defaultScale(shape));
      cache.attendBiased(tile, p, 0, used, positionScores, 0, window);
      tile.finish(out, p * group * dv, dv);
    }
  }

  /// q + u of one head, and (q + v)·r / √d of every slot.
  private void addBiases(int problem, int r, int used) {
    int h = problem % shape.numHeads();
    int q = problem * d;
    kernels.add(d, input("q"), q, input("content_bias"), h * d, contentQueries, r * d);
    kernels.add(d, input("q"), q, input("position_bias"), h * d, positionQuery, 0);
    float scale = (float) Attention.defaultScale(shape);
    for (int slot = 0; slot < used; slot++) {
      int distance = Math.floorMod(position() - slot, window);
      int key = (distance * shape.numHeads() + h) * d;
      positionScores[r * window + slot] =
          scale * kernels.dot(d, positionQuery, 0, positionKeys, key);
    }
  }

  /// r of the distances below `count` that are not known yet.
  private void projectDistances(int count) {
    float[] given = input("position_projection");
    if (given != projection) {
      projection = given;
      knownDistances = 0;
    }
    int width = shape.numHeads() * d;
    for (; knownDistances < count; knownDistances++) {
      xl.sinusoid(knownDistances, modelWidth, sinusoid, 0, 1);
      kernels.multiply(
          1,
          width,
          modelWidth,
          sinusoid,
          0,
          modelWidth,
          given,
          0,
          width,
          positionKeys,
          knownDistances * width,
          width,
          false);
    }
  }

  @Override
  public long stateBytes() {
    return cache.bytes(Math.min(position(), window));
  }
}
