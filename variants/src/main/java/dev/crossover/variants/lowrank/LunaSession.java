// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.variants.lowrank.Luna.Level;
import java.util.Arrays;

/// Decoding with the causal form of [Luna]: two sums of size pack_length · d per head.
final class LunaSession extends TokenSession {
  private final Luna luna;
  private final Kernels kernels = Kernels.get();
  private final boolean module;
  private final int l;
  private final int width;
  private final int heads;
  private final int d;
  private final int dv;
  private final LunaChunk chunk;
  private final float[] keyStates;
  private final float[] valueStates;
  private final float[] packQueries;
  private final float[] mixed;
  private float[] knownPack = new float[0];
  private float[] knownWeight = new float[0];

  LunaSession(Luna luna, AttentionShape shape) {
    super(luna, shape);
    this.luna = luna;
    module = luna.level() == Level.MODULE;
    l = luna.packLength();
    width = Luna.width(shape);
    heads = luna.heads(shape);
    d = width / heads;
    dv = module ? d : shape.valueDim();
    Scratch scratch = new Scratch();
    long states = (long) shape.batchSize() * heads;
    chunk = new LunaChunk(scratch, luna.activation(), l, d, dv);
    keyStates = scratch.floats(states * d * l);
    valueStates = scratch.floats(states * l * dv);
    packQueries = scratch.floats(module ? (long) shape.batchSize() * l * width : 0);
    mixed = scratch.floats(module ? (long) shape.batchSize() * width : 0);
  }

  @Override
  protected void take(int t, int tokens) {
    takePack();
    for (int p = 0; p < shape.batchSize() * heads; p++) {
      int batch = p / heads;
      int column = p % heads * d;
      restore(p, position());
      if (module) {
        int x = (batch * tokens + t) * width;
        boolean tied = luna.tieKeyValue();
        map("pack_context", input("x"), x, column, chunk.packKey);
        map(tied ? "context" : "key", input("x"), x, column, chunk.key);
        map(tied ? "context" : "value", input("x"), x, column, chunk.value);
      } else {
        int row = p * tokens + t;
        System.arraycopy(input("k"), row * d, chunk.key, 0, d);
        System.arraycopy(input("pack_keys"), row * d, chunk.packKey, 0, d);
        System.arraycopy(input("v"), row * dv, chunk.value, 0, dv);
      }
      chunk.weigh(1);
      chunk.absorb(1);
      chunk.save(keyStates, p * d * l, valueStates, p * l * dv);
    }
  }

  @Override
  protected void answer(float[] out) {
    for (int p = 0; p < shape.batchSize() * heads; p++) {
      restore(p, position() + 1);
      if (module) {
        map("query", input("x"), p / heads * width, p % heads * d, chunk.query);
        chunk.answer(1, 0, 0, mixed, p * d, d);
      } else {
        System.arraycopy(input("q"), p * d, chunk.query, 0, d);
        chunk.answer(1, 0, 0, out, p * dv, dv);
      }
    }
    for (int batch = 0; module && batch < shape.batchSize(); batch++) {
      for (int o = 0; o < width; o++) {
        out[batch * width + o] = mapped("output", mixed, batch * width, o);
      }
    }
  }

  private void restore(int p, int tokens) {
    if (module) {
      chunk.begin(packQueries, p / heads * l * width + p % heads * d, width);
    } else {
      chunk.begin(input("pack"), p * l * d, d);
    }
    chunk.restore(keyStates, p * d * l, valueStates, p * l * dv, tokens);
  }

  /// p W_pq, unless the same arrays were given before.
  private void takePack() {
    if (!module) {
      return;
    }
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
