// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class MobaTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Moba(4, 3);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new Moba(3, 1), new Moba(1, 4), new Moba(500, 3));
  }

  @Override
  public Reference reference() {
    return MobaTest::expected;
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(100, 1, r -> r.problem(new Moba(r.from(1, 20), r.from(1, 6))), reference());
  }

  @Test
  void gradientsAgreeWithDifferencesOnRandomProblems() {
    RandomGradients.check(
        60,
        31,
        RandomCases.TOLERANCE,
        r -> r.problem(new Moba(r.from(1, 20), r.from(1, 6))),
        reference());
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Moba.class);
  }

  @Test
  void choosingEveryBlockEqualsExact() {
    for (int n : new int[] {1, 21, 130}) {
      AttentionShape shape = AttentionShape.of(2, 2, n, 8);
      Tensors inputs = attention().adapt(shape, Tensors.NONE, 5);
      Tensor exact = SparseRuns.run(new Tiled(), shape, Mask.causal(), inputs);
      for (Attention all : List.of(new Moba(4, Math.ceilDiv(n, 4)), new Moba(n, 1))) {
        SparseRuns.requireClose(
            exact, SparseRuns.run(all, shape, Mask.causal(), inputs), all + ", n = " + n);
      }
    }
  }

  @Test
  void longSequencesInSeveralPartsAgreeWithTheDefinition() {
    int n = 2001;
    AttentionShape shape = AttentionShape.of(1, 2, n, 8).withKeyValueHeads(1);
    Attention attention = new Moba(64, 4);
    Tensors inputs = attention.adapt(shape, Tensors.NONE, 6);
    SparseRuns.requireClose(
        expected(attention, shape, Mask.causal(), inputs),
        SparseRuns.run(attention, shape, Mask.causal(), inputs),
        "three parts of 768 queries");
  }

  @Test
  void ofEqualGatesTheEarlierBlockIsChosen() {
    float[] gates = {9, 2, 7, 7, 3, 7};
    int[] chosen = new int[4];
    SelectedBlocks.choose(gates, 1, 5, 3, chosen, 0);
    assertArrayEquals(new int[] {1, 2, 4, 0}, chosen);
    SelectedBlocks.choose(gates, 0, 2, 4, chosen, 0);
    assertArrayEquals(new int[] {0, 1, -1, -1}, chosen);
  }

  @Test
  void emptyBlocksAndChoicesAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new Moba(0, 1));
    assertThrows(IllegalArgumentException.class, () -> new Moba(4, 0));
  }

  /// Section 1 of the specification; means and gates in double.
  private static double[] expected(
      Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    Moba moba = (Moba) attention;
    int n = shape.keySeqLen();
    int b = moba.blockSize();
    int[] row = {-1, -1, -1};
    boolean[] chosen = new boolean[n / b + 1];
    double[] out =
        Oracle.softmax(
            shape,
            mask,
            inputs.get("v"),
            (batch, h, i, j) -> {
              if (row[0] != batch || row[1] != h || row[2] != i) {
                row[0] = batch;
                row[1] = h;
                row[2] = i;
                choose(moba, shape, mask, inputs, batch, h, i, chosen);
              }
              return chosen[j / b]
                  ? Oracle.dot(shape, inputs.get("q"), inputs.get("k"), batch, h, i, j)
                      / Math.sqrt(shape.headDim())
                  : Double.NEGATIVE_INFINITY;
            });
    for (int e = 0; e < out.length; e++) {
      int batch = e / (shape.numHeads() * n * shape.valueDim());
      if (!mask.isRealKey(batch, e / shape.valueDim() % n)) {
        out[e] = 0;
      }
    }
    return out;
  }

  private static void choose(
      Moba moba,
      AttentionShape shape,
      Mask mask,
      Tensors inputs,
      int batch,
      int h,
      int i,
      boolean[] chosen) {
    int n = shape.keySeqLen();
    int b = moba.blockSize();
    int limit = Math.min(mask.realKeys(batch, n), mask.causalLimit(i, n, n));
    int own = Math.max(0, limit - 1) / b;
    double[] gate = new double[own];
    for (int block = 0; block < own; block++) {
      for (int j = block * b; j < (block + 1) * b; j++) {
        gate[block] += Oracle.dot(shape, inputs.get("q"), inputs.get("k"), batch, h, i, j) / b;
      }
    }
    for (int block = 0; block < chosen.length; block++) {
      int larger = 0;
      for (int other = 0; other < own && block < own; other++) {
        larger += gate[other] > gate[block] ? 1 : 0;
      }
      chosen[block] = block == own || (block < own && larger < moba.topK() - 1);
    }
  }
}
