// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.variants.lowrank.LunaChunk;
import java.util.Arrays;

/// Decoding with the causal form of [LunaLayer]: two sums of size pack_length · d per head.
final class LunaLayerSession extends TokenSession {
  private final LunaLayer luna;
  private final Kernels kernels = Kernels.get();
  private final int l;
  private final int width;
  private final int heads;
  private final int d;
  private final LunaChunk chunk;
  private final float[] keyStates;
  private final float[] valueStates;
  private final float[] packQueries;
  private final float[] mixed;
  private float[] knownPack = new float[0];
  private float[] knownWeight = new float[0];

  LunaLayerSession(LunaLayer luna, AttentionShape shape) {
    super(luna, shape);
    this.luna = luna;
    l = luna.packLength();
    width = LunaLayer.width(shape);
    heads = luna.heads(shape);
    d = width / heads;
    Scratch scratch = new Scratch();
    long states = (long) shape.batchSize() * heads;
    chunk = new LunaChunk(scratch, luna.activation(), l, d, d);
    keyStates = scratch.floats(states * d * l);
    valueStates = scratch.floats(states * l * d);
    packQueries = scratch.floats((long) shape.batchSize() * l * width);
    mixed = scratch.floats((long) shape.batchSize() * width);
  }

  @Override
  protected void take(int t, int tokens) {
    takePack();
    for (int p = 0; p < shape.batchSize() * heads; p++) {
      int batch = p / heads;
      int column = p % heads * d;
      restore(p, position());
      int x = (batch * tokens + t) * width;
      boolean tied = luna.tieKeyValue();
      map("pack_context", input("x"), x, column, chunk.packKey);
      map(tied ? "context" : "key", input("x"), x, column, chunk.key);
      map(tied ? "context" : "value", input("x"), x, column, chunk.value);
      chunk.weigh(1);
      chunk.absorb(1);
      chunk.save(keyStates, p * d * l, valueStates, p * l * d);
    }
  }

  @Override
  protected void answer(float[] out) {
    for (int p = 0; p < shape.batchSize() * heads; p++) {
      restore(p, position() + 1);
      map("query", input("x"), p / heads * width, p % heads * d, chunk.query);
      chunk.answer(1, 0, 0, mixed, p * d, d);
    }
    for (int batch = 0; batch < shape.batchSize(); batch++) {
      for (int o = 0; o < width; o++) {
        out[batch * width + o] = mapped("output", mixed, batch * width, o);
      }
    }
  }

  private void restore(int p, int tokens) {
    chunk.begin(packQueries, p / heads * l * width + p % heads * d, width);
    chunk.restore(keyStates, p * d * l, valueStates, p * l * d, tokens);
  }

  /// p W_pq, unless the same arrays were given before.
  private void takePack() {
    if (hasInput("context")) {
      throw new IllegalArgumentException("luna: context must be absent while decoding");
    }
    float[] pack = input("pack");
    float[] weight = input("pack_query_weight");
    if (pack == knownPack && weight == knownWeight) {
      return;
    }
    knownPack = pack;
    knownWeight = weight;
    for (int row = 0; row < shape.batchSize() * l; row++) {
      for (int o = 0; o < width; o++) {
        packQueries[row * width + o] = mapped("pack_query", pack, row * width, o);
      }
    }
  }

  /// One head's part of a map of one row.
  private void map(String name, float[] x, int xo, int column, float[] y) {
    for (int o = 0; o < d; o++) {
      y[o] = mapped(name, x, xo, column + o);
    }
  }

  private float mapped(String name, float[] x, int xo, int o) {
    return kernels.dot(width, input(name + "_weight"), o * width, x, xo) + input(name + "_bias")[o];
  }

  @Override
  protected void forget() {
    Arrays.fill(keyStates, 0);
    Arrays.fill(valueStates, 0);
  }

  @Override
  public long stateBytes() {
    return Float.BYTES * ((long) keyStates.length + valueStates.length)
        + (long) Integer.BYTES * shape.batchSize() * heads;
  }
}
