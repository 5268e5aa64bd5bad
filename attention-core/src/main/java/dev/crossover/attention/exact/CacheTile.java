// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.exact.ScoreOptions.Alibi;
import dev.crossover.attention.exact.ScoreOptions.AlibiForm;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.store.RowTile;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// One worker's attention of some query rows of one key/value head over a [SequenceCache], under
/// [ScoreOptions].
///
/// ```
/// for each 16384 / rows keys that a row sees:
///   s = q · kᵀ, restored in registers or in the first-level cache, or read in place
///   s = cap tanh(s / cap) − slope │p − j│;  s = −∞ where a row does not see
///   m' = max(m, s);  o, z = (o, z) · e^(m − m');  p = e^(s − m');  z = z + Σ p
///   o = o + p · v, likewise
/// out = o / (z + e^(sink − m))
/// ```
///
/// Rows may be of several query heads and of several positions: a token's queries of a group read
/// the cache once, and so do up to 64 positions of a prompt's continuation. Keys outside of every
/// row's window are not read.
final class CacheTile {
  /// Rows of a turn.
  static final int ROWS = 64;

  private static final int TILE = RowTile.ROWS;
  private static final int SCORES = 16384;

  private final ScoreOptions options;
  private final float scale;
  private final int dim;
  private final int valueDim;
  private final int window;
  private final Kernels kernels = Kernels.get();
  private final ScoreRows transform;
  private final float[] query;
  private final float[] sinkQuery;
  private final float[] scores;
  private final RowTile tile;
  private final float[] numerator;
  private final float[] max;
  private final double[] denominator;
  private final int[] position = new int[ROWS];
  private final float[] slope = new float[ROWS];
  private int rows;
  private int lowest;
  private int highest;

  /// @param scale factor on the dot products
  /// @param shape widths; its lengths do not matter
  CacheTile(ScoreOptions options, double scale, AttentionShape shape) {
    Scratch scratch = new Scratch();
    this.options = options;
    this.scale = (float) scale;
    dim = shape.headDim();
    valueDim = shape.valueDim();
    window = options.windowSize().orElse(0);
    transform = new ScoreRows(scratch, options, dim);
    query = scratch.floats((long) ROWS * dim);
    sinkQuery = scratch.floats(options.sinksApart() ? (long) ROWS * dim : 0);
    scores = scratch.floats(SCORES);
    tile = new RowTile(scratch, Math.max(dim, valueDim));
    numerator = scratch.floats((long) ROWS * valueDim);
    max = scratch.floats(ROWS);
    denominator = scratch.doubles(ROWS);
  }

  /// Norm and rotation of this worker.
  ScoreRows transform() {
    return transform;
  }

  /// Forgets the rows before.
  void begin() {
    rows = 0;
    lowest = Integer.MAX_VALUE;
    highest = -1;
  }

  /// Takes one query row.
  ///
  /// @param weight of the norm, where there is one
  /// @param at the query's position
  /// @param newSlope ALiBi's slope of its head
  void add(float[] q, int qo, float @Nullable [] weight, int at, float newSlope) {
    int o = rows * dim;
    transform.forward(q, qo, weight, at, query, o);
    kernels.scale(dim, scale, query, o, query, o);
    if (options.sinksApart()) {
      transform.forward(q, qo, weight, options.position(at, 0), sinkQuery, o);
      kernels.scale(dim, scale, sinkQuery, o, sinkQuery, o);
    }
    position[rows] = at;
    slope[rows] = newSlope;
    lowest = Math.min(lowest, at);
    highest = Math.max(highest, at);
    rows++;
  }

  /// Lets every row see what it may of a head's cache, which holds its own position.
  void attend(SequenceCache cache, int head) {
    Arrays.fill(numerator, 0, rows * valueDim, 0);
    Arrays.fill(max, 0, rows, Float.NEGATIVE_INFINITY);
    Arrays.fill(denominator, 0, rows, 0);
    int end = cache.place(highest) + 1;
    int sinks = Math.min(options.sinkTokens(), end);
    int low = window == 0 ? 0 : cache.place(Math.max(0, lowest - window + 1));
    range(cache, head, 0, sinks, options.sinksApart() ? sinkQuery : query);
    range(cache, head, Math.max(low, sinks), end, query);
  }

