// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.random.Draws;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class RowSelectionTest {

  @Test
  void maximaAreThoseOfTheGroupsAndOfWhatWasThereBefore() {
    int groups = RowSelection.GROUPS;
    for (int n : new int[] {0, 1, 15, 16, 17, 32, 48, 255, 256, 257}) {
      float[] x = Draws.gaussian(n, n + 3).data();
      float[] y = new float[groups + 1];
      Arrays.fill(y, Float.NEGATIVE_INFINITY);
      y[1 + n % groups] = 100;
      float[] expected = y.clone();
      if (n > 2) {
        x[3 + n / 2] = Float.NaN;
        x[3 + n / 3] = Float.NEGATIVE_INFINITY;
      }
      for (int i = 0; i < n; i++) {
        int g = 1 + i % groups;
        expected[g] = Float.isNaN(x[3 + i]) ? expected[g] : Math.max(expected[g], x[3 + i]);
      }
      RowSelection.maxima(n, x, 3, y, 1);
      assertEquals(Arrays.toString(expected), Arrays.toString(y), "n = " + n);
    }
  }

  /// A sum of 5 products of Gaussian numbers is off by a few ulps of their size.
  @Test
  void mixIsTheWeightedSumOfTheChosenRowsAndReadsNoOther() {
    for (int n : new int[] {1, 15, 16, 20, 64, 100}) {
      float[] v = Draws.gaussian(n, 2 + 9 * n).data();
      Arrays.fill(v, 2 + 4 * n, 2 + 5 * n, Float.NaN);
      float[] weight = Draws.gaussian(2, 5).data();
      int[] index = {8, 0, 3, 3, 5};
      float[] out = new float[n + 1];
      Arrays.fill(out, Float.NaN);
      RowSelection.mix(n, 5, weight, index, v, 2, out, 1);
      for (int c = 0; c < n; c++) {
        double expected = 0;
        for (int s = 0; s < 5; s++) {
          expected += (double) weight[s] * v[2 + index[s] * n + c];
        }
        assertEquals(expected, out[1 + c], 1e-5, "n = " + n);
      }
      float[] later = new float[n];
      RowSelection.mix(n, 3, weight, index, 2, v, 2, later, 0);
      for (int c = 0; c < n; c++) {
        double expected = 0;
        for (int s = 0; s < 3; s++) {
          expected += (double) weight[s] * v[2 + index[2 + s] * n + c];
        }
        assertEquals(expected, later[c], 1e-5, "from 2, n = " + n);
      }
      RowSelection.mix(n, 0, weight, index, v, 2, out, 1);
      assertEquals(0, out[n], "nothing chosen gives zeros");
    }
  }

  /// Rounded scores have ties; sorting puts NaN last, where it counts as smallest.
  @Test
  void kthLargestIsThatOfTheSortedListAndReordersNothing() {
    for (int n : new int[] {1, 2, 15, 16, 17, 64, 100, 257, 1000}) {
      for (int kind = 0; kind < 6; kind++) {
        float[] x = Draws.gaussian(n + kind, n + 3).data();
        for (int i = 0; i < x.length; i++) {
          switch (kind) {
            case 1 -> x[i] = Math.round(x[i]);
            case 2 -> x[i] = i % 5 == 1 ? Float.NEGATIVE_INFINITY : 1e30f * x[i];
            case 3 -> x[i] = i % 3 == 0 ? Float.NaN : 1e-42f * x[i];
            case 4 -> x[i] = i % 7 == 0 ? Float.POSITIVE_INFINITY : -0f;
            case 5 -> x[i] = (float) Math.exp(40 * x[i]);
            default -> x[i] += 1e6f;
          }
        }
        float[] before = x.clone();
        float[] sorted = Arrays.copyOfRange(x, 3, 3 + n);
        Arrays.sort(sorted);
        int nan = 0;
        while (nan < n && Float.isNaN(sorted[n - 1 - nan])) {
          nan++;
        }
        for (int k = 1; k <= n; k += Math.max(1, n / 23)) {
          float expected = k <= n - nan ? sorted[n - nan - k] : Float.NEGATIVE_INFINITY;
          float actual = RowSelection.kthLargest(n, k, x, 3);
          assertEquals(0, Float.compare(expected + 0f, actual + 0f), n + " " + kind + " " + k);
        }
        assertArrayEquals(before, x);
      }
    }
  }

  @Test
  void marksAreByGroupAndCountsAreOfWhatReachesTheBound() {
    int groups = RowSelection.GROUPS;
    for (int n : new int[] {0, 1, 15, 16, 17, 48, 255, 256, 257}) {
      float[] x = Draws.gaussian(n, n + 3).data();
      if (n > 2) {
        x[3 + n / 2] = Float.NaN;
        x[3 + n / 3] = 0.25f;
      }
      long[] marks = new long[groups];
      marks[groups - 1] = 1;
      RowSelection.mark(n, 0.25f, x, 3, 5, marks);
      int count = 0;
      for (int i = 0; i < n; i++) {
        boolean marked = (marks[i % groups] >> 5 + i / groups & 1) == 1;
        assertEquals(x[3 + i] >= 0.25f, marked, "n = " + n + ", " + i);
        count += marked ? 1 : 0;
      }
      assertEquals(count, RowSelection.atLeast(n, 0.25f, x, 3));
      assertEquals(count + 1, Arrays.stream(marks).map(Long::bitCount).sum(), "other bits stay");
    }
  }

  @Test
  void addReluAddsTheWeightedPositivePart() {
    float[] x = {9, 2, -3, 0, Float.NaN, 5};
    float[] y = {7, 1, 1, 1, 1, 1};
    RowSelection.addRelu(4, -2, 0.5f, x, 1, y, 1);
    assertArrayEquals(new float[] {7, -1, 1, 1, Float.NaN, 1}, y);
    RowSelection.addRelu(1, 3, -1, x, 2, y, 0);
    assertEquals(16, y[0], "a negative scale turns the sign");
  }

  @Test
  void largestAreTheFirstOfASortedListWithoutNanAndInTheOrderOfTheirIndices() {
    for (int count : new int[] {0, 1, 5, 16, 17, 63, 64, 65, 128, 200}) {
      for (int wanted : new int[] {0, 1, 3, 15, 64, 201}) {
        float[] x = Draws.gaussian(count + wanted, count + 5).data();
        for (int i = 0; i < x.length; i++) {
          x[i] = i % 17 == 9 ? Float.NaN : Math.round(3 * x[i]);
        }
        int[] expected =
            IntStream.range(0, count)
                .filter(i -> !Float.isNaN(x[2 + i]))
                .boxed()
                .sorted(Comparator.comparing((Integer i) -> -x[2 + i]).thenComparing(i -> i))
                .limit(wanted)
                .mapToInt(i -> i)
                .sorted()
                .toArray();
        int[] into = new int[wanted + 2];
        Arrays.fill(into, 7);
        RowSelection.largest(count, wanted, x, 2, into, 1);
        int[] all = Arrays.copyOf(new int[] {7}, wanted + 2);
        Arrays.fill(all, 1, wanted + 1, -1);
        System.arraycopy(expected, 0, all, 1, expected.length);
        all[wanted + 1] = 7;
        assertArrayEquals(all, into, count + " scores, " + wanted + " wanted");
      }
    }
  }
}
