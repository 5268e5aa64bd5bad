package dev.crossover.variants.sparse;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;

/// Keeps the largest scores of a row, ties at the threshold included.
///
/// The k-th largest of the maxima of disjoint groups is a lower bound of the k-th largest score,
/// because k groups hold a score at least as large. One pass of vector maxima therefore leaves few
/// candidates to a quickselect, and few groups to read again.
final class LargestScores {
  private static final int SMALLEST_GROUP = 8;
  private static final int LARGEST_GROUP = 64;
  private static final int GROUPS_PER_KEPT = 4;

  private final Kernels kernels = Kernels.get();
  private final float[] maxima;
  private final float[] candidates;
  private int group;

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
  /// @param scores the row, from `at`; unchanged, unless it is `keptScores` itself
  /// @param kept receives their indices, from 0
  /// @param keptScores receives the scores in the same order
  /// @return how many there are: at least k if so many are finite
  int keep(float[] scores, int at, int count, int k, int[] kept, float[] keptScores) {
    float threshold = threshold(scores, at, count, k);
    int size = 0;
    for (int from = 0, g = 0; from < count; from += group, g++) {
      if (group < count && !(maxima[g] >= threshold)) {
        continue;
      }
      int to = Math.min(count, from + group);
      for (int j = from; j < to; j++) {
        float score = scores[at + j];
        if (score >= threshold && score > Float.NEGATIVE_INFINITY) {
          kept[size] = j;
          keptScores[size++] = score;
        }
      }
    }
    return size;
  }

  /// The k-th largest score; −∞ if there are not more than k.
  private float threshold(float[] scores, int at, int count, int k) {
    group = Math.max(1, count);
    if (k >= count) {
      return Float.NEGATIVE_INFINITY;
    }
    float bound = Float.NEGATIVE_INFINITY;
    int size = (int) Math.min(LARGEST_GROUP, count / ((long) GROUPS_PER_KEPT * k));
    if (size >= SMALLEST_GROUP) {
      group = size;
      int groups = Math.ceilDiv(count, size);
      for (int g = 0; g < groups; g++) {
        int from = g * size;
        maxima[g] = kernels.max(Math.min(size, count - from), scores, at + from);
        candidates[g] = maxima[g];
      }
      bound = kthLargest(candidates, groups, k);
    }
    int left = 0;
    for (int from = 0, g = 0; from < count; from += group, g++) {
      if (group < count && !(maxima[g] >= bound)) {
        continue;
      }
      int to = Math.min(count, from + group);
      for (int j = from; j < to; j++) {
        if (scores[at + j] >= bound) {
          candidates[left++] = scores[at + j];
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