  private void range(SequenceCache cache, int head, int from, int to, float[] queries) {
    int chunk = SCORES / Math.max(1, rows) / TILE * TILE;
    for (int start = from; start < to; start += chunk) {
      int count = Math.min(chunk, to - start);
      cache.store.dots(head, start, start + count, rows, queries, 0, scores, 0, chunk, tile);
      boolean hidden = false;
      for (int r = 0; r < rows; r++) {
        alter(cache, r, start, count, r * chunk);
        hidden |= hide(cache, r, start, count, r * chunk);
        weights(r, count, r * chunk);
      }
      mix(cache, head, start, count, chunk, hidden);
    }
  }

  /// Caps a row's scores and adds ALiBi's term.
  private void alter(SequenceCache cache, int r, int start, int count, int so) {
    float cap = (float) options.logitSoftcap().orElse(0);
    if (cap > 0) {
      for (int c = so; c < so + count; c++) {
        scores[c] = cap * (float) Math.tanh(scores[c] / cap);
      }
    }
    if (options.alibi() != Alibi.NONE) {
      boolean signed = options.alibiForm() == AlibiForm.SIGNED;
      for (int c = 0; c < count; c++) {
        int j = cache.position(start + c);
        int difference = options.position(position[r], j) - j;
        scores[so + c] -= slope[r] * (signed ? difference : Math.abs(difference));
      }
    }
  }

  /// Writes −∞ where a row does not see; whether there is such a place.
  private boolean hide(SequenceCache cache, int r, int start, int count, int so) {
    int end = Math.clamp((long) cache.place(position[r]) + 1 - start, 0, count);
    int begin = 0;
    if (window > 0 && start >= Math.min(options.sinkTokens(), cache.place(highest) + 1)) {
      int low = cache.place(Math.max(0, position[r] - window + 1));
      begin = Math.clamp((long) low - start, 0, end);
    }
    Arrays.fill(scores, so, so + begin, Float.NEGATIVE_INFINITY);
    Arrays.fill(scores, so + end, so + count, Float.NEGATIVE_INFINITY);
    return begin > 0 || end < count;
  }

  /// Turns a row's scores into weights, raising its reference where needed.
  private void weights(int r, int count, int so) {
    float largest = kernels.max(count, scores, so);
    if (largest == Float.NEGATIVE_INFINITY) {
      Arrays.fill(scores, so, so + count, 0);
      return;
    }
    if (Float.isNaN(largest) || largest == Float.POSITIVE_INFINITY) {
      denominator[r] = Double.NaN;
      Arrays.fill(scores, so, so + count, 0);
      return;
    }
    if (largest > max[r]) {
      float keep = (float) Math.exp((double) max[r] - largest);
      max[r] = largest;
      denominator[r] *= keep;
      kernels.scale(valueDim, keep, numerator, r * valueDim, numerator, r * valueDim);
    }
    denominator[r] += kernels.exp(count, 1, -max[r], scores, so, scores, so);
  }

  private void mix(SequenceCache cache, int head, int start, int count, int ld, boolean hidden) {
    if (!hidden) {
      cache.store.mix(head, start, start + count, rows, scores, 0, ld, numerator, 0, tile);
      return;
    }
    float[] inPlace = cache.store.valuesInPlace(head);
    for (int c = 0; c < count; c += TILE) {
      int n = Math.min(TILE, count - c);
      float[] values = inPlace == null ? tile.rows() : inPlace;
      int vo = inPlace == null ? 0 : (start + c) * valueDim;
      if (inPlace == null) {
        cache.store.readValues(head, start + c, start + c + n, values, 0);
      }
      if (Float.isFinite(kernels.largestMagnitude(n * valueDim, values, vo))) {
        kernels.multiply(
            rows, valueDim, n, scores, c, ld, values, vo, valueDim, numerator, 0, valueDim, true);
      } else {
        mixSeen(values, vo, n, c, ld);
      }
    }
  }

  /// A weight of zero times NaN is NaN: only what has a weight is added.
  private void mixSeen(float[] values, int vo, int n, int c, int ld) {
    for (int r = 0; r < rows; r++) {
      for (int j = 0; j < n; j++) {
        float weight = scores[r * ld + c + j];
        if (weight != 0) {
          kernels.axpy(valueDim, weight, values, vo + j * valueDim, numerator, r * valueDim);
        }
      }
    }
  }

  /// Divides a row and writes it.
  ///
  /// @param sink the logit in its denominator, −∞ without one
  void finish(int r, float sink, float[] out, int oo) {
    double share = denominator[r] == 0 ? 0 : 1 / denominator[r];
    if (sink != Float.NEGATIVE_INFINITY && denominator[r] > 0) {
      share /= 1 + Math.exp(sink - (max[r] + Math.log(denominator[r])));
    }
    kernels.scale(valueDim, (float) share, numerator, r * valueDim, out, oo);
  }
}
