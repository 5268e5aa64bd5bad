package dev.crossover.attention.recurrent;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.UpdateRule.Decay;
import java.util.Arrays;

/// The decays of one chunk, from differences of cumulative logarithms that restart at the chunk.
///
/// With c_i = g_0 + … + g_i in double: what enters from S decays by `exp(c_i)`, what row j writes
/// reaches row i ≥ j decayed by `exp(c_i − c_j)` and the end of the chunk by `exp(c_last − c_j)`.
///
/// As long as c stays within a reach of 0, `exp(c_i − c_j)` splits into `exp(c_i)` on row i, which
/// S wants anyway, and `exp(−c_j)` on key j, and so does the way to the end of the chunk: mild
/// gates cost two scalings. Which rows are within reach is decided row by row, so that row i
/// depends on g up to i only. For rows beyond, exponents are formed as differences, never above the
/// diagonal, so that nothing overflows: one number per pair of rows for decay per token; for decay
/// per channel, where they do not factor out of the products `Σ_a x_ia k_ja exp(c_ia − c_ja)`,
/// relative to another anchor r, by `exp(c_i − r)` and `exp(r − c_j)`. The next anchor is the first
/// row out of reach, and serves up to the end of its sub-chunk of [#SUB_CHUNK] rows: with strong
/// gates this is the sub-chunk scheme of GLA (arXiv:2312.06635, section 4.3).
final class ChunkDecay {
  /// Rows of a sub-chunk.
  static final int SUB_CHUNK = 16;

  /// Largest distance of decays per row: `exp(ROW_REACH)²` is far from overflow.
  private static final double ROW_REACH = 40;

  /// Largest distance of decays per channel from an anchor: rounding an exponent of this size to
  /// float32 costs a relative 1e-6.
  private static final double REACH = 16;

  /// Stands for −∞, so that differences remain numbers.
  private static final float FORGET = -1e5f;

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
  private int count;
  private int reach;
  private int constantReach;

