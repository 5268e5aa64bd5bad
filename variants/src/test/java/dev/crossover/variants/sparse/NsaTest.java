// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class NsaTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Nsa(4, 3, 5);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new Nsa(3, 1, 1), new Nsa(500, 2, 7));
  }

  @Override
  public AttentionShape shape(int n) {
    return AttentionShape.of(2, 4, n, 8).withKeyValueHeads(2);
  }

  @Override
  public Reference reference() {
    return NsaTest::expected;
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(
        Claim.GROUPED_EQUALS_REPEATED, "the query heads of one key head choose blocks together");
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(
        100, 1, r -> r.problem(new Nsa(r.from(1, 20), r.from(2, 6), r.from(1, 40))), reference());
  }

  @Test
  void gradientsAgreeWithDifferencesOnRandomProblems() {
    RandomGradients.check(
        60,
        31,
        RandomCases.TOLERANCE,
        r -> r.problem(new Nsa(r.from(1, 20), r.from(2, 6), r.from(1, 40))),
        reference());
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Nsa.class);
  }

  @Test
  void selectionOfEveryBlockAloneEqualsExact() {
    for (int n : new int[] {1, 22, 130}) {
      AttentionShape shape = shape(n);
      Attention all = new Nsa(4, Math.ceilDiv(n, 4), 3);
      Tensors inputs = gates(all.adapt(shape, Tensors.NONE, 5), shape, 0, 1, 0);
      SparseRuns.requireClose(
          SparseRuns.run(new Tiled(), shape, Mask.causal(), qkv(inputs)),
          SparseRuns.run(all, shape, Mask.causal(), inputs),
          "n = " + n);
    }
  }

  @Test
  void windowOverEverythingAloneEqualsExact() {
    AttentionShape shape = shape(90);
    Attention window = new Nsa(8, 2, 90);
    Tensors inputs = gates(window.adapt(shape, Tensors.NONE, 6), shape, 0, 0, 1);
    SparseRuns.requireClose(
        SparseRuns.run(new Tiled(), shape, Mask.causal(), qkv(inputs)),
        SparseRuns.run(window, shape, Mask.causal(), inputs),
        "window");
  }

  @Test
  void compressionIsZeroBeforeTheFirstWholeBlock() {
    AttentionShape shape = shape(7);
    Attention attention = new Nsa(8, 2, 3);
    Tensors inputs = gates(attention.adapt(shape, Tensors.NONE, 7), shape, 1, 0, 0);
    Tensor out = SparseRuns.run(attention, shape, Mask.causal(), inputs);
    SparseRuns.requireClose(Tensor.zeros(out.shape()), out, "no block is whole");
  }

  @Test
  void longSequencesInSeveralPartsAgreeWithTheDefinition() {
    AttentionShape shape = AttentionShape.of(1, 2, 1700, 8).withKeyValueHeads(1);
    Attention attention = new Nsa(32, 5, 70);
    Tensors inputs = attention.adapt(shape, Tensors.NONE, 8);
    SparseRuns.requireClose(
        expected(attention, shape, Mask.causal(), inputs),
        SparseRuns.run(attention, shape, Mask.causal(), inputs),
        "several parts");
  }

  @Test
  void emptyBlocksAndWindowsAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new Nsa(0, 2, 2));
    assertThrows(IllegalArgumentException.class, () -> new Nsa(2, 0, 2));
    assertThrows(IllegalArgumentException.class, () -> new Nsa(2, 2, 0));
  }

  private static Tensors gates(
      Tensors inputs, AttentionShape s, double compression, double selection, double window) {
    int[] sizes = {s.batchSize(), s.numHeads(), s.querySeqLen()};
    return inputs
        .with("gate_compression", Draws.constant(compression, sizes))
        .with("gate_selection", Draws.constant(selection, sizes))
        .with("gate_window", Draws.constant(window, sizes));
  }

  private static Tensors qkv(Tensors inputs) {
    return Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v"));
  }

  /// Section 2 of the specification in double; a position is its last visible key.
  private static double[] expected(
      Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    Nsa nsa = (Nsa) attention;
    int n = shape.keySeqLen();
    int b = nsa.blockSize();
    int dv = shape.valueDim();
    double[] out = new double[shape.problems() * n * dv];
    for (int batch = 0; batch < shape.batchSize(); batch++) {
      for (int kv = 0; kv < shape.numKeyValueHeads(); kv++) {
        for (int i = 0; i < n; i++) {
          int limit = mask.causalLimit(i, n, n);
          int whole = limit / b;
          int own = Math.max(0, limit - 1) / b;
          double[] importance = new double[own + 1];
          for (int g = 0; g < shape.groupSize(); g++) {
            int h = kv * shape.groupSize() + g;
            double[] weights = new double[whole * b];
            double[] p = compression(shape, inputs, batch, h, i, whole, b);
            for (int j = 0; j < whole * b; j++) {
              weights[j] = p[j / b] / b;
            }
            for (int block = 0; block < whole; block++) {
              importance[block] += p[block];
            }
            add(shape, inputs, "gate_compression", batch, h, i, weights, out);
          }
          boolean[] chosen = new boolean[own + 1];
          for (int block = 0; block < own; block++) {
            int larger = 0;
            for (int other = 0; other < own; other++) {
              larger +=
                  importance[other] > importance[block]
                          || (importance[other] == importance[block] && other < block)
                      ? 1
                      : 0;
            }
            chosen[block] = larger < nsa.numSelectedBlocks() - 1;
          }
          chosen[own] = true;
          for (int g = 0; g < shape.groupSize(); g++) {
            int h = kv * shape.groupSize() + g;
            double[] selected = new double[limit];
            double[] window = new double[limit];
            for (int j = 0; j < limit; j++) {
              double score =
                  Oracle.dot(shape, inputs.get("q"), inputs.get("k"), batch, h, i, j)
                      / Math.sqrt(shape.headDim());
              selected[j] = chosen[j / b] ? score : Double.NEGATIVE_INFINITY;
              window[j] = j >= limit - nsa.windowSize() ? score : Double.NEGATIVE_INFINITY;
            }
            softmax(selected);
            softmax(window);
            add(shape, inputs, "gate_selection", batch, h, i, selected, out);
            add(shape, inputs, "gate_window", batch, h, i, window, out);
          }
        }
      }
    }
    return out;
  }

  private static double[] compression(
      AttentionShape shape, Tensors inputs, int batch, int h, int i, int whole, int b) {
    double[] p = new double[whole];
    for (int block = 0; block < whole; block++) {
      for (int j = block * b; j < (block + 1) * b; j++) {
        p[block] +=
            Oracle.dot(shape, inputs.get("q"), inputs.get("k"), batch, h, i, j)
                / b
                / Math.sqrt(shape.headDim());
      }
    }
    softmax(p);
    return p;
  }

  private static void softmax(double[] x) {
    double max = Double.NEGATIVE_INFINITY;
    for (double value : x) {
      max = Math.max(max, value);
    }
    double sum = 0;
    for (int j = 0; j < x.length; j++) {
      x[j] = Math.exp(x[j] - max);
      sum += x[j];
    }
    for (int j = 0; j < x.length; j++) {
      x[j] /= sum;
    }
  }

  private static void add(
      AttentionShape shape,
      Tensors inputs,
      String gate,
      int batch,
      int h,
      int i,
      double[] weights,
      double[] out) {
    int n = shape.keySeqLen();
    int dv = shape.valueDim();
    int row = (batch * shape.numHeads() + h) * n + i;
    int values = (batch * shape.numKeyValueHeads() + h / shape.groupSize()) * n;
    for (int j = 0; j < weights.length; j++) {
      for (int c = 0; c < dv && weights[j] > 0; c++) {
        out[row * dv + c] +=
            inputs.get(gate).data()[row]
                * weights[j]
                * inputs.get("v").data()[(values + j) * dv + c];
      }
    }
  }
}
