// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.Recurrence;
import java.util.Arrays;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/// The core per head.
class Mamba2SsdTest extends RecurrentContract {
  @Override
  public Attention attention() {
    return new Mamba2Ssd();
  }

  @Override
  Attention drawn(RandomCases r) {
    OptionalInt chunk = r.of(OptionalInt.empty(), OptionalInt.of(r.from(1, 90)));
    return new Mamba2Ssd(chunk);
  }

  @Override
  Recurrence recurrence(Attention attention, AttentionShape s, Tensors inputs) {
    return new Recurrence(
        1, (row, _) -> inputs.get("log_decay").data()[row], false, (_, _) -> 1, false);
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Mamba2Ssd.class);
  }

  /// Y = ((C Bᵀ) ∘ L) V with L from sums of the terms between, not differences.
  @Test
  void quadraticFormEqualsTheChunkwiseOne() {
    AttentionShape shape = AttentionShape.of(1, 2, 140, 8).withValueDim(5);
    Tensors inputs = Inputs.of(attention(), shape, 5);
    float[] a = inputs.get("log_decay").data();
    double[] expected =
        Oracle.summed(
            shape,
            Mask.causal(),
            inputs.get("v"),
            (b, h, i, j) -> {
              double sum = 0;
              for (int t = j + 1; t <= i; t++) {
                sum += a[h * 140 + t];
              }
              return Math.exp(sum)
                  * Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, i, j);
            });
    requireClose(expected, Forward.of(attention(), Mask.causal(), inputs), "out");
  }

  @Test
  void chunkLengthHasNoEffectOnTheResult() {
    AttentionShape shape = AttentionShape.of(1, 2, 90, 8);
    Tensors inputs = Inputs.of(attention(), shape, 6);
    Tensor expected = Forward.of(attention(), Mask.causal(), inputs);
    for (int chunk : new int[] {1, 3, 16, 90, 256}) {
      Mamba2Ssd other = new Mamba2Ssd(OptionalInt.of(chunk));
      requireClose(expected, Forward.of(other, Mask.causal(), inputs), "chunk " + chunk);
    }
  }

  @Test
  void strongDecayLeavesTheBitsOfEarlierRowsAlone() {
    AttentionShape shape = AttentionShape.of(1, 1, 64, 16);
    Tensors mild = Inputs.of(attention(), shape, 4);
    Tensor expected = Forward.of(attention(), Mask.causal(), mild);
    for (int from : new int[] {1, 2, 3, 17, 62, 63}) {
      for (float decay : new float[] {-1, -50, Float.NEGATIVE_INFINITY}) {
        Tensor decays = Tensor.zeros(1, 1, 64);
        System.arraycopy(mild.get("log_decay").data(), 0, decays.data(), 0, from);
        Arrays.fill(decays.data(), from, 64, decay);
        Tensor out = Forward.of(attention(), Mask.causal(), mild.with("log_decay", decays));
        for (int e = 0; e < from * 16; e++) {
          assertEquals(expected.data()[e], out.data()[e], "row " + e / 16);
        }
      }
    }
  }
}
