// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.KeyValueBlocks;
import dev.crossover.attention.kernel.ShortQueries;

/// Decoding with all keys and values kept, the third exact baseline: each token's queries meet
/// every cached position, read once, in place.
final class CachedKeys extends TokenSession {
  private final float scale;
  private final int heads = shape.batchSize() * shape.numKeyValueHeads();
  private final KeyValueBlocks cache = new KeyValueBlocks(shape);
  private final ShortQueries[] queries;
  private final Workers workers;
  private final Workers.Task head = this::head;

  CachedKeys(Attention attention, AttentionShape shape, double scale, int threads) {
    super(attention, shape);
    this.scale = (float) scale;
    workers = new Workers(threads);
    queries = new ShortQueries[threads];
    for (int t = 0; t < threads; t++) {
      queries[t] =
          new ShortQueries(new Scratch(), shape.groupSize(), shape.headDim(), shape.valueDim());
    }
  }

  @Override
  public long stateBytes() {
    return cache.bytes(position());
  }

  @Override
  protected void take(int t, int tokens) {
    if (hasInput("bias")) {
      throw new IllegalArgumentException("tiled: decoding inputs must not contain bias, but did");
    }
    cache.put(position(), input("k"), input("v"), t, tokens);
  }

  @Override
  protected void answer(float[] output) {
    workers.run(heads, head);
  }

  private void head(int worker, int index) {
    int rows = shape.groupSize();
    ShortQueries query = queries[worker];
    query.begin(input("q"), index * rows * shape.headDim(), rows, scale);
    cache.attend(query, index, position() + 1);
    query.finish(out, index * rows * shape.valueDim());
  }
}