  /// Keys as they enter S: times `exp(−c_j)` while all rows are within reach, else times
  /// `exp(c_last − c_j)`.
  final float[] moved;

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
    moved = scratch.floats(layout.moved());
  }

  /// Prepares a head: the powers of a constant decay are the same for all its chunks.
  void head(int head) {
    if (rule.decay() != Decay.CONSTANT) {
      return;
    }
    double g = rule.logDecay(head, 0);
    for (int m = 0; m <= chunk; m++) {
      exponents[m] = m == 0 ? 1 : (float) Math.exp(m * g);
    }
    constantReach = 0;
    for (int i = 0; i < chunk; i++) {
      double c = (i + 1) * g;
      constantReach = c >= -ROW_REACH && c <= ROW_REACH ? i + 1 : constantReach;
      factors[i] = exponents[i + 1];
      factors[chunk + i] = (float) Math.exp(-c);
      for (int j = 0; j <= i; j++) {
        table[i * chunk + j] = exponents[i - j];
      }
      Arrays.fill(table, i * chunk + i + 1, (i + 1) * chunk, 0);
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
    if (i == 0) {
      for (int a = 0; a < dim; a++) {
        cumulative[a] = Math.max(FORGET, g[at + a]);
      }
    } else {
      addRow(dim, cumulative, (i - 1) * dim, g, at);
    }
  }

  private static void addRow(int dim, double[] cumulative, int before, float[] g, int at) {
    for (int a = 0; a < dim; a++) {
      cumulative[before + dim + a] = cumulative[before + a] + Math.max(FORGET, g[at + a]);
    }
  }

  /// Starts a chunk whose g have been taken: forms the factors `exp(c_i)` and `exp(−c_i)`.
  void begin(int rows) {
    count = rows;
    switch (rule.decay()) {
      case NONE -> reach = rows;
      case CONSTANT -> reach = Math.min(rows, constantReach);
      case TOKEN -> {
        rowFactors();
        reach = 0;
        while (reach < rows && Math.abs(cumulative[reach]) <= ROW_REACH) {
          reach++;
        }
      }
      case CHANNEL -> {
        int size = rows * dim;
        round(size, cumulative, exponents);
        reach = kernels.largestMagnitude(size, exponents, 0) <= REACH ? rows : channelReach();
        kernels.exp(size, -1, 0, exponents, 0, moved, 0);
        kernels.exp(size, 1, 0, exponents, 0, exponents, 0);
        System.arraycopy(exponents, size - dim, factors, 0, dim);
      }
    }
  }

  /// exp(c_i) and exp(−c_i), with the rounding of c_i to float32 made good.
  private void rowFactors() {
    for (int i = 0; i < count; i++) {
      factors[i] = (float) cumulative[i];
      factors[chunk + i] = -factors[i];
    }
    kernels.exp(count, 1, 0, factors, 0, exponents, 0);
    kernels.exp(count, 1, 0, factors, chunk, exponents, chunk);
    for (int i = 0; i < count; i++) {
      float rest = (float) (cumulative[i] - factors[i]);
      factors[i] = Math.fma(exponents[i], rest, exponents[i]);
      factors[chunk + i] = Math.fma(exponents[chunk + i], -rest, exponents[chunk + i]);
    }
  }

  private static void round(int size, double[] x, float[] y) {
    for (int e = 0; e < size; e++) {
      y[e] = (float) x[e];
    }
  }

  private int channelReach() {
    int rows = 0;
    while (rows < count && kernels.largestMagnitude(dim, exponents, rows * dim) <= REACH) {
      rows++;
    }
    return rows;
  }

  /// Number of leading rows whose c is within reach.
  int reach() {
    return reach;
  }

  /// `exp(c_i)` of a row, for decay by one number.
  float factor(int i) {
    return factors[i];
  }

  /// carried ← exp(c) ∘ left, for decay per channel.
  ///
  /// @param left rows `[sides · count, d]`
  void carryChannels(float[] left, float[] carried) {
    int size = count * dim;
    for (int side = 0; side < layout.sides(); side++) {
      kernels.multiplyElements(size, left, side * size, exponents, 0, carried, side * size);
    }
  }

  /// scores ← decayed products of left rows and keys, and the keys as they enter S; above the
  /// diagonal it leaves anything.
  ///
  /// @param left rows `[sides · count, d]`, needed from row [#reach] of each side on, without decay
  ///     and per channel from the first
  /// @param carried `left` times `exp(c)`
  /// @param k keys from `ko`, `[count, d]`
  void scores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed) {
    switch (rule.decay()) {
      case NONE -> lower(left, k, ko, scores, transposed);
      case CONSTANT, TOKEN -> {
        anchoredAtStart(k, ko);
        anchored(carried, scores, transposed);
        if (reach < count) {
          beyondReach(left, k, ko, scores, transposed);
          departing(k, ko);
        }
      }
      case CHANNEL -> {
        anchoredAtStart(k, ko);
        anchored(carried, scores, transposed);
        if (reach < count) {
          moreAnchors(left, k, ko, scores, transposed);
          departing(k, ko);
        }
      }
    }
  }

  /// The keys as they enter S, without any scores.
  void keys(float[] k, int ko) {
    if (reach == count) {
      anchoredAtStart(k, ko);
    } else {
      departing(k, ko);
    }
  }

  /// moved_j = exp(−c_j) k_j for the keys within reach.
  private void anchoredAtStart(float[] k, int ko) {
    switch (rule.decay()) {
      case NONE -> {}
      case CONSTANT, TOKEN -> scaleKeys(reach, chunk, k, ko);
      case CHANNEL -> kernels.multiplyElements(count * dim, k, ko, moved, 0, moved, 0);
    }
  }

  private void lower(float[] left, float[] k, int ko, float[] scores, float[] transposed) {
    kernels.multiplyTransposedBLower(
        layout.sides(),
        count,
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
        transposed,
        0);
  }

  /// Scores of the rows within reach, from the keys times exp(−c_j). Rows beyond reach take part,
  /// so that the kernel, and with it the bits of a row, do not depend on how many there are.
  private void anchored(float[] carried, float[] scores, float[] transposed) {
    if (reach > 0) {
      lower(carried, moved, 0, scores, transposed);
    }
  }

  /// Scores of the rows beyond reach, for decay by one number: products times exp(c_i − c_j).
  private void beyondReach(float[] left, float[] k, int ko, float[] scores, float[] transposed) {
    if (rule.decay() == Decay.TOKEN) {
      differences();
    }
    int rows = count - reach;
    for (int side = 0; side < layout.sides(); side++) {
      int row = side * count + reach;
      int at = row * chunk;
      kernels.multiplyTransposedB(
          rows,
          count,
          dim,
          left,
          row * dim,
          dim,
          k,
          ko,
          dim,
          scores,
          at,
          chunk,
          false,
          transposed,
          0);
      for (int i = 0; i < rows; i++) {
        int o = at + i * chunk;
        kernels.multiplyElements(count, scores, o, table, (reach + i) * chunk, scores, o);
      }
    }
  }

  /// table_ij = exp(c_i − c_j) for j ≤ i, 0 above, in rows beyond reach.
  private void differences() {
    for (int i = reach; i < count; i++) {
      double own = cumulative[i];
      int at = i * chunk;
      for (int j = 0; j <= i; j++) {
        exponents[at + j] = (float) (own - cumulative[j]);
      }
      Arrays.fill(exponents, at + i + 1, at + chunk, Float.NEGATIVE_INFINITY);
    }
    int at = reach * chunk;
    kernels.exp((count - reach) * chunk, 1, 0, exponents, at, table, at);
  }

  /// moved_j = exp(c_last − c_j) k_j.
  private void departing(float[] k, int ko) {
    switch (rule.decay()) {
      case NONE -> {}
      case CONSTANT -> {
        for (int j = 0; j < count; j++) {
          kernels.scale(dim, exponents[count - 1 - j], k, ko + j * dim, moved, j * dim);
        }
      }
      case TOKEN -> {
        double last = cumulative[count - 1];
        for (int j = 0; j < count; j++) {
          factors[chunk + j] = (float) (last - cumulative[j]);
        }
        kernels.exp(count, 1, 0, factors, chunk, factors, chunk);
        scaleKeys(count, chunk, k, ko);
      }
      case CHANNEL -> {
        int last = (count - 1) * dim;
        for (int j = 0; j < count; j++) {
          for (int a = 0; a < dim; a++) {
            exponents[j * dim + a] = (float) (cumulative[last + a] - cumulative[j * dim + a]);
          }
        }
        kernels.exp(count * dim, 1, 0, exponents, 0, exponents, 0);
        kernels.multiplyElements(count * dim, k, ko, exponents, 0, moved, 0);
      }
    }
  }

  /// moved_j = factors[at + j] k_j for the first keys.
  private void scaleKeys(int keys, int at, float[] k, int ko) {
    for (int j = 0; j < keys; j++) {
      kernels.scale(dim, factors[at + j], k, ko + j * dim, moved, j * dim);
    }
  }

  /// Scores of the rows beyond reach, for decay per channel.
  private void moreAnchors(float[] left, float[] k, int ko, float[] scores, float[] transposed) {
    int anchor = reach;
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
            moved,
            0,
            dim,
            scores,
            first * chunk,
            chunk,
            false,
            transposed,
            0);
      }
      anchor = outOfReach(anchor, end);
    }
  }

  /// First row after the anchor that is further than REACH from it; `to` if there is none.
  private int outOfReach(int anchor, int to) {
    for (int i = anchor + 1; i < to; i++) {
      for (int a = 0; a < dim; a++) {
        double distance = cumulative[i * dim + a] - cumulative[anchor * dim + a];
        if (!(distance >= -REACH && distance <= REACH)) {
          return i;
        }
      }
    }
    return to;
  }

  /// Keys 0 to `to - 1` times exp(anchor − c_j).
  private void anchorKeys(int anchor, int to, float[] k, int ko) {
    for (int j = 0; j < to; j++) {
      for (int a = 0; a < dim; a++) {
        exponents[j * dim + a] = (float) (cumulative[anchor * dim + a] - cumulative[j * dim + a]);
      }
    }
    kernels.exp(to * dim, 1, 0, exponents, 0, exponents, 0);
    kernels.multiplyElements(to * dim, k, ko, exponents, 0, moved, 0);
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

  /// Whether S decays after the keys have entered it rather than before: then `moved` holds them
  /// as seen from the start of the chunk.
  boolean decaysAfterwards() {
    return reach == count;
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
