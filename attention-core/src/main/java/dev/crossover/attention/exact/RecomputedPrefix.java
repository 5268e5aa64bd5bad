// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;

/// Decoding with nothing cached: each token computes causal softmax attention of the whole prefix
/// anew, all t × t scores and all t outputs, and answers with the last row.
///
/// This is the baseline of Katharopoulos et al., "Transformers are RNNs", arXiv:2006.16236, tables
/// 2 and 5: a model that keeps no keys and values must recompute every position in every layer,
/// because the next layer reads them all. Time `4·t²·d` for token t, so n³ for a sequence. The
/// queries, keys and values of the prefix, which such a model would derive from its tokens again,
/// are held instead, and counted as state; deriving them again is not timed. Scores need t² floats
/// per thread.
final class RecomputedPrefix extends TokenSession {
  private final ScoreMatrix matrix;
  private final Workers workers;
  private final Workers.Task head = this::head;
  private final Rows queries;
  private final Rows keys;
  private final Rows values;
  private final float[][] scores;
  private final float[][] outputs;
  private final float[][] transposed;

  RecomputedPrefix(Attention attention, AttentionShape shape, double scale, int threads) {
    super(attention, shape);
    matrix = new ScoreMatrix(Mask.causal(), shape, scale);
    workers = new Workers(threads);
    queries = new Rows(shape.problems(), shape.headDim());
    keys = new Rows(shape.batchSize() * shape.numKeyValueHeads(), shape.headDim());
    values = new Rows(shape.batchSize() * shape.numKeyValueHeads(), shape.valueDim());
    scores = new float[threads][0];
    outputs = new float[threads][0];
    transposed = new float[threads][0];
  }

  @Override
  public long stateBytes() {
    return Float.BYTES * (long) position() * (queries.width() + keys.width() + values.width());
  }

  @Override
  protected void take(int t, int tokens) {
    if (hasInput("bias")) {
      throw new IllegalArgumentException(
          "materialised: decoding inputs must not contain bias, but did");
    }
    queries.take(position(), input("q"), t, tokens);
    keys.take(position(), input("k"), t, tokens);
    values.take(position(), input("v"), t, tokens);
  }

  @Override
  protected void answer(float[] output) {
    int length = position() + 1;
    // a worker's room doubles with the prefix, so that most tokens allocate nothing
    int room = Math.min(queries.room(), shape.keySeqLen());
    for (int w = 0; w < scores.length; w++) {
      if (scores[w].length < length * (long) length) {
        scores[w] = new float[Math.multiplyExact(room, room)];
        outputs[w] = new float[room * shape.valueDim()];
        transposed[w] = new float[ScoreMatrix.transposeScratch(room, shape.headDim())];
      }
    }
    workers.run(shape.problems(), head);
  }

  /// Attention of one head over the whole prefix, of which only the last row is wanted.
  private void head(int worker, int index) {
    int length = position() + 1;
    int group = index / shape.groupSize();
    float[] s = scores[worker];
    float[] o = outputs[worker];
    matrix.scores(
        length,
        length,
        queries.data,
        queries.start(index),
        keys.data,
        keys.start(group),
        s,
        0,
        transposed[worker]);
    matrix.weights(0, length, length, s, 0, null, 0);
    matrix.mix(0, length, length, s, 0, values.data, values.start(group), o, 0);
    int dv = shape.valueDim();
    System.arraycopy(o, (length - 1) * dv, out, index * dv, dv);
  }

  /// Rows of several heads, each head's rows adjacent, with room that doubles.
  private static final class Rows {
    private static final int FIRST_ROOM = 16;

    private final int heads;
    private final int dim;
    private int room = FIRST_ROOM;
    private float[] data;

    Rows(int heads, int dim) {
      this.heads = heads;
      this.dim = dim;
      data = new float[heads * room * dim];
    }

    int room() {
      return room;
    }

    long width() {
      return (long) heads * dim;
    }

    int start(int head) {
      return head * room * dim;
    }

    /// Appends row `t` of `tokens` rows per head at a position.
    void take(int position, float[] source, int t, int tokens) {
      if (position == room) {
        float[] larger = new float[Math.multiplyExact(2 * heads * dim, room)];
        for (int h = 0; h < heads; h++) {
          System.arraycopy(data, h * room * dim, larger, 2 * h * room * dim, room * dim);
        }
        room *= 2;
        data = larger;
      }
      for (int h = 0; h < heads; h++) {
        System.arraycopy(source, (h * tokens + t) * dim, data, start(h) + position * dim, dim);
      }
    }
  }
}
