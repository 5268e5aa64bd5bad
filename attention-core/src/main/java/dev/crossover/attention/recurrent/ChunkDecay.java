package dev.crossover.attention.recurrent;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.UpdateRule.Decay;

/// The decays of one chunk, from differences of cumulative logarithms that restart at the chunk.
///
/// With c_i = g_0 + … + g_i in double: what enters from S decays by `exp(c_i)`, what row j writes
/// reaches row i ≥ j decayed by `exp(c_i − c_j)` and the end of the chunk by `exp(c_last − c_j)`.
/// Exponents above the diagonal are never formed, so nothing overflows, and row i depends on g up
/// to i only.
///
/// Decay per channel does not factor out of the products `Σ_a x_ia k_ja exp(c_ia − c_ja)`. Relative
/// to an anchor r the two factors `exp(c_i − r)` and `exp(r − c_j)` do; an anchor serves the rows
/// whose c lies within [#REACH] of it, and both factors stay representable. The first anchor is the
/// start of the chunk, and mild gates need no other. The next is the first row out of reach, and
/// serves up to the end of its sub-chunk of [#SUB_CHUNK] rows: with strong gates this is the
/// sub-chunk scheme of GLA (arXiv:2312.06635, section 4.3).
final class ChunkDecay {
  /// Rows of a sub-chunk.
  static final int SUB_CHUNK = 16;

  /// Largest distance from an anchor: `exp(REACH)²` is far from overflow, and rounding an exponent
  /// of this size to float32 costs a relative 1e-6.
  private static final double REACH = 16;

  /// Stands for −∞, so that differences remain numbers.
  private static final double FORGET = -1e5;

  private final Kernels kernels = Kernels.get();
  private final ChunkLayout layout;
  private final UpdateRule rule;
  private final int chunk;
  private final int dim;
  private final float[] table;
  private final float[] exponents;
  private final float[] factors;
  private final double[] cumulative;
  private final float[] anchoredLeft;
  private final float[] anchoredKeys;
  private int count;

  ChunkDecay(ChunkLayout layout, Scratch scratch) {
    this.layout = layout;
    this.rule = layout.rule();
    this.chunk = layout.chunk();
    this.dim = layout.shape().headDim();
    table = scratch.floats(layout.decayTable());
    exponents = scratch.floats(layout.exponents());
    factors = scratch.floats(layout.factors());
    cumulative = scratch.doubles(layout.cumulative());
    anchoredLeft = scratch.floats(layout.byChannel() ? layout.left() : 0);
    anchoredKeys = scratch.floats(layout.byChannel() ? layout.rows() : 0);
  }

  /// Prepares a head: the powers of a constant decay are the same for all its chunks.
  void head(int head) {
    if (rule.decay() != Decay.CONSTANT) {
      return;
    }
    double g = rule.logDecay(head, 0);
    exponents[0] = 1;
    for (int m = 1; m <= chunk; m++) {
      exponents[m] = (float) Math.exp(m * g);
    }
    for (int i = 0; i < chunk; i++) {
      for (int j = 0; j <= i; j++) {
        table[i * chunk + j] = exponents[i - j];
      }
      java.util.Arrays.fill(table, i * chunk + i + 1, (i + 1) * chunk, 0);
    }
  }

  /// Takes g of a run of rows; `row` is that of row `from` in the per-token inputs.
  void run(int head, int row, int from, int to) {
    for (int i = from; i < to; i++) {
      if (rule.decay() == Decay.TOKEN) {
        double before = i == 0 ? 0 : cumulative[i - 1];
        cumulative[i] = before + Math.max(FORGET, rule.logDecay(head, row + i - from));
      } else if (rule.decay() == Decay.CHANNEL) {
        addChannels(i, rule.logDecays(), (row + i - from) * dim);
      }
    }
  }

