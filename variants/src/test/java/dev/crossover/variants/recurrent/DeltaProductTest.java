// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

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
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.attention.testing.Recurrence;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class DeltaProductTest extends RecurrentContract {
  @Override
  public Attention attention() {
    return new DeltaProduct();
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new DeltaProduct(3, OptionalDouble.of(0.5)));
  }

  /// Keys far from unit length make the recurrence itself diverge.
  @Override
  public List<String> scoredInputs() {
    return List.of("q");
  }

  @Override
  public int[] blockBorders() {
    return new int[] {5, 8};
  }

  @Override
  Attention drawn(RandomCases r) {
    return new DeltaProduct(r.from(1, 4), r.of(OptionalDouble.empty(), OptionalDouble.of(2)));
  }

  @Override
  void checkRandomGradients() {
    RandomGradients.check(40, 3, tolerance(), this::problem, reference());
  }

  @Override
  public Map<String, Reference> resultReferences() {
    return Map.of(
        "final_state",
        (attention, shape, mask, inputs) -> expected(attention, shape, mask, inputs).state());
  }

  /// Gated DeltaNet over all rows, of which the first of a token decays and the last is read.
  @Override
  Recurrence.Result expected(Attention attention, AttentionShape s, Mask mask, Tensors inputs) {
    DeltaProduct product = (DeltaProduct) attention;
    int m = product.numHouseholder();
    int n = s.querySeqLen();
    Recurrence rows =
        new Recurrence(
            product.scale().orElse(Attention.defaultScale(s)),
            (row, _) ->
                row % m == 0 && inputs.has("log_decay")
                    ? inputs.get("log_decay").data()[row / m]
                    : 0,
            false,
            (row, _) -> inputs.get("beta").data()[row],
            true);
    boolean[] real = new boolean[s.batchSize() * n * m];
    for (int row = 0; row < real.length; row++) {
      real[row] = mask.isRealKey(row / m / n, row / m % n);
    }
    Tensors all = inputs.with("q", repeatedRows(inputs.get("q"), m));
    AttentionShape shape = s.withSeqLens(n * m, n * m);
    Recurrence.Result result =
        rows.run(shape, Mask.both(Mask.causal(), Mask.keys(n * m, real)), all);
    double[] out = new double[s.problems() * n * s.valueDim()];
    for (int e = 0; e < out.length; e++) {
      int row = e / s.valueDim() * m + m - 1;
      out[e] = result.out()[row * s.valueDim() + e % s.valueDim()];
    }
    return new Recurrence.Result(out, result.state());
  }

  private static Tensor repeatedRows(Tensor tensor, int times) {
    int width = tensor.extent(3);
    Tensor all = Tensor.zeros(tensor.extent(0), tensor.extent(1), tensor.extent(2) * times, width);
    for (int row = 0; row < all.size() / width; row++) {
      System.arraycopy(tensor.data(), row / times * width, all.data(), row * width, width);
    }
    return all;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(DeltaProduct.class);
  }

  @Test
  void oneRowPerTokenIsGatedDeltaNet() {
    AttentionShape shape = AttentionShape.of(1, 2, 130, 8);
    Tensors inputs = Inputs.of(new GatedDeltaNet(), shape, 5);
    Attention one = new DeltaProduct(1, OptionalDouble.empty());
    requireClose(
        Forward.of(new GatedDeltaNet(), Mask.causal(), inputs),
        Forward.of(one, Mask.causal(), inputs),
        "out");
  }

  /// Two equal reflections undo one another.
  @Test
  void equalReflectionsOneAfterTheOtherLeaveTheState() {
    AttentionShape shape = AttentionShape.of(1, 1, 60, 4);
    Tensors drawn = Inputs.of(attention(), shape, 6, List.of("initial_state"));
    Tensor keys = repeatedRows(States.unitRows(Draws.gaussian(7, 1, 1, 60, 4)), 2);
    Tensors inputs =
        drawn
            .with("k", keys)
            .with("v", Tensor.zeros(1, 1, 120, 4))
            .with("beta", Draws.constant(2, 1, 1, 120));
    double[] expected = new double[60 * 4];
    for (int e = 0; e < expected.length; e++) {
      for (int a = 0; a < 4; a++) {
        double query = drawn.get("q").data()[e / 4 * 4 + a] / 2;
        expected[e] += query * drawn.get("initial_state").data()[a * 4 + e % 4];
      }
    }
    Tensors given = Tensors.NONE;
    for (String name : List.of("q", "k", "v", "beta", "initial_state")) {
      given = given.with(name, inputs.get(name));
    }
    requireClose(expected, Forward.of(attention(), Mask.causal(), given), "out");
  }

  @Test
  void adaptedRowsEndWithTheTokensOwn() {
    AttentionShape shape = AttentionShape.of(1, 1, 5, 3);
    Tensors qkv =
        Tensors.qkv(
            Draws.gaussian(1, 1, 1, 5, 3),
            Draws.gaussian(2, 1, 1, 5, 3),
            Draws.gaussian(3, 1, 1, 5, 3));
    Tensor v = attention().adapt(shape, qkv, 4).get("v");
    for (int t = 0; t < 5; t++) {
      for (int c = 0; c < 3; c++) {
        float own = qkv.get("v").data()[t * 3 + c];
        float before = qkv.get("v").data()[Math.max(0, t - 1) * 3 + c];
        assertTrue(v.data()[(2 * t + 1) * 3 + c] == own && v.data()[2 * t * 3 + c] == before);
      }
    }
  }

  @Test
  void noRowsPerTokenAreRefusedByName() {
    var error =
        assertThrows(
            IllegalArgumentException.class, () -> new DeltaProduct(0, OptionalDouble.empty()));
    assertTrue(error.getMessage().startsWith("num_householder must be"), error.getMessage());
  }
}
