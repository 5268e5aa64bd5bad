// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import java.util.Arrays;

/// Decoding with [Luna]: two sums of size pack_length · d per head.
final class LunaSession extends TokenSession {
  private final int l;
  private final int d;
  private final int dv;
  private final LunaChunk chunk;
  private final float[] keyStates;
  private final float[] valueStates;

  LunaSession(Luna luna, AttentionShape shape) {
    super(luna, shape);
    l = luna.packLength();
    d = shape.headDim();
    dv = shape.valueDim();
    Scratch scratch = new Scratch();
    chunk = new LunaChunk(scratch, luna.activation(), l, d, dv);
    keyStates = scratch.floats((long) shape.problems() * d * l);
    valueStates = scratch.floats((long) shape.problems() * l * dv);
  }

  @Override
  protected void take(int t, int tokens) {
    for (int p = 0; p < shape.problems(); p++) {
      restore(p, position());
      int row = p * tokens + t;
      System.arraycopy(input("k"), row * d, chunk.key, 0, d);
      System.arraycopy(input("pack_keys"), row * d, chunk.packKey, 0, d);
      System.arraycopy(input("v"), row * dv, chunk.value, 0, dv);
      chunk.weigh(1);
      chunk.absorb(1);
      chunk.save(keyStates, p * d * l, valueStates, p * l * dv);
    }
  }

  @Override
  protected void answer(float[] out) {
    for (int p = 0; p < shape.problems(); p++) {
      restore(p, position() + 1);
      System.arraycopy(input("q"), p * d, chunk.query, 0, d);
      chunk.answer(1, 0, 0, out, p * dv, dv);
    }
  }

  private void restore(int p, int tokens) {
    chunk.begin(input("pack"), p * l * d, d);
    chunk.restore(keyStates, p * d * l, valueStates, p * l * dv, tokens);
  }

  @Override
  protected void forget() {
    Arrays.fill(keyStates, 0);
    Arrays.fill(valueStates, 0);
  }

  @Override
  public long stateBytes() {
    return Float.BYTES * ((long) keyStates.length + valueStates.length)
        + (long) Integer.BYTES * shape.problems();
  }
}