  /// Takes a run of padded rows, which do not decay.
  void skip(int from, int to) {
    if (rule.decay() != Decay.TOKEN && rule.decay() != Decay.CHANNEL) {
      return;
    }
    int width = rule.decay() == Decay.TOKEN ? 1 : dim;
    for (int i = from; i < to; i++) {
      for (int a = 0; a < width; a++) {
        cumulative[i * width + a] = i == 0 ? 0 : cumulative[(i - 1) * width + a];
      }
    }
  }

  private void addChannels(int i, float[] g, int at) {
    for (int a = 0; a < dim; a++) {
      double before = i == 0 ? 0 : cumulative[(i - 1) * dim + a];
      cumulative[i * dim + a] = before + Math.max(FORGET, g[at + a]);
    }
  }

  /// Decays the rows that meet S, by `exp(c_i)`, and the keys that enter it, by `exp(c_last −
  /// c_j)`, and forms the factors between rows.
  ///
  /// @param left rows `[sides · count, d]`
  /// @param carried `left` decayed, same shape
  /// @param k keys from `ko`, `[count, d]`
  /// @param departing keys decayed, same shape
  void rows(int rows, float[] left, float[] carried, float[] k, int ko, float[] departing) {
    count = rows;
    switch (rule.decay()) {
      case NONE -> {}
      case CONSTANT -> {
        for (int i = 0; i < count; i++) {
          factors[i] = exponents[i + 1];
          factors[chunk + i] = exponents[count - 1 - i];
        }
        scaleRows(left, carried, k, ko, departing);
      }
      case TOKEN -> {
        double last = cumulative[count - 1];
        for (int i = 0; i < count; i++) {
          factors[i] = (float) cumulative[i];
          factors[chunk + i] = (float) (last - cumulative[i]);
        }
        kernels.exp(count, 1, 0, factors, 0, factors, 0);
        kernels.exp(count, 1, 0, factors, chunk, factors, chunk);
        differences();
        scaleRows(left, carried, k, ko, departing);
      }
      case CHANNEL -> channelRows(left, carried, k, ko, departing);
    }
  }

  private void scaleRows(float[] left, float[] carried, float[] k, int ko, float[] departing) {
    for (int side = 0; side < layout.sides(); side++) {
      for (int i = 0; i < count; i++) {
        int at = (side * count + i) * dim;
        kernels.scale(dim, factors[i], left, at, carried, at);
      }
    }
    for (int j = 0; j < count; j++) {
      kernels.scale(dim, factors[chunk + j], k, ko + j * dim, departing, j * dim);
    }
  }

  /// table_ij = exp(c_i − c_j) for j ≤ i, 0 above.
  private void differences() {
    for (int i = 0; i < count; i++) {
      double own = cumulative[i];
      int at = i * chunk;
      for (int j = 0; j <= i; j++) {
        exponents[at + j] = (float) (own - cumulative[j]);
      }
      java.util.Arrays.fill(exponents, at + i + 1, at + chunk, Float.NEGATIVE_INFINITY);
    }
    kernels.exp(count * chunk, 1, 0, exponents, 0, table, 0);
  }

  private void channelRows(float[] left, float[] carried, float[] k, int ko, float[] departing) {
    int size = count * dim;
    for (int e = 0; e < size; e++) {
      exponents[e] = (float) cumulative[e];
    }
    kernels.exp(size, 1, 0, exponents, 0, exponents, 0);
    System.arraycopy(exponents, size - dim, factors, 0, dim);
    for (int side = 0; side < layout.sides(); side++) {
      kernels.multiplyElements(size, left, side * size, exponents, 0, carried, side * size);
    }
    int last = size - dim;
    for (int j = 0; j < count; j++) {
      for (int a = 0; a < dim; a++) {
        exponents[j * dim + a] = (float) (cumulative[last + a] - cumulative[j * dim + a]);
      }
    }
    kernels.exp(size, 1, 0, exponents, 0, exponents, 0);
    kernels.multiplyElements(size, k, ko, exponents, 0, departing, 0);
  }

