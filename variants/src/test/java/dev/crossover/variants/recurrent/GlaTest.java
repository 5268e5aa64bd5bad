// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertEquals;
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
import java.util.Arrays;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class GlaTest extends RecurrentContract {
  @Override
  public Attention attention() {
    return new Gla();
  }

  @Override
  Attention drawn(RandomCases r) {
    OptionalDouble scale = r.of(OptionalDouble.empty(), OptionalDouble.of(2));
    return new Gla(scale);
  }

  @Override
  Recurrence recurrence(Attention attention, AttentionShape s, Tensors inputs) {
    return new Recurrence(
        ((Gla) attention).scale().orElse(Attention.defaultScale(s)),
        (row, a) -> inputs.get("log_decay").data()[row * s.headDim() + a],
        false,
        (_, _) -> 1,
        false);
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Gla.class);
  }

  @Test
  void parallelFormEqualsTheChunkwiseOne() {
    AttentionShape shape = AttentionShape.of(1, 2, 140, 8);
    for (double strongest : new double[] {0.02, 1, 30}) {
      Tensors inputs =
          Inputs.of(attention(), shape, 5)
              .with("log_decay", Draws.uniform(6, -strongest, 0, 1, 2, 140, 8));
      double[] expected =
          Oracle.summed(
              shape,
              Mask.causal(),
              inputs.get("v"),
              (_, h, i, j) -> weight(inputs, h * 140 + i, h * 140 + j));
      requireClose(
          expected, Forward.of(attention(), Mask.causal(), inputs), "gates to " + strongest);
    }
  }

  /// What the cost counts: one anchor, which serves gates that lie within 16 of the chunk's start.
  @Test
  void drawnGatesStayWithinReachOfOneAnchor() {
    AttentionShape shape = AttentionShape.of(1, 2, 4096, 16);
    float[] gates = Inputs.of(attention(), shape, 3).get("log_decay").data();
    for (int chunk = 0; chunk < 2 * 4096 / 64; chunk++) {
      for (int a = 0; a < 16; a++) {
        double sum = 0;
        for (int t = 0; t < 64; t++) {
          sum += gates[(chunk * 64 + t) * 16 + a];
        }
        assertTrue(sum > -16, "sum of a chunk's gates: " + sum);
      }
    }
  }

  @Test
  void strongGatesLeaveTheBitsOfEarlierRowsAlone() {
    AttentionShape shape = AttentionShape.of(1, 1, 64, 16);
    Tensors mild = Inputs.of(attention(), shape, 4);
    Tensor expected = Forward.of(attention(), Mask.causal(), mild);
    for (int from : new int[] {1, 2, 3, 17, 62, 63}) {
      for (float gate : new float[] {-1, -20, Float.NEGATIVE_INFINITY}) {
        Tensor gates = Tensor.zeros(1, 1, 64, 16);
        System.arraycopy(mild.get("log_decay").data(), 0, gates.data(), 0, from * 16);
        Arrays.fill(gates.data(), from * 16, gates.size(), gate);
        Tensor out = Forward.of(attention(), Mask.causal(), mild.with("log_decay", gates));
        for (int e = 0; e < from * 16; e++) {
          assertEquals(expected.data()[e], out.data()[e], "row " + e / 16);
        }
      }
    }
  }

  private static double weight(Tensors inputs, int i, int j) {
    float[] g = inputs.get("log_decay").data();
    double weight = 0;
    for (int a = 0; a < 8; a++) {
      double exponent = 0;
      for (int t = j + 1; t <= i; t++) {
        exponent += g[t * 8 + a];
      }
      weight +=
          inputs.get("q").data()[i * 8 + a]
              * inputs.get("k").data()[j * 8 + a]
              * Math.exp(exponent);
    }
    return weight / Math.sqrt(8);
  }

  @Test
  void constantGatesEqualRetention() {
    AttentionShape shape = AttentionShape.of(1, 2, 130, 8);
    Tensors inputs = Inputs.of(new RetNet(), shape, 7);
    Tensor gates = Tensor.zeros(1, 2, 130, 8);
    for (int h = 0; h < 2; h++) {
      float g = (float) Math.log(RetNet.decays(2).data()[h]);
      Arrays.fill(gates.data(), h * 1040, (h + 1) * 1040, g);
    }
    requireClose(
        Forward.of(new RetNet(), Mask.causal(), inputs),
        Forward.of(attention(), Mask.causal(), inputs.with("log_decay", gates)),
        "out");
  }

  @Test
  void gatesEqualOverChannelsAreMamba2() {
    AttentionShape shape = AttentionShape.of(1, 2, 130, 8);
    Tensors inputs = Inputs.of(new Mamba2Ssd(), shape, 8);
    Tensor perToken = inputs.get("log_decay");
    Tensor gates = Inputs.repeated(perToken.reshape(new int[] {1, 2, 130, 1}), 3, 8);
    requireClose(
        Forward.of(new Mamba2Ssd(), Mask.causal(), inputs),
        Forward.of(new Gla(OptionalDouble.of(1)), Mask.causal(), inputs.with("log_decay", gates)),
        "out");
  }

  @Test
  void closedGatesForgetThePast() {
    AttentionShape shape = AttentionShape.of(1, 1, 90, 4);
    Tensors inputs = Inputs.of(attention(), shape, 9);
    Tensor gates = inputs.get("log_decay").copy();
    Arrays.fill(gates.data(), 70 * 4, 71 * 4, Float.NEGATIVE_INFINITY);
    Tensor whole = Forward.of(attention(), Mask.causal(), inputs.with("log_decay", gates));
    Tensors rest = part(shape, inputs, 70, 90);
    requireClose(Forward.of(attention(), Mask.causal(), rest), rows(whole, 70, 90), "rest");
  }

  @Test
  void scaleIsAFactorOfTheOutput() {
    AttentionShape shape = AttentionShape.of(1, 1, 40, 16);
    Tensors inputs = Inputs.of(attention(), shape, 10);
    Tensor one = Forward.of(new Gla(OptionalDouble.of(1)), Mask.causal(), inputs);
    Tensor quarter = Forward.of(attention(), Mask.causal(), inputs);
    for (int e = 0; e < one.size(); e++) {
      one.data()[e] /= 4;
    }
    requireClose(one, quarter, "a quarter, 1/√16");
  }
}
