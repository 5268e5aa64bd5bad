// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.LevelStates;
import java.util.Arrays;

/// One chunk of [LogLinear]: its rows, decays and the pairs inside it, with the scratch of one
/// worker.
///
/// With c the cumulative log_decay of the chunk in double, `E_ij = exp(c_i − c_j)`, row i reaches
/// the states before it with `exp(c_i)`, and key j the end of the chunk with `exp(c_last − c_j)`.
/// Chunks are a power of two long, so that inside one the level of a pair follows from the row
/// numbers within it: the keys of level l ≥ 1 are one run of 2^(l−1).
final class LogLinearChunk {
  /// Stands for −∞, so that differences remain numbers.
  private static final double FORGET = -1e4;

  /// Queries times the factor, keys and values, zero where padded, `[count, d]` and `[count, dv]`.
  final float[] queries;

  final float[] keys;
  final float[] values;

  /// Keys as they reach the end of the chunk.
  final float[] departed;

  /// Queries as they reach a state, after [#carry].
  final float[] carried;

  /// Products q·k, and E, `[count, length]`; of use on and below the diagonal.
  final float[] scores;

  final float[] decays;

  /// exp(c_i) and exp(c_last − c_j).
  final float[] entering;

  final float[] leaving;

  /// Rows of a chunk.
  final int length;

  /// Rows of the chunk at hand.
  int count;

  /// First row of the chunk among the rows of all heads.
  int row;

  private final Kernels kernels = Kernels.get();
  private final Mask mask;
  private final int n;
  private final int d;
  private final int dv;
  private final int heads;
  private final int levels;
  private final int innerLevels;
  private final float scale;
  private final double[] cumulative;
  private final float[] weights;
  private final float[] work;
  private int batch;
  private int first;
  private float[] levelScales = new float[0];

  LogLinearChunk(
      AttentionShape shape, Mask mask, double scale, int levels, int length, Scratch scratch) {
    this.mask = mask;
    this.levels = levels;
    this.length = length;
    this.scale = (float) scale;
    n = shape.querySeqLen();
    d = shape.headDim();
    dv = shape.valueDim();
    heads = shape.numHeads();
    innerLevels = Integer.numberOfTrailingZeros(length);
    queries = scratch.floats((long) length * d);
    keys = scratch.floats((long) length * d);
    values = scratch.floats((long) length * dv);
    departed = scratch.floats((long) length * d);
    carried = scratch.floats((long) length * d);
    scores = scratch.floats((long) length * length);
    decays = scratch.floats((long) length * length);
    entering = scratch.floats(length);
    leaving = scratch.floats(length);
    cumulative = scratch.doubles(length);
    weights = scratch.floats(length);
    work = scratch.floats(kernels.transposedBScratch(length, d));
  }

  /// A decay's logarithm, kept finite.
  static double finite(float g) {
    return Math.max(FORGET, g);
  }

  /// Takes the rows of a head from position t on.
  void take(BoundTensors inputs, int problem, int t) {
    batch = problem / heads;
    first = t;
    count = Math.min(length, n - t);
    row = problem * n + t;
    levelScales = inputs.get("level_scales");
    kernels.scale(count * d, scale, inputs.get("q"), row * d, queries, 0);
    copyRows(inputs.get("k"), d, keys);
    copyRows(inputs.get("v"), dv, values);
    decays(inputs.get("log_decay"));
    kernels.scaleRows(count, d, leaving, 0, keys, 0, d, departed, 0, d);
  }

  private void copyRows(float[] from, int width, float[] to) {
    for (int i = 0; i < count; i++) {
      if (isReal(i)) {
        System.arraycopy(from, (row + i) * width, to, i * width, width);
      } else {
        Arrays.fill(to, i * width, (i + 1) * width, 0);
      }
    }
  }

  /// The decay goes on at padded positions; what is no decay, a NaN above all, forgets nothing.
  private void decays(float[] logDecay) {
    double sum = 0;
    for (int i = 0; i < count; i++) {
      float g = logDecay[row + i];
      sum += isReal(i) || g <= 0 ? finite(g) : 0;
      cumulative[i] = sum;
      entering[i] = (float) sum;
    }
    for (int i = 0; i < count; i++) {
      leaving[i] = (float) (sum - cumulative[i]);
    }
    kernels.exp(count, 1, 0, entering, 0, entering, 0);
    kernels.exp(count, 1, 0, leaving, 0, leaving, 0);
  }

  /// Whether a row of the chunk is not padded.
  boolean isReal(int i) {
    return mask.isRealKey(batch, first + i);
  }

  /// Decay over the whole chunk.
  float total() {
    return entering[count - 1];
  }

  /// Number of the chunk in its sequence.
  int number() {
    return first / length;
  }

  /// Products q·k and decays E.
  void products() {
    kernels.multiplyTransposedBLower(
        1, count, count, d, queries, 0, d, keys, 0, d, scores, 0, length, work, 0);
    for (int i = 0; i < count; i++) {
      int at = i * length;
      for (int j = 0; j <= i; j++) {
        decays[at + j] = (float) (cumulative[i] - cumulative[j]);
      }
      kernels.exp(i + 1, 1, 0, decays, at, decays, at);
    }
  }

  /// Multiplies what row i sees with E.
  void decay(int i, float[] rows) {
    int at = i * length;
    kernels.multiplyElements(i + 1, rows, at, decays, at, rows, at);
  }

  /// Multiplies what row i sees with the scale of its level.
  void scaleLevels(int i, float[] rows) {
    int at = i * length;
    rows[at + i] *= levelScale(i, 0);
    for (int l = 1; l <= innerLevels; l++) {
      int run = run(i, l);
      if (run >= 0) {
        kernels.scale(1 << (l - 1), levelScale(i, l), rows, at + run, rows, at + run);
      }
    }
  }

  /// First key of a level l ≥ 1 that row i sees inside the chunk; −1 if there is none.
  int run(int i, int l) {
    return ((i >> (l - 1)) & 1) != 0 ? (i >> l) << l : -1;
  }

  /// Levels inside a chunk beyond 0.
  int innerLevels() {
    return innerLevels;
  }

  /// λ of a row and level.
  float levelScale(int i, int level) {
    return levelScales[levelAt(i, level)];
  }

  /// Where λ of a row and level stands.
  int levelAt(int i, int level) {
    return (row + i) * levels + level;
  }

  /// The level of the states over 2^b chunks.
  int outerLevel(int b) {
    return innerLevels + b + 1;
  }

  /// Forms `λ_i exp(c_i) q_i` for a level of states.
  void carry(int b) {
    for (int i = 0; i < count; i++) {
      weights[i] = levelScale(i, outerLevel(b)) * entering[i];
    }
    kernels.scaleRows(count, d, weights, 0, queries, 0, d, carried, 0, d);
  }

  /// Passes the states over the chunk and adds what it writes, for some value columns.
  ///
  /// @param states of so many columns
  void write(LevelStates states, int column, int width) {
    int to = states.merge(number(), total());
    kernels.multiplyTransposedA(
        d, width, count, departed, 0, d, values, column, dv, states.data(), to, width, true);
  }
}
