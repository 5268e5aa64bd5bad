package dev.crossover.variants.sparse;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.ScoreTile;

/// Keeps the largest scores of a row, ties at the threshold included.
///
/// The k-th largest of the maxima of disjoint groups is a lower bound of the k-th largest score,
/// because k groups hold a score at least as large. One pass of vector maxima therefore leaves few
/// candidates to a quickselect, and few groups to read again.
final class LargestScores {
  private static final int SEGMENT = ScoreTile.SEGMENT;
  private static final int SMALLEST_GROUP = 8;
  private static final int LARGEST_GROUP = 64;
  private static final int GROUPS_PER_KEPT = 4;

  private final Kernels kernels = Kernels.get();
  private final float[] maxima;
  private final float[] candidates;
  private int group;
  private boolean grouped;

  /// @param scratch allocator
  /// @param maxScores longest row
  LargestScores(Scratch scratch, int maxScores) {
    maxima = scratch.floats(Math.ceilDiv(maxScores, SMALLEST_GROUP));
    candidates = scratch.floats(maxScores);
  }

  /// Bytes the constructor allocates.
  static long bytes(int maxScores) {
    return ((long) Math.ceilDiv(maxScores, SMALLEST_GROUP) + maxScores) * Float.BYTES;
  }

  /// Lists the scores that are at least as large as the k-th largest, in order, −∞ and NaN never.
  ///
  /// @param scores score j is at `at + j / SEGMENT * stride + j % SEGMENT`, see [ScoreTile]; a
  ///     stride of SEGMENT is a row without gaps. Unchanged, unless it is `keptScores` itself
  /// @param kept receives their indices j
  /// @param keptScores receives the scores in the same order
  /// @return how many there are: at least k if so many are finite
  int keep(float[] scores, int at, int stride, int count, int k, int[] kept, float[] keptScores) {
    float threshold = threshold(scores, at, stride, count, k);
    int size = 0;
    for (int from = 0, g = 0; from < count; from += group, g++) {
      if (grouped && !(maxima[g] >= threshold)) {
        continue;
      }
      int start = at + from / SEGMENT * stride + from % SEGMENT;
      int length = Math.min(count - from, group);
      for (int j = 0; j < length; j++) {
        float score = scores[start + j];
        if (score >= threshold && score > Float.NEGATIVE_INFINITY) {
          kept[size] = from + j;
          keptScores[size++] = score;
        }
      }
    }
    return size;
  }

  /// The k-th largest score; −∞ if there are not more than k.
  private float threshold(float[] scores, int at, int stride, int count, int k) {
    group = SEGMENT;
    grouped = false;
    if (k >= count) {
      return Float.NEGATIVE_INFINITY;
    }
    float bound = Float.NEGATIVE_INFINITY;
    long affordable = count / ((long) GROUPS_PER_KEPT * k);
    if (affordable >= SMALLEST_GROUP) {
      grouped = true;
      group = (int) Long.highestOneBit(Math.min(LARGEST_GROUP, affordable));
      int groups = 0;
      for (int from = 0; from < count; from += group) {
        int start = at + from / SEGMENT * stride + from % SEGMENT;
        maxima[groups] = kernels.max(Math.min(group, count - from), scores, start);
        candidates[groups] = maxima[groups];
        groups++;
      }
      bound = kthLargest(candidates, groups, k);
    }
    int left = 0;
    for (int from = 0, g = 0; from < count; from += group, g++) {
      if (grouped && !(maxima[g] >= bound)) {
        continue;
      }
      int start = at + from / SEGMENT * stride + from % SEGMENT;
      int length = Math.min(count - from, group);
      for (int j = 0; j < length; j++) {
        if (scores[start + j] >= bound) {
          candidates[left++] = scores[start + j];
        }
      }
    }
    return left < k ? Float.NEGATIVE_INFINITY : kthLargest(candidates, left, k);
  }

  /// The k-th largest of `a[0 … n)`, which is reordered: quickselect in three parts, so that many
  /// equal values end at once. NaN counts as smallest.
  ///
  /// @param k from 1 to n
  static float kthLargest(float[] a, int n, int k) {
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
