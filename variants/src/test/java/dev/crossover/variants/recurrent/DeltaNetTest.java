// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.Recurrence;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class DeltaNetTest extends RecurrentContract {
  @Override
  public Attention attention() {
    return new DeltaNet();
  }

  /// Keys far from unit length make the recurrence itself diverge.
  @Override
  public List<String> scoredInputs() {
    return List.of("q");
  }

  @Override
  Attention drawn(RandomCases r) {
    OptionalDouble scale = r.of(OptionalDouble.empty(), OptionalDouble.of(2));
    OptionalInt chunk = r.of(OptionalInt.empty(), OptionalInt.of(r.from(1, 90)));
    return new DeltaNet(scale, chunk);
  }

  @Override
  Recurrence recurrence(Attention attention, AttentionShape s, Tensors inputs) {
    return new Recurrence(
        ((DeltaNet) attention).scale().orElse(Attention.defaultScale(s)),
        (_, _) -> 0,
        false,
        (row, _) -> inputs.get("beta").data()[row],
        true);
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(DeltaNet.class);
  }

  @Test
  void orthonormalKeysWrittenInFullAreLinearAttention() {
    AttentionShape shape = AttentionShape.of(1, 1, 70, 70);
    Tensor keys = Tensor.zeros(1, 1, 70, 70);
    for (int t = 0; t < 70; t++) {
      keys.data()[t * 70 + (t * 3) % 70] = 1;
    }
    Tensors inputs =
        Inputs.of(attention(), shape, 5).with("k", keys).with("beta", Draws.constant(1, 1, 1, 70));
    double[] expected =
        Oracle.summed(
            shape,
            Mask.causal(),
            inputs.get("v"),
            (b, h, i, j) -> Oracle.dot(shape, inputs.get("q"), keys, b, h, i, j) / Math.sqrt(70));
    requireClose(expected, Forward.of(attention(), Mask.causal(), inputs), "out");
  }

  @Test
  void strengthZeroReadsTheInitialState() {
    AttentionShape shape = AttentionShape.of(1, 1, 70, 4);
    Tensors inputs =
        Inputs.of(attention(), shape, 6, List.of("initial_state"))
            .with("beta", Draws.constant(0, 1, 1, 70));
    Tensors results = run(attention(), shape, inputs);
    assertEquals(0, Forward.maxDifference(inputs.get("initial_state"), results.get("final_state")));
    for (int c = 0; c < 4; c++) {
      double expected = 0;
      for (int a = 0; a < 4; a++) {
        expected +=
            0.5
                * inputs.get("q").data()[69 * 4 + a]
                * inputs.get("initial_state").data()[a * 4 + c];
      }
      assertEquals(expected, results.get("out").data()[69 * 4 + c], 1e-6);
    }
  }

  @Test
  void oneKeyKeepsItsLastValueOnly() {
    AttentionShape shape = AttentionShape.of(1, 1, 100, 4);
    Tensors inputs = Inputs.of(attention(), shape, 7);
    Tensor key = Draws.constant(0.5, 1, 1, 100, 4);
    inputs = inputs.with("k", key).with("beta", Draws.constant(1, 1, 1, 100));
    Tensor out = Forward.of(attention(), Mask.causal(), inputs);
    for (int t = 0; t < 100; t++) {
      double score = Oracle.dot(shape, inputs.get("q"), key, 0, 0, t, t) / 2;
      for (int c = 0; c < 4; c++) {
        double expected = score * inputs.get("v").data()[t * 4 + c];
        assertEquals(expected, out.data()[t * 4 + c], 1e-5);
      }
    }
  }

  @Test
  void chunkLengthHasNoEffectOnTheResult() {
    AttentionShape shape = AttentionShape.of(1, 2, 90, 8);
    Tensors inputs = Inputs.of(attention(), shape, 8);
    Tensor expected = Forward.of(attention(), Mask.causal(), inputs);
    for (int chunk : new int[] {1, 2, 7, 16, 33, 90, 1000}) {
      DeltaNet other = new DeltaNet(OptionalDouble.empty(), OptionalInt.of(chunk));
      requireClose(expected, Forward.of(other, Mask.causal(), inputs), "chunk " + chunk);
    }
  }

  @Test
  void adaptedKeysAndQueriesHaveLengthOne() {
    AttentionShape shape = AttentionShape.of(1, 2, 5, 8);
    Tensors inputs = Inputs.of(attention(), shape, 9);
    for (String name : new String[] {"q", "k"}) {
      for (int row = 0; row < 80; row += 8) {
        double square = 0;
        for (int a = 0; a < 8; a++) {
          square += Math.pow(inputs.get(name).data()[row + a], 2);
        }
        assertEquals(1, square, 1e-6, name);
      }
    }
  }

  @Test
  void scaleIsAFactorOfTheOutput() {
    AttentionShape shape = AttentionShape.of(1, 1, 40, 16);
    Tensors inputs = Inputs.of(attention(), shape, 10);
    DeltaNet plain = new DeltaNet(OptionalDouble.of(1), OptionalInt.empty());
    Tensor one = Forward.of(plain, Mask.causal(), inputs);
    for (int e = 0; e < one.size(); e++) {
      one.data()[e] /= 4;
    }
    requireClose(one, Forward.of(attention(), Mask.causal(), inputs), "a quarter, 1/√16");
  }

  @Test
  void chunkLengthZeroIsRefusedByName() {
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> new DeltaNet(OptionalDouble.empty(), OptionalInt.of(0)));
    assertTrue(error.getMessage().contains("chunk_length"), error.getMessage());
  }
}
