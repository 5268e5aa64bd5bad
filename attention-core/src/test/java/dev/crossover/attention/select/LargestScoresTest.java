// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.random.Draws;
import java.util.Arrays;
import java.util.Comparator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class LargestScoresTest {

  /// Rounded scores have many ties; longer rows are looked at group by group.
  @Test
  void keepFirstIsTheBeginningOfASortedListInTheOrderOfItsIndices() {
    LargestScores largest = new LargestScores(new Scratch(), 3000);
    for (int count : new int[] {0, 1, 7, 255, 256, 257, 2999, 3000}) {
      for (int k : new int[] {1, 2, 9, 300, 4000}) {
        for (int steps : new int[] {1, 3, 1000}) {
          float[] scores = Draws.gaussian(count + k, count + 5).data();
          for (int j = 0; j < scores.length; j++) {
            scores[j] = j % 19 == 3 ? Float.NEGATIVE_INFINITY : Math.round(steps * scores[j]);
            scores[j] = j % 23 == 5 ? Float.NaN : scores[j];
          }
          int[] expected =
              IntStream.range(0, count)
                  .filter(j -> scores[2 + j] > Float.NEGATIVE_INFINITY)
                  .boxed()
                  .sorted(Comparator.comparing(j -> -scores[2 + j]))
                  .limit(k)
                  .mapToInt(j -> j)
                  .sorted()
                  .toArray();
          scores[1] = Float.NaN;
          int[] kept = new int[k + 1];
          int size = largest.keepFirst(scores, 2, count, k, kept, 1);
          assertTrue(Float.isNaN(scores[1]), "what is before the row stays");
          assertEquals(expected.length, size, count + " " + k + " " + steps);
          assertArrayEquals(
              expected, Arrays.copyOfRange(kept, 1, 1 + size), count + " " + k + " " + steps);
        }
      }
    }
  }

  /// Sums over kept scores have the same bits in every version only while their order stays: by
  /// block, within it by residue class, within that by index.
  @Test
  void whatIsKeptIsInTheOrderOfItsGroups() {
    LargestScores largest = new LargestScores(new Scratch(), 9000);
    for (int count : new int[] {600, 2049, 8192, 9000}) {
      for (int k : new int[] {1, 8, 64}) {
        float[] scores = Draws.gaussian(count + k, count).data();
        for (int j = 0; j < count; j += 5) {
          scores[j] = Math.round(2 * scores[j]);
        }
        float[] sorted = scores.clone();
        Arrays.sort(sorted);
        float threshold = sorted[count - k];
        int block = LargestScores.block(count, k);
        int[] expected =
            IntStream.range(0, count)
                .filter(j -> scores[j] >= threshold)
                .boxed()
                .sorted(
                    Comparator.comparing((Integer j) -> block == 0 ? 0 : j / block)
                        .thenComparing(j -> block == 0 ? 0 : j % 16)
                        .thenComparing(j -> j))
                .mapToInt(j -> j)
                .toArray();
        int[] kept = new int[count];
        int size = largest.keep(scores, count, k, kept, new float[count]);
        assertArrayEquals(expected, Arrays.copyOf(kept, size), count + " " + k);
      }
    }
  }
}