  /// scores ← decayed products of left rows and keys; above the diagonal it leaves anything.
  void scores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed) {
    if (rule.decay() == Decay.CHANNEL) {
      channelScores(left, carried, k, ko, scores, transposed);
      return;
    }
    kernels.multiplyTransposedB(
        layout.sides() * count,
        count,
        dim,
        left,
        0,
        dim,
        k,
        ko,
        dim,
        scores,
        0,
        chunk,
        false,
        transposed,
        0);
    for (int side = 0; side < layout.sides() && rule.decay() != Decay.NONE; side++) {
      int at = side * count * chunk;
      kernels.multiplyElements(count * chunk, scores, at, table, 0, scores, at);
    }
  }

  private void channelScores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed) {
    anchorKeys(-1, count, k, ko);
    kernels.multiplyTransposedB(
        layout.sides() * count,
        count,
        dim,
        carried,
        0,
        dim,
        anchoredKeys,
        0,
        dim,
        scores,
        0,
        chunk,
        false,
        transposed,
        0);
    int anchor = outOfReach(-1, 0, count);
    while (anchor < count) {
      int end = Math.min(count, (anchor / SUB_CHUNK + 1) * SUB_CHUNK);
      anchorKeys(anchor, end, k, ko);
      for (int side = 0; side < layout.sides(); side++) {
        int first = side * count + anchor;
        anchorLeft(anchor, end, left, first * dim);
        kernels.multiplyTransposedB(
            end - anchor,
            end,
            dim,
            anchoredLeft,
            0,
            dim,
            anchoredKeys,
            0,
            dim,
            scores,
            first * chunk,
            chunk,
            false,
            transposed,
            0);
      }
      anchor = outOfReach(anchor, anchor + 1, end);
    }
  }

  /// First row from `from` on that is further than REACH from the anchor's; `to` if there is none.
  private int outOfReach(int anchor, int from, int to) {
    for (int i = from; i < to; i++) {
      for (int a = 0; a < dim; a++) {
        double distance = cumulative[i * dim + a] - anchorAt(anchor, a);
        if (!(distance >= -REACH && distance <= REACH)) {
          return i;
        }
      }
    }
    return to;
  }

  private double anchorAt(int anchor, int a) {
    return anchor < 0 ? 0 : cumulative[anchor * dim + a];
  }

  /// Keys 0 to `to - 1` times exp(anchor − c_j).
  private void anchorKeys(int anchor, int to, float[] k, int ko) {
    for (int j = 0; j < to; j++) {
      for (int a = 0; a < dim; a++) {
        exponents[j * dim + a] = (float) (anchorAt(anchor, a) - cumulative[j * dim + a]);
      }
    }
    kernels.exp(to * dim, 1, 0, exponents, 0, exponents, 0);
    kernels.multiplyElements(to * dim, k, ko, exponents, 0, anchoredKeys, 0);
  }

  /// Left rows `anchor` to `to - 1` times exp(c_i − anchor).
  private void anchorLeft(int anchor, int to, float[] left, int at) {
    int size = (to - anchor) * dim;
    for (int e = 0; e < size; e++) {
      double base = cumulative[anchor * dim + e % dim];
      exponents[e] = (float) (cumulative[anchor * dim + e] - base);
    }
    kernels.exp(size, 1, 0, exponents, 0, exponents, 0);
    kernels.multiplyElements(size, left, at, exponents, 0, anchoredLeft, 0);
  }

  /// S ← exp(c_last) S for a block of columns.
  void state(float[] state, int at, int width, int stride) {
    switch (rule.decay()) {
      case NONE -> {}
      case CONSTANT, TOKEN -> {
        float factor = factors[count - 1];
        kernels.scale(dim * stride, factor, state, at, state, at);
      }
      case CHANNEL -> {
        for (int a = 0; a < dim; a++) {
          int row = at + a * stride;
          kernels.scale(width, factors[a], state, row, state, row);
        }
      }
    }
  }
}
