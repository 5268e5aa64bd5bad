package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.ShortQueries;
import java.util.ArrayList;
import java.util.List;

/// Decoding with all keys and values kept, the third exact baseline: each token's queries meet
/// every cached position, read once, in place.
///
/// The cache grows by blocks of 1024 positions and never moves what it holds.
final class CachedKeys extends TokenSession {
  private static final int BLOCK = 1024;

  private final float scale;
  private final int heads = shape.batchSize() * shape.numKeyValueHeads();
  private final List<float[]> keys = new ArrayList<>();
  private final List<float[]> values = new ArrayList<>();
  private final ShortQueries[] queries;
  private final Workers workers;
  private final Workers.Task head = this::head;
  private float[] out = new float[0];

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
    return (long) heads * position() * (shape.headDim() + shape.valueDim()) * Float.BYTES;
  }

  @Override
  protected void take(int t, int tokens) {
    if (hasInput("bias")) {
      throw new IllegalArgumentException("tiled: decoding inputs must not contain bias, but did");
    }
    int d = shape.headDim();
    int dv = shape.valueDim();
    int block = position() / BLOCK;
    if (block == keys.size()) {
      keys.add(new float[heads * BLOCK * d]);
      values.add(new float[heads * BLOCK * dv]);
    }
    for (int h = 0; h < heads; h++) {
      int from = h * tokens + t;
      int to = h * BLOCK + position() % BLOCK;
      System.arraycopy(input("k"), from * d, keys.get(block), to * d, d);
      System.arraycopy(input("v"), from * dv, values.get(block), to * dv, dv);
    }
  }

  @Override
  protected void answer(float[] output) {
    out = output;
    workers.run(heads, head);
  }

  private void head(int worker, int index) {
    int rows = shape.groupSize();
    ShortQueries query = queries[worker];
    query.begin(input("q"), index * rows * shape.headDim(), rows, scale);
    for (int from = 0; from <= position(); from += BLOCK) {
      int block = from / BLOCK;
      query.attend(
          keys.get(block),
          index * BLOCK * shape.headDim(),
          values.get(block),
          index * BLOCK * shape.valueDim(),
          0,
          Math.min(BLOCK, position() + 1 - from),
          null,
          null,
          0,
          0);
    }
    query.finish(out, index * rows * shape.valueDim());
  }
}
