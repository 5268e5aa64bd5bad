// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import java.util.Arrays;

/// Steps 1 and 2 of [HyperAttention]: hash codes of all queries and keys, and the sorted orders of
/// every square of one level, with its sampled keys in the order of their blocks.
final class HyperSquares {
  private final HyperAttention attention;
  private final AttentionShape shape;
  private final Layout layout;
  private final int n;
  private final int d;
  private final int bits;
  private final int[] queryCodes;
  private final int[] keyCodes;

  /// `[problems, squares, length]` tokens, those of queries without zero rows.
  private final int[] queries;

  private final int[] keys;

  /// `[problems, squares]`: real queries of the smallest code, after which zero rows are sorted in.
  private final int[] beforeZeros;

  /// `[problems, squares, m]` tokens, block after block.
  private final int[] sampled;

  /// `[problems, squares, blocks + 1]`.
  private final int[] sampledStarts;

  private final int[][] counts;
  private int level;

  /// Where the squares of a problem are: level t halves what level t − 1 left.
  ///
  /// @param n tokens
  /// @param causal whether there are halves; otherwise one square of everything
  /// @param levels number of levels of squares
  /// @param leaf longest exact segment; 0 where there is none
  /// @param block keys of a block
  record Layout(int n, boolean causal, int levels, int leaf, int block) {

    static Layout of(int n, boolean causal, int shortest, int block) {
      if (!causal) {
        boolean exact = n < shortest;
        return new Layout(n, false, exact ? 0 : 1, exact ? n : 0, block);
      }
      int length = n;
      int levels = 0;
      while (length > shortest && Math.ceilDiv(length, 2) >= shortest) {
        length = Math.ceilDiv(length, 2);
        levels++;
      }
      return new Layout(n, true, levels, length, block);
    }

    /// Rows and columns of a square, zero rows among them.
    int length(int level) {
      int length = n;
      for (int t = 0; causal && t <= level; t++) {
        length = Math.ceilDiv(length, 2);
      }
      return length;
    }

    int squares(int level) {
      return causal ? 1 << level : 1;
    }

    int blocks(int level) {
      return Math.ceilDiv(length(level), block);
    }

    /// First token of a segment that is split at a level, or of a leaf at level `levels`.
    int start(int level, int segment) {
      return walk(level, segment, true);
    }

    /// Tokens of a segment.
    private int tokens(int level, int segment) {
      return walk(level, segment, false);
    }

    private int walk(int level, int segment, boolean start) {
      int first = 0;
      int tokens = n;
      int length = n;
      for (int t = 0; t < level; t++) {
        length = Math.ceilDiv(length, 2);
        boolean later = (segment >> (level - 1 - t) & 1) == 1;
        first += later ? length : 0;
        tokens = later ? Math.max(0, tokens - length) : Math.min(tokens, length);
      }
      return start ? first : tokens;
    }

    /// Token of a square's first key.
    int firstKey(int level, int square) {
      return causal ? start(level, square) : 0;
    }

    /// Token of a square's first query.
    int firstQuery(int level, int square) {
      return causal ? start(level, square) + length(level) : 0;
    }

    /// Real queries of a square: all its keys are real if there are any.
    int queries(int level, int square) {
      return causal ? Math.max(0, tokens(level, square) - length(level)) : n;
    }

    /// Real queries of a level.
    double queries(int level) {
      double sum = 0;
      for (int s = 0; s < squares(level); s++) {
        sum += queries(level, s);
      }
      return sum;
    }

    /// Sampled keys that the queries of a level see.
    int samples(int level, int sampleSize) {
      return length(level) > block ? sampleSize : 0;
    }

    /// Pairs of the exact segments.
    double leafPairs() {
      if (!causal) {
        return (double) leaf * leaf;
      }
      double pairs = 0;
      for (int s = 0; s < 1 << levels; s++) {
        double tokens = tokens(levels, s);
        pairs += tokens * (tokens + 1) / 2;
      }
      return pairs;
    }

