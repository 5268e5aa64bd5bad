// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.select.LargestScores;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class TopKTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new TopK(3);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new TopK(1));
  }

  @Override
  public Reference reference() {
    return TopKTest::expected;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(TopK.class);
  }

  @Test
  void keepingEveryKeyEqualsExact() {
    for (int n : new int[] {1, 8, 70}) {
      AttentionShape shape = AttentionShape.of(2, 2, n, 8);
      Attention all = new TopK(n);
      Tensors inputs = all.adapt(shape, Tensors.NONE, 5);
      for (Mask mask : List.of(Mask.none(), Mask.causal())) {
        SparseRuns.requireClose(
            SparseRuns.run(new Tiled(), shape, mask, inputs),
            SparseRuns.run(all, shape, mask, inputs),
            mask.label() + ", n = " + n);
      }
    }
  }

  @Test
  void oneKeptKeyReturnsItsValue() {
    int n = 300;
    AttentionShape shape = AttentionShape.of(1, 1, n, 8);
    Tensors inputs = new TopK(1).adapt(shape, Tensors.NONE, 6);
    Tensor out = SparseRuns.run(new TopK(1), shape, Mask.none(), inputs);
    for (int i = 0; i < n; i++) {
      int best = 0;
      double most = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < n; j++) {
        double score = Oracle.dot(shape, inputs.get("q"), inputs.get("k"), 0, 0, i, j);
        best = score > most ? j : best;
        most = Math.max(most, score);
      }
      assertEquals(inputs.get("v").data()[best * 8], out.data()[i * 8], "row " + i);
    }
  }

  @Test
  void equalKeysAreTiesWhereverTheyStand() {
    int n = 1301;
    AttentionShape shape = AttentionShape.of(1, 1, n, 20);
    Tensors inputs = new TopK(1).adapt(shape, Tensors.NONE, 7);
    int[] copies = {0, 1, 15, 16, 17, 700, 1023, 1024, 1296, 1299, 1300};
    float[] key = inputs.get("k").data();
    float[] value = inputs.get("v").data();
    for (int copy : copies) {
      for (int c = 0; c < 20; c++) {
        key[copy * 20 + c] = 3 * inputs.get("q").data()[c];
        value[copy * 20 + c] = copy;
      }
    }
    Tensor out = SparseRuns.run(new TopK(2), shape, Mask.none(), inputs);
    double mean = Arrays.stream(copies).average().orElseThrow();
    assertEquals(mean, out.data()[0], 1e-3, "row 0 keeps all eleven copies with equal weights");
  }

  @Test
  void divisorKeepsAShareOfTheKeysWithALowerBound() {
    assertEquals(8, new TopK(OptionalInt.empty(), OptionalInt.empty(), 0).keysKept(100));
    assertEquals(25, new TopK(OptionalInt.empty(), OptionalInt.of(4), 0).keysKept(100));
    assertEquals(26, new TopK(OptionalInt.empty(), OptionalInt.of(4), 0).keysKept(101));
    assertEquals(30, new TopK(OptionalInt.empty(), OptionalInt.of(4), 30).keysKept(100));
    assertEquals(20, new TopK(OptionalInt.empty(), OptionalInt.of(4), 30).keysKept(20));
  }

  @Test
  void selectionAgreesWithSorting() {
    for (int n : new int[] {1, 2, 9, 64, 500, 4097}) {
      float[] scores = Draws.gaussian(n, n).data();
      for (int j = 0; j < n; j += 3) {
        scores[j] = Math.round(scores[j]);
      }
      float[] sorted = scores.clone();
      Arrays.sort(sorted);
      LargestScores largest = new LargestScores(new Scratch(), n);
      int[] kept = new int[n];
      float[] keptScores = new float[n];
      for (int k : new int[] {1, 2, 7, 50, n / 2 + 1, n}) {
        int wanted = Math.min(k, n);
        float threshold = sorted[n - wanted];
        long expected = 0;
        for (float score : scores) {
          expected += score >= threshold ? 1 : 0;
        }
        int count = largest.keep(scores, n, wanted, kept, keptScores);
        assertEquals(expected, count, "n = " + n + ", k = " + k);
        for (int s = 0; s < count; s++) {
          assertEquals(scores[kept[s]], keptScores[s]);
          assertEquals(true, keptScores[s] >= threshold);
        }
      }
    }
  }

  @Test
  void twoRulesAtOnceAreRefused() {
    assertThrows(
        IllegalArgumentException.class, () -> new TopK(OptionalInt.of(3), OptionalInt.of(4), 0));
    assertThrows(IllegalArgumentException.class, () -> new TopK(0));
  }

  /// The definition, with scores in double precision; the seeded inputs have no near ties.
  static double[] expected(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    int k = ((TopK) attention).keysKept(shape.keySeqLen());
    double[] row = new double[shape.keySeqLen()];
    int[] of = {-1, -1, -1};
    double[] threshold = new double[1];
    return Oracle.softmax(
        shape,
        mask,
        inputs.get("v"),
        (b, h, i, j) -> {
          if (of[0] != b || of[1] != h || of[2] != i) {
            of[0] = b;
            of[1] = h;
            of[2] = i;
            for (int other = 0; other < row.length; other++) {
              row[other] =
                  Oracle.sees(shape, mask, b, i, other)
                      ? Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, i, other)
                      : Double.NEGATIVE_INFINITY;
            }
            double[] sorted = row.clone();
            Arrays.sort(sorted);
            threshold[0] = sorted[sorted.length - k];
          }
          return row[j] >= threshold[0]
              ? row[j] / Math.sqrt(shape.headDim())
              : Double.NEGATIVE_INFINITY;
        });
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(150, 27, r -> r.problem(drawn(r)), TopKTest::expected);
  }

  @Test
  void gradientsAgreeWithDifferencesOnRandomProblems() {
    RandomGradients.check(
        60, 31, RandomCases.TOLERANCE, r -> r.problem(drawn(r)), TopKTest::expected);
  }

  private static TopK drawn(RandomCases r) {
    return r.chance(2)
        ? new TopK(r.chance(4) ? r.from(10, 60) : r.from(1, 9))
        : new TopK(OptionalInt.empty(), OptionalInt.of(r.from(1, 30)), r.from(0, 6));
  }
}
