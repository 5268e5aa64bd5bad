// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.KeyValueBlocks;
import dev.crossover.attention.kernel.ShortQueries;
import dev.crossover.attention.select.KeyValueSession;
import dev.crossover.attention.store.Storage;
import java.util.Arrays;

/// Decoding of [Longformer].
///
/// A token sees the ring of its window and every earlier global token; a global token sees the
/// whole prefix through `k_global` and `v_global`. Which tokens are global is told token by token
/// by `global_mask`, so nobody knows whether one will follow, and the prefix must be kept until
/// nobody may:
///
/// | tokens given so far | state, in keys and values per head |
/// |---|---|
/// | all with `global_mask` | the window, the global tokens, and the whole prefix |
/// | the first ones with it, the last ones without | the window and the global tokens |
/// | all without | the window |
///
/// The first token without `global_mask` says that no global token follows: the prefix is given
/// back, and a `global_mask` after it is refused. A prompt with global tokens is thus followed by
/// an answer of bounded state.
final class LongformerSession extends KeyValueSession {
  private final Longformer attention;
  private final boolean floats;
  private final KeyValueBlocks prefix;
  private final ShortQueries[] queries;
  /// Whether a key in the ring belongs to a global token, `[batch, capacity]`.
  private final boolean[] globalInRing;
  private final int[] globals;
  private boolean open;
  private boolean ownKeys;
  private boolean ownValues;

  LongformerSession(Longformer attention, AttentionShape shape, int threads, Storage storage) {
    super(attention, shape, threads, attention.reach() + 1, storage);
    floats = storage.kind() == Storage.Kind.F32;
    this.attention = attention;
    prefix = new KeyValueBlocks(shape);
    queries = new ShortQueries[threads];
    for (int t = 0; t < threads; t++) {
      queries[t] = new ShortQueries(new Scratch(), 1, shape.headDim(), shape.valueDim());
    }
    globalInRing = new boolean[shape.batchSize() * capacity()];
    globals = new int[shape.batchSize()];
  }

  @Override
  protected void accept(int t, int tokens) {
    boolean given = hasInput("global_mask");
    if (given && !floats) {
      throw new IllegalArgumentException(
          "longformer: global_mask must not be given with a store other than f32, but was");
    }
    if (given) {
      requireOpen();
    }
    if (given && position() == 0) {
      open = true;
      ownKeys = hasInput("k_global");
      ownValues = hasInput("v_global");
    } else if (!given && open) {
      open = false;
      prefix.clear();
    }
    if (open) {
      prefix.put(
          position(),
          input(ownKeys ? "k_global" : "k"),
          input(ownValues ? "v_global" : "v"),
          t,
          tokens);
    }
    for (int b = 0; b < globals.length; b++) {
      boolean global = given && input("global_mask")[b * tokens + t] != 0;
      globalInRing[b * capacity() + position() % capacity()] = global;
      if (global) {
        keep(b, t, tokens);
      }
    }
  }

  private void requireOpen() {
    if (position() > 0 && !open) {
      throw new IllegalArgumentException(
          "longformer: global_mask must be given from the first token on and without a gap, but a "
              + "token before position "
              + position()
              + " had none");
    }
    if (position() > 0 && (ownKeys != hasInput("k_global") || ownValues != hasInput("v_global"))) {
      throw new IllegalArgumentException(
          "longformer: k_global and v_global must be given with every token or with none, but that "
              + "changed at position "
              + position());
    }
  }

  /// Keeps the local key and value of a global token for good.
  private void keep(int batch, int t, int tokens) {
    int slot = globals[batch]++;
    reserve(slot + 1);
    int keyHeads = shape.numKeyValueHeads();
    for (int h = batch * keyHeads; h < (batch + 1) * keyHeads; h++) {
      store(h * tokens + t, h, capacity() + slot);
    }
  }

  /// Global tokens, listed as −1, −2, …, lie behind the ring.
  @Override
  protected int slot(int position) {
    return position < 0 ? capacity() - 1 - position : super.slot(position);
  }

  @Override
  protected int see(int worker, int problem, int position, int[] into) {
    int batch = problem / shape.numHeads();
    int step = attention.dilationOf(problem % shape.numHeads());
    int count = 0;
    for (int s = Math.min(attention.window(), position / step); s >= 0; s--) {
      int j = position - s * step;
      if (!globalInRing[batch * capacity() + j % capacity()]) {
        into[count++] = j;
      }
    }
    for (int g = 1; g <= globals[batch]; g++) {
      into[count++] = -g;
    }
    return count;
  }

  @Override
  protected void attend(int worker, int problem, float[] out) {
    int batch = problem / shape.numHeads();
    if (!open || input("global_mask")[batch] == 0) {
      super.attend(worker, problem, out);
      return;
    }
    ShortQueries query = queries[worker];
    float[] q = input(hasInput("q_global") ? "q_global" : "q");
    float factor = (float) Attention.defaultScale(shape);
    query.begin(q, problem * shape.headDim(), 1, factor);
    prefix.attend(query, keyHead(problem), position() + 1);
    query.finish(out, problem * shape.valueDim());
  }

  @Override
  public long stateBytes() {
    long kept = (long) Arrays.stream(globals).sum() * shape.numKeyValueHeads();
    return super.stateBytes() + kept * rowBytes() + (open ? prefix.bytes(position()) : 0);
  }

  @Override
  protected void forget() {
    open = false;
    prefix.clear();
    Arrays.fill(globals, 0);
  }
}