    /// First token of the leaf of a token.
    int leafStart(int token) {
      int first = 0;
      int length = n;
      for (int t = 0; t < levels; t++) {
        length = Math.ceilDiv(length, 2);
        first += token - first >= length ? length : 0;
      }
      return first;
    }

    /// Most rows of the squares of one level.
    int mostRows() {
      int most = 0;
      for (int t = 0; t < levels; t++) {
        most = Math.max(most, Math.multiplyExact(squares(t), length(t)));
      }
      return most;
    }

    /// Most squares of a level.
    int mostSquares() {
      return levels == 0 ? 0 : squares(levels - 1);
    }

    /// Most block borders of the squares of one level.
    int mostBorders() {
      int most = 0;
      for (int t = 0; t < levels; t++) {
        most = Math.max(most, squares(t) * (blocks(t) + 1));
      }
      return most;
    }
  }

  HyperSquares(
      Scratch scratch, HyperAttention attention, AttentionShape shape, Mask mask, int threads) {
    this.attention = attention;
    this.shape = shape;
    layout = attention.layout(shape, mask);
    n = shape.querySeqLen();
    d = shape.headDim();
    bits = attention.lshNumProjs();
    long problems = shape.problems();
    long codes = layout.levels() == 0 ? 0 : problems * n;
    queryCodes = scratch.ints(codes);
    keyCodes = scratch.ints(codes);
    queries = scratch.ints(problems * layout.mostRows());
    keys = scratch.ints(problems * layout.mostRows());
    beforeZeros = scratch.ints(problems * layout.mostSquares());
    sampled = scratch.ints(problems * layout.mostSquares() * attention.sampleSize());
    sampledStarts = scratch.ints(problems * layout.mostBorders());
    counts = new int[threads][];
    for (int t = 0; t < threads; t++) {
      counts[t] = scratch.ints(counters(attention, layout));
    }
  }

  static long bytes(HyperAttention attention, AttentionShape s, Mask mask, int threads) {
    Layout layout = attention.layout(s, mask);
    long codes = layout.levels() == 0 ? 0 : s.querySeqLen();
    long perProblem =
        2 * codes
            + 2L * layout.mostRows()
            + layout.mostSquares() * (1L + attention.sampleSize())
            + layout.mostBorders();
    return Integer.BYTES * (s.problems() * perProblem + threads * counters(attention, layout));
  }

  private static long counters(HyperAttention attention, Layout layout) {
    return layout.levels() == 0 ? 0 : (1L << attention.lshNumProjs()) + 1;
  }

  Layout layout() {
    return layout;
  }

  /// The code of a row, from products in double precision.
  private int code(float[] x, int xo, float[] projections) {
    int bin = 0;
    for (int a = 0; a < bits; a++) {
      double product = 0;
      for (int c = 0; c < d; c++) {
        product += (double) x[xo + c] * projections[c * bits + a];
      }
      bin |= product > 0 ? 1 << a : 0;
    }
    return ordered(bin, attention.codeOrder());
  }

  /// What a bin is sorted by.
  static int ordered(int bin, HyperAttention.CodeOrder order) {
    if (order == HyperAttention.CodeOrder.GRAY) {
      return bin ^ bin >> 1;
    }
    int rank = bin;
    for (int shift = 1; shift < Integer.SIZE; shift *= 2) {
      rank ^= rank >>> shift;
    }
    return rank;
  }

  /// Step 1 for some rows of a problem.
  void hash(int problem, int first, int end, float[] q, float[] k, float[] projections) {
    for (int i = first; i < end; i++) {
      int row = problem * n + i;
      queryCodes[row] = code(q, row * d, projections);
      keyCodes[row] = code(k, row * d, projections);
    }
  }

  /// Which level [#sort] and what follows is about.
  void level(int newLevel) {
    level = newLevel;
  }

