// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.RowSelection;
import dev.crossover.attention.kernel.ScoreTile;
import java.util.Arrays;

/// Keeps the largest scores of a row, ties at the threshold included, or of those the first ones.
///
/// The k-th largest of the maxima of disjoint groups is a lower bound of the k-th largest score,
/// because k groups hold a score at least as large. One pass of vector maxima therefore gives a
/// bound that few scores reach; a second pass of comparisons finds them, and counting finds the
/// k-th largest among them, see [RowSelection#kthLargest]. The groups of a block of scores are its
/// residue classes, so that each lane of a vector holds the maximum of one.
public final class LargestScores {
  private static final int SEGMENT = ScoreTile.SEGMENT;
  private static final int LANES = RowSelection.GROUPS;
  private static final int SMALLEST_GROUP = ScoreTile.SMALLEST_BLOCK / LANES;
  private static final int LARGEST_GROUP = 64;
  private static final int GROUPS_PER_KEPT = 4;

  private final float[] maxima;
  private final float[] candidates;
  private final float[] found;
  private final int[] indices;
  private final long[] marks;

  /// @param scratch allocator
  /// @param maxScores longest row
  public LargestScores(Scratch scratch, int maxScores) {
    maxima = scratch.floats(maxima(maxScores));
    candidates = scratch.floats(maxScores);
    found = scratch.floats(maxScores);
    marks = scratch.longs(LANES);
    indices = scratch.ints(maxScores);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxScores) {
    long floats = maxima(maxScores) + 2L * maxScores;
    return floats * Float.BYTES + (long) maxScores * Integer.BYTES + LANES * Long.BYTES;
  }

  private static long maxima(int maxScores) {
    return (long) Math.ceilDiv(maxScores, LANES * SMALLEST_GROUP) * LANES;
  }

  /// Scores whose maxima are taken together when k of at least `count` are wanted; 0 if maxima are
  /// not worth it.
  public static int block(int count, int k) {
    long affordable = count / ((long) GROUPS_PER_KEPT * Math.max(1, k));
    return affordable < SMALLEST_GROUP
        ? 0
        : LANES * (int) Long.highestOneBit(Math.min(LARGEST_GROUP, affordable));
  }

  /// Lists the scores of a row without gaps; see the other form.
  public int keep(float[] scores, int count, int k, int[] kept, float[] keptScores) {
    int block = block(count, k);
    if (block > 0) {
      Arrays.fill(maxima, 0, Math.ceilDiv(count, block) * LANES, Float.NEGATIVE_INFINITY);
    }
    return keep(scores, 0, SEGMENT, count, k, block, maxima, 0, 0, kept, keptScores);
  }

  /// Lists exactly k of the scores of a row, or all if there are fewer: the largest, of equal ones
  /// those of the lower indices, in the order of their indices; −∞ and NaN never.
  ///
  /// @param scores score j is at `at + j`; NaN becomes −∞
  /// @param kept receives the indices j from `to`; has room for k
  /// @return how many there are
  public int keepFirst(float[] scores, int at, int count, int k, int[] kept, int to) {
    for (int j = at; j < at + count; j++) {
      scores[j] = Float.isNaN(scores[j]) ? Float.NEGATIVE_INFINITY : scores[j];
    }
    int block = block(count, k);
    if (block > 0) {
      Arrays.fill(maxima, 0, Math.ceilDiv(count, block) * LANES, Float.NEGATIVE_INFINITY);
    }
    int size = keep(scores, at, SEGMENT, count, k, block, maxima, 0, 0, indices, found);
    float least = Float.POSITIVE_INFINITY;
    for (int s = 0; s < size; s++) {
      least = Math.min(least, found[s]);
    }
    int ties = k;
    for (int s = 0; s < size; s++) {
      ties -= found[s] > least ? 1 : 0;
    }
    int taken = 0;
    for (int j = 0; j < count && taken < Math.min(k, size); j++) {
      float score = scores[at + j];
      if (score > least || (score == least && ties-- > 0)) {
        kept[to + taken++] = j;
      }
    }
    return taken;
  }

  /// Lists the scores that are at least as large as the k-th largest, −∞ and NaN never, in an order
  /// that depends on `count` and `block` only.
  ///
  /// @param scores score j is at `at + j / SEGMENT * stride + j % SEGMENT`, see [ScoreTile].
  ///     Unchanged, unless it is `keptScores` itself
  /// @param block what [#block] gave for no more than `count` scores
  /// @param groups maxima of the groups of the first `done` scores from `go`, −∞ where there are
  ///     none yet; completed here
  /// @param done a multiple of SEGMENT
  /// @param kept receives their indices j; has room for `count`
  /// @param keptScores receives the scores in the same order
  /// @return how many there are: at least k if so many are finite
  public int keep(
      float[] scores,
      int at,
      int stride,
      int count,
      int k,
      int block,
      float[] groups,
      int go,
      int done,
      int[] kept,
      float[] keptScores) {
    int left = count;
    if (block > 0) {
      int piece = Math.min(block, SEGMENT);
      for (int from = done; from < count; from += piece) {
        int start = at + from / SEGMENT * stride + from % SEGMENT;
        int length = Math.min(piece, count - from);
        RowSelection.maxima(length, scores, start, groups, go + from / block * LANES);
      }
      left = candidates(scores, at, stride, count, k, block, groups, go, kept);
    } else {
      takeAll(scores, at, stride, count, kept);
    }
    float threshold = Float.NEGATIVE_INFINITY;
    if (k < left) {
      threshold = RowSelection.kthLargest(left, k, candidates, 0);
    }
    int size = 0;
    for (int s = 0; s < left; s++) {
      if (candidates[s] >= threshold && candidates[s] > Float.NEGATIVE_INFINITY) {
        kept[size] = kept[s];
        keptScores[size++] = candidates[s];
      }
    }
    return size;
  }

  private void takeAll(float[] scores, int at, int stride, int count, int[] kept) {
    for (int from = 0; from < count; from += SEGMENT) {
      int length = Math.min(SEGMENT, count - from);
      System.arraycopy(scores, at + from / SEGMENT * stride, candidates, from, length);
    }
    for (int j = 0; j < count; j++) {
      kept[j] = j;
    }
  }

  /// The scores that reach the k-th largest of the groups' maxima.
  private int candidates(
      float[] scores,
      int at,
      int stride,
      int count,
      int k,
      int block,
      float[] groups,
      int go,
      int[] kept) {
    float bound = RowSelection.kthLargest(Math.ceilDiv(count, block) * LANES, k, groups, go);
    int left = 0;
    for (int from = 0; from < count; from += block) {
      if (RowSelection.atLeast(LANES, bound, groups, go + from / block * LANES) == 0) {
        continue;
      }
      int length = Math.min(block, count - from);
      Arrays.fill(marks, 0);
      for (int piece = 0; piece < length; piece += SEGMENT) {
        int start = at + (from + piece) / SEGMENT * stride + (from + piece) % SEGMENT;
        int scoresLeft = Math.min(SEGMENT, length - piece);
        RowSelection.mark(scoresLeft, bound, scores, start, piece / LANES, marks);
      }
      for (int lane = 0; lane < LANES; lane++) {
        for (long bits = marks[lane]; bits != 0; bits &= bits - 1) {
          int j = from + lane + Long.numberOfTrailingZeros(bits) * LANES;
          candidates[left] = scores[at + j / SEGMENT * stride + j % SEGMENT];
          kept[left++] = j;
        }
      }
    }
    return left;
  }
}
