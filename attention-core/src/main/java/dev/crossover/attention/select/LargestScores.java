// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.RowSelection;
import dev.crossover.attention.kernel.ScoreTile;
import java.util.Arrays;

/// Keeps the largest scores of a row, ties at the threshold included, or of those the first ones.
///
/// The k-th largest of the maxima of disjoint groups is a lower bound of the k-th largest score,
/// because k groups hold a score at least as large. One pass of vector maxima therefore leaves few
/// groups to read again, and few candidates to a quickselect. The groups of a block of scores are
/// its residue classes, so that each lane of a vector holds the maximum of one.
public final class LargestScores {
  private static final int SEGMENT = ScoreTile.SEGMENT;
  private static final int LANES = RowSelection.GROUPS;
  private static final int SMALLEST_GROUP = ScoreTile.SMALLEST_BLOCK / LANES;
  private static final int LARGEST_GROUP = 64;
  private static final int GROUPS_PER_KEPT = 4;

  private final float[] maxima;
  private final float[] candidates;
  private final float[] reordered;
  private final int[] indices;

  /// @param scratch allocator
  /// @param maxScores longest row
  public LargestScores(Scratch scratch, int maxScores) {
    maxima = scratch.floats(maxima(maxScores));
    candidates = scratch.floats(maxScores);
    reordered = scratch.floats(Math.max(maxScores, maxima(maxScores)));
    indices = scratch.ints(maxScores);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxScores) {
    long floats = maxima(maxScores) + maxScores + Math.max(maxScores, maxima(maxScores));
    return floats * Float.BYTES + (long) maxScores * Integer.BYTES;
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
    int found = keep(scores, at, SEGMENT, count, k, block, maxima, 0, 0, indices, reordered);
    float least = Float.POSITIVE_INFINITY;
    for (int s = 0; s < found; s++) {
      least = Math.min(least, reordered[s]);
    }
    int ties = k;
    for (int s = 0; s < found; s++) {
      ties -= reordered[s] > least ? 1 : 0;
    }
    int size = 0;
    for (int j = 0; j < count && size < Math.min(k, found); j++) {
      float score = scores[at + j];
      if (score > least || (score == least && ties-- > 0)) {
        kept[to + size++] = j;
      }
    }
    return size;
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
      System.arraycopy(candidates, 0, reordered, 0, left);
      threshold = kthLargest(reordered, left, k);
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
    int size = Math.ceilDiv(count, block) * LANES;
    System.arraycopy(groups, go, reordered, 0, size);
    float bound = kthLargest(reordered, size, k);
    int left = 0;
    for (int g = 0; g < size; g++) {
      if (!(groups[go + g] >= bound)) {
        continue;
      }
      int from = g / LANES * block;
      int end = Math.min(count, from + block);
      for (int j = from + g % LANES; j < end; j += LANES) {
        float score = scores[at + j / SEGMENT * stride + j % SEGMENT];
        if (score >= bound) {
          candidates[left] = score;
          kept[left++] = j;
        }
      }
    }
    return left;
  }

  /// The k-th largest of `a[0 … n)`, which is reordered: quickselect in three parts, so that many
  /// equal values end at once. NaN counts as smallest.
  ///
  /// @param k from 1 to n
  public static float kthLargest(float[] a, int n, int k) {
    int low = 0;
    int high = n - 1;
    int wanted = k - 1;
    while (low < high) {
      float pivot = median(a[low], a[(low + high) >>> 1], a[high]);
      int larger = low;
      int smaller = high;
      for (int i = low; i <= smaller; ) {
        float value = a[i];
        if (value > pivot) {
          a[i++] = a[larger];
          a[larger++] = value;
        } else if (value == pivot) {
          i++;
        } else {
          a[i] = a[smaller];
          a[smaller--] = value;
        }
      }
      if (wanted < larger) {
        high = larger - 1;
      } else if (wanted <= smaller) {
        return pivot;
      } else if (smaller < low) {
        return Float.NEGATIVE_INFINITY;
      } else {
        low = smaller + 1;
      }
    }
    return a[low];
  }

  private static float median(float a, float b, float c) {
    float low = Math.min(a, b);
    float high = Math.max(a, b);
    return Math.max(low, Math.min(high, c));
  }
}