  /// Step 2 for one square of one problem of the level.
  ///
  /// @param samples `[B,H,m]`, positions in the sorted order of the keys
  void sort(int worker, int problem, int square, float[] samples) {
    int length = layout.length(level);
    int real = layout.queries(level, square);
    if (real == 0) {
      beforeZeros[problem * layout.squares(level) + square] = 0;
      return;
    }
    int to = first(problem, square);
    int[] count = counts[worker];
    sort(keyCodes, problem * n, layout.firstKey(level, square), length, count, keys, to);
    sort(queryCodes, problem * n, layout.firstQuery(level, square), real, count, queries, to);
    int smallest = 0;
    while (smallest < real && queryCodes[problem * n + queries[to + smallest]] == 0) {
      smallest++;
    }
    beforeZeros[problem * layout.squares(level) + square] = smallest;
    sample(problem, square, samples);
  }

  /// Sorts the tokens `first … first + length - 1` stably by their codes.
  private void sort(
      int[] codes, int row, int first, int length, int[] count, int[] tokens, int to) {
    Arrays.fill(count, 0);
    for (int i = first; i < first + length; i++) {
      count[codes[row + i] + 1]++;
    }
    for (int code = 1; code < count.length; code++) {
      count[code] += count[code - 1];
    }
    for (int i = first; i < first + length; i++) {
      tokens[to + count[codes[row + i]]++] = i;
    }
  }

  /// The sampled keys of a square, block after block, their order within a block kept.
  private void sample(int problem, int square, float[] samples) {
    int m = attention.sampleSize();
    int length = layout.length(level);
    int blocks = layout.blocks(level);
    int starts = borders(problem, square);
    Arrays.fill(sampledStarts, starts, starts + blocks + 1, 0);
    for (int s = 0; s < m; s++) {
      sampledStarts[starts + 1 + position(samples, problem * m + s, length) / layout.block()]++;
    }
    for (int a = 1; a <= blocks; a++) {
      sampledStarts[starts + a] += sampledStarts[starts + a - 1];
    }
    int to = firstSampled(problem, square);
    for (int s = 0; s < m; s++) {
      int position = position(samples, problem * m + s, length);
      int at = sampledStarts[starts + position / layout.block()]++;
      sampled[to + at] = keys[first(problem, square) + position];
    }
    for (int a = blocks; a > 0; a--) {
      sampledStarts[starts + a] = sampledStarts[starts + a - 1];
    }
    sampledStarts[starts] = 0;
  }

  private int position(float[] samples, int at, int length) {
    float position = samples[at];
    if (!(position >= 0 && position < n && position == (int) position)) {
      throw new IllegalArgumentException(
          "hyper_attention: samples must be positions from 0 to keySeqLen - 1 ("
              + (n - 1)
              + "), but was "
              + position);
    }
    return (int) position % length;
  }

  /// Tokens in sorted order, queries without zero rows; those of a square start at [#first].
  int[] queries() {
    return queries;
  }

  /// Tokens of the keys in sorted order; those of a square start at [#first].
  int[] keys() {
    return keys;
  }

  int first(int problem, int square) {
    return problem * layout.mostRows() + square * layout.length(level);
  }

  /// Tokens of sampled keys, block after block; those of a square start at [#firstSampled].
  int[] sampled() {
    return sampled;
  }

  int firstSampled(int problem, int square) {
    return (problem * layout.mostSquares() + square) * attention.sampleSize();
  }

  private int borders(int problem, int square) {
    return problem * layout.mostBorders() + square * (layout.blocks(level) + 1);
  }

  /// Sampled keys of a square in blocks before this one.
  int sampledBefore(int problem, int square, int block) {
    return sampledStarts[borders(problem, square) + block];
  }

  /// Number of real queries of a square before a block: zero rows have code 0 and come after the
  /// real ones of it.
  int queriesBefore(int problem, int square, int block) {
    int real = layout.queries(level, square);
    int zeros = layout.length(level) - real;
    int slot = Math.min(block * layout.block(), layout.length(level));
    int smallest = beforeZeros[problem * layout.squares(level) + square];
    return slot <= smallest ? slot : Math.max(smallest, slot - zeros);
  }

  /// Real keys of a block.
  int keysOf(int block) {
    return Math.clamp((long) layout.length(level) - block * layout.block(), 0, layout.block());
  }
}
