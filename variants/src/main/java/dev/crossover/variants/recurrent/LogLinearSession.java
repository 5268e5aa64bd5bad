// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;

/// Decoding with one state per level: before token t with z trailing zeros the states 0 to z merge
/// into state z + 1.
///
/// A state is kept as of the time it was last written, with the decay up to then, so that a token
/// touches only the states that merge.
final class LogLinearSession extends TokenSession {
  private final Kernels kernels = Kernels.get();
  private final LogLinear attention;
  private final Workers workers;
  private final int levels;
  private final int size;
  private final float[] states;

  /// Cumulative log_decay at which a state was written, and at the last token.
  private final double[] written;

  private final double[] now;
  private final float[][] rows;
  private final Workers.Task write = this::write;
  private final Workers.Task read = this::read;
  private int token;
  private int tokens;

  LogLinearSession(LogLinear attention, AttentionShape shape, int threads) {
    super(attention, shape);
    this.attention = attention;
    workers = new Workers(threads);
    levels = LogLinear.levels(shape.keySeqLen());
    size = shape.headDim() * shape.valueDim();
    states = new float[Math.multiplyExact(Math.multiplyExact(shape.problems(), levels), size)];
    written = new double[shape.problems() * levels];
    now = new double[shape.problems()];
    rows = new float[threads][Math.max(shape.headDim(), shape.valueDim())];
  }

  @Override
  protected void take(int t, int ofTokens) {
    token = t;
    tokens = ofTokens;
    workers.run(shape.problems(), write);
  }

  private void write(int worker, int problem) {
    int row = problem * tokens + token;
    int first = problem * levels;
    if (position() == 0) {
      now[problem] = 0;
    } else {
      merge(first, Integer.numberOfTrailingZeros(position()) + 1, now[problem]);
    }
    now[problem] += LogLinearChunk.finite(input("log_decay")[row]);
    written[first] = now[problem];
    int d = shape.headDim();
    int dv = shape.valueDim();
    kernels.multiplyTransposedA(
        d,
        dv,
        1,
        input("k"),
        row * d,
        d,
        input("v"),
        row * dv,
        dv,
        states,
        first * size,
        dv,
        false);
  }

  /// The states below a level become that level's.
  private void merge(int first, int level, double time) {
    int to = (first + level) * size;
    for (int l = 0; l < level; l++) {
      float factor = (float) Math.exp(time - written[first + l]);
      int from = (first + l) * size;
      if (l == 0) {
        kernels.scale(size, factor, states, from, states, to);
      } else {
        kernels.axpy(size, factor, states, from, states, to);
      }
    }
    written[first + level] = time;
  }

  @Override
  protected void answer(float[] output) {
    workers.run(shape.problems(), read);
  }

  /// out = Σ_l λ[l] exp(decay since) scale S⁽ˡ⁾ᵀ q over the levels that hold keys.
  private void read(int worker, int problem) {
    int d = shape.headDim();
    int dv = shape.valueDim();
    float[] query = rows[worker];
    float[] scales = input("level_scales");
    for (int l = 0; l < levels; l++) {
      if (l > 0 && ((position() >> (l - 1)) & 1) == 0) {
        continue;
      }
      int state = problem * levels + l;
      double since = Math.exp(now[problem] - written[state]);
      double weight = attention.scale() * scales[problem * attention.levelCount() + l] * since;
      kernels.scale(d, (float) weight, input("q"), problem * d, query, 0);
      kernels.multiply(
          1, dv, d, query, 0, d, states, state * size, dv, out, problem * dv, dv, l > 0);
    }
  }

  /// Of as many states as were held at once so far: one, and one for every set bit of a position.
  @Override
  public long stateBytes() {
    long held = Integer.SIZE - Integer.numberOfLeadingZeros(position());
    long counters = position() == 0 ? 0 : Double.BYTES;
    return shape.problems() * (held * ((long) size * Float.BYTES + Double.BYTES) + counters);
  }
}
