// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.sparse.BigBird.DuplicatePolicy;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class BigBirdTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new BigBird(3, 2);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        new BigBird(2, 3, DuplicatePolicy.ONCE, RandomBlocks.Plan.AUTHORS, 3),
        new BigBird(100, 1),
        new BigBird(1, 0));
  }

  @Override
  public Reference reference() {
    return BigBirdTest::expected;
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(
        Claim.PADDING_EQUALS_SHORTER,
        "blocks are those of the padded length: its last block is the global one");
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(BigBird.class);
  }

  @Test
  void randomBlocksThatCompleteEveryListEqualExact() {
    int n = 63;
    AttentionShape shape = AttentionShape.of(2, 2, n, 8);
    Attention complete = new BigBird(4, Math.ceilDiv(n, 4) - 4);
    Tensors inputs = complete.adapt(shape, Tensors.NONE, 5);
    SparseRuns.requireClose(
        SparseRuns.run(new Tiled(), shape, Mask.none(), inputs),
        SparseRuns.run(complete, shape, Mask.none(), inputs),
        "every block listed once");
  }

  @Test
  void sequencesBelowFourBlocksEqualExact() {
    for (int n : new int[] {1, 8, 15, 31}) {
      AttentionShape shape = AttentionShape.of(1, 2, n, 8);
      Attention attention = new BigBird(8, 3);
      Tensors inputs = attention.adapt(shape, Tensors.NONE, 6);
      SparseRuns.requireClose(
          SparseRuns.run(new Tiled(), shape, Mask.none(), inputs),
          SparseRuns.run(attention, shape, Mask.none(), inputs),
          "n = " + n);
    }
  }

  @Test
  void duplicatesCountTwiceOrOnce() {
    int n = 24;
    AttentionShape shape = AttentionShape.of(1, 1, n, 1);
    Tensor zero = Tensor.zeros(1, 1, n, 1);
    Tensor value = Tensor.zeros(1, 1, n, 1);
    value.data()[0] = 1;
    Tensor blocks = Tensor.zeros(1, 4, 2);
    Tensors inputs = Tensors.qkv(zero, zero, value).with("random_blocks", blocks);
    var plan = RandomBlocks.Plan.SEQUENCE;
    Attention count = new BigBird(4, 2, DuplicatePolicy.COUNT, plan, 3);
    Attention once = new BigBird(4, 2, DuplicatePolicy.ONCE, plan, 3);
    int row = 9;
    assertEquals(
        3f / (5 * 4 + 2 * 4),
        SparseRuns.run(count, shape, Mask.none(), inputs).data()[row],
        1e-6f,
        "block 0 is listed three times among 7 blocks");
    assertEquals(
        1f / (5 * 4),
        SparseRuns.run(once, shape, Mask.none(), inputs).data()[row],
        1e-6f,
        "block 0 is listed once among 5 blocks");
  }

  @Test
  void drawnBlocksAreDistinctAndNeverListedOtherwise() {
    for (RandomBlocks.Plan plan : RandomBlocks.Plan.values()) {
      for (int numBlocks = 4; numBlocks < 30; numBlocks++) {
        int r = 3;
        float[] drawn = plan.draw(7, 2, numBlocks - 2, r).data();
        for (int row = 0; row < 2 * (numBlocks - 2); row++) {
          int block = 1 + row % (numBlocks - 2);
          Set<Integer> seen = new HashSet<>();
          for (int s = 0; s < r; s++) {
            int key = (int) drawn[row * r + s];
            if (key >= 0) {
              assertTrue(seen.add(key), "distinct");
              assertTrue(key > 0 && key < numBlocks - 1, "not a global block");
              assertTrue(Math.abs(key - block) > 1, "not a window block");
            }
          }
          if (plan == RandomBlocks.Plan.SEQUENCE) {
            int listed =
                new HashSet<>(List.of(0, block - 1, block, block + 1, numBlocks - 1)).size();
            assertEquals(Math.min(r, numBlocks - listed), seen.size(), "as many as there are");
          }
        }
      }
    }
  }

  @Test
  void authorsPlanDrawsFromTheFirstBlocksOnly() {
    int r = 3;
    float[] authors = RandomBlocks.Plan.AUTHORS.draw(8, 1, 98, r).data();
    float[] sequence = RandomBlocks.Plan.SEQUENCE.draw(8, 1, 98, r).data();
    double farthest = 0;
    for (int s = 0; s < authors.length; s++) {
      assertTrue(authors[s] < 2 * r + 5);
      farthest = Math.max(farthest, sequence[s]);
    }
    assertTrue(farthest > 90, "294 draws from 98 blocks reach the end");
  }

  @Test
  void blockNumbersOutOfRangeAreRefused() {
    AttentionShape shape = AttentionShape.of(1, 1, 24, 4);
    Attention attention = new BigBird(4, 1);
    Tensor blocks = Tensor.zeros(1, 4, 1);
    Arrays.fill(blocks.data(), 6);
    Tensors inputs = attention.adapt(shape, Tensors.NONE, 9).with("random_blocks", blocks);
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> SparseRuns.run(attention, shape, Mask.none(), inputs));
    assertTrue(error.getMessage().contains("random_blocks"), error.getMessage());
    assertThrows(IllegalArgumentException.class, () -> new BigBird(0, 1));
    assertThrows(IllegalArgumentException.class, () -> new BigBird(4, -1));
  }

  /// Section 1 of the specification: a key's weight is multiplied by how often its block is listed.
  static double[] expected(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    BigBird bird = (BigBird) attention;
    int n = shape.keySeqLen();
    int b = bird.blockSize();
    int r = bird.numRandomBlocks();
    int last = Math.ceilDiv(n, b) - 1;
    float[] random = inputs.get("random_blocks").data();
    double[] out =
        Oracle.softmax(
            shape,
            mask,
            inputs.get("v"),
            (batch, h, i, j) -> {
              int block = i / b;
              int key = j / b;
              int times = 0;
              if (n < 4 * b || block == 0 || block == last) {
                times = 1;
              } else {
                times = key == 0 || key == last || Math.abs(key - block) <= 1 ? 1 : 0;
                for (int s = 0; s < r; s++) {
                  times += random[(h * (last - 1) + block - 1) * r + s] == key ? 1 : 0;
                }
                times = bird.duplicatePolicy() == DuplicatePolicy.ONCE ? Math.min(1, times) : times;
              }
              return Math.log(times)
                  + Oracle.dot(shape, inputs.get("q"), inputs.get("k"), batch, h, i, j)
                      / Math.sqrt(shape.headDim());
            });
    for (int e = 0; e < out.length; e++) {
      int batch = e / (shape.numHeads() * n * shape.valueDim());
      if (!mask.isRealKey(batch, e / shape.valueDim() % n)) {
        out[e] = 0;
      }
    }
    return out;
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(150, 24, BigBirdTest::drawn, BigBirdTest::expected);
  }

  @Test
  void gradientsAgreeWithDifferencesOnRandomProblems() {
    RandomGradients.check(60, 31, RandomCases.TOLERANCE, BigBirdTest::drawn, BigBirdTest::expected);
  }

  /// Half of the lists are arbitrary: with repetitions, global and neighbouring blocks.
  private static RandomCases.Problem drawn(RandomCases r) {
    BigBird bird =
        new BigBird(
            r.from(1, 6),
            r.from(0, 4),
            r.of(DuplicatePolicy.values()),
            r.of(RandomBlocks.Plan.values()),
            r.from(1, 99));
    var problem = r.problem(bird);
    int blocks = Math.ceilDiv(problem.shape().keySeqLen(), bird.blockSize());
    if (r.chance(2)) {
      return problem;
    }
    return problem.changed(
        inputs -> {
          Tensor listed = inputs.get("random_blocks").copy();
          for (int s = 0; s < listed.size(); s++) {
            listed.data()[s] = r.from(0, blocks - 1);
          }
          return inputs.with("random_blocks", listed);
        });
  }
}
