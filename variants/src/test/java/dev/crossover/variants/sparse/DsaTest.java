// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class DsaTest extends AttentionContract {
  @Override
  public Attention attention() {
    return dsa(4, 3, 5);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), dsa(7, 1, 2));
  }

  private static Dsa dsa(int topK, int indexHeads, int indexDim) {
    return new Dsa(
        topK,
        OptionalInt.of(indexHeads),
        OptionalInt.of(indexDim),
        OptionalDouble.empty(),
        OptionalDouble.empty());
  }

  @Override
  public Reference reference() {
    return DsaTest::expected;
  }

  private static double[] expected(Attention attention, AttentionShape s, Mask mask, Tensors in) {
    Dsa dsa = (Dsa) attention;
    double scale = dsa.scale().orElse(1 / Math.sqrt(s.headDim()));
    Map<Integer, Set<Integer>> chosen = new HashMap<>();
    for (int b = 0; b < s.batchSize(); b++) {
      for (int t = 0; t < s.querySeqLen(); t++) {
        chosen.put(b * s.querySeqLen() + t, chosen(dsa, s, mask, in, b, t));
      }
    }
    return Oracle.softmax(
        s,
        mask,
        in.get("v"),
        (b, h, t, j) ->
            chosen.getOrDefault(b * s.querySeqLen() + t, Set.of()).contains(j)
                ? scale * Oracle.dot(s, in.get("q"), in.get("k"), b, h, t, j)
                : Double.NEGATIVE_INFINITY);
  }

  /// Sorted by score, then by position.
  private static Set<Integer> chosen(
      Dsa dsa, AttentionShape s, Mask mask, Tensors in, int b, int t) {
    Map<Integer, Double> scores = new HashMap<>();
    List<Integer> allowed = new ArrayList<>();
    for (int j = 0; j < s.keySeqLen(); j++) {
      if (Oracle.sees(s, mask, b, t, j)) {
        allowed.add(j);
        scores.put(j, score(dsa, in, b, t, j));
      }
    }
    allowed.sort((x, y) -> Double.compare(value(scores, y), value(scores, x)));
    return Set.copyOf(allowed.subList(0, Math.min(dsa.topK(), allowed.size())));
  }

  private static double value(Map<Integer, Double> scores, int j) {
    return scores.getOrDefault(j, 0.0);
  }

  private static double score(Dsa dsa, Tensors in, int b, int t, int j) {
    Tensor query = in.get("index_query");
    int heads = query.extent(1);
    int n = query.extent(2);
    int width = query.extent(3);
    double scale = dsa.indexScale().orElse(1 / Math.sqrt(width));
    double sum = 0;
    for (int a = 0; a < heads; a++) {
      double dot = 0;
      for (int c = 0; c < width; c++) {
        dot +=
            (double) query.data()[((b * heads + a) * n + t) * width + c]
                * in.get("index_key").data()[(b * n + j) * width + c];
      }
      sum += in.get("index_weight").data()[(b * heads + a) * n + t] * Math.max(0, scale * dot);
    }
    return sum + 0.0;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Dsa.class);
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.check(100, 61, r -> r.problem(drawn(r)), reference());
  }

  @Test
  void anyGradientAgreesWithDifferencesOfTheDefinition() {
    RandomGradients.check(60, 63, 2e-5, r -> r.problem(drawn(r)), reference());
  }

  private static Dsa drawn(RandomCases r) {
    return new Dsa(
        r.from(1, 20),
        r.chance(3) ? OptionalInt.empty() : OptionalInt.of(r.from(1, 5)),
        r.chance(3) ? OptionalInt.empty() : OptionalInt.of(r.from(1, 9)),
        r.chance(2) ? OptionalDouble.empty() : OptionalDouble.of(0.4),
        r.chance(2) ? OptionalDouble.empty() : OptionalDouble.of(0.7));
  }

  @Test
  void enoughKeysAreCausalSoftmax() {
    AttentionShape shape = AttentionShape.of(2, 2, 300, 8);
    Tensors inputs = Inputs.of(dsa(300, 2, 4), shape, 3);
    double[] exact =
        Oracle.softmax(
            shape,
            Mask.causal(),
            inputs.get("q"),
            inputs.get("k"),
            inputs.get("v"),
            1 / Math.sqrt(8),
            null);
    Tensor out = Forward.of(dsa(300, 2, 4), Mask.causal(), inputs);
    assertTrue(Forward.maxDifference(exact, out) < 2e-5);
  }

  /// All scores are zero: the first k keys.
  @Test
  void equalScoresChooseTheEarlierKeys() {
    AttentionShape shape = AttentionShape.of(1, 2, 700, 8);
    Tensors inputs =
        Inputs.of(dsa(5, 2, 4), shape, 3).with("index_weight", Tensor.zeros(1, 2, 700));
    double[] first =
        Oracle.softmax(
            shape,
            Mask.causal(),
            inputs.get("v"),
            (b, h, t, j) ->
                j < 5
                    ? Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, t, j) / Math.sqrt(8)
                    : Double.NEGATIVE_INFINITY);
    Tensor out = Forward.of(dsa(5, 2, 4), Mask.causal(), inputs);
    assertTrue(Forward.maxDifference(first, out) < 2e-5);
  }

  @Test
  void oneKeyReturnsItsValue() {
    AttentionShape shape = AttentionShape.of(1, 3, 40, 8);
    Dsa one = dsa(1, 2, 4);
    Tensors inputs = Inputs.of(one, shape, 3);
    Tensor out = Forward.of(one, Mask.causal(), inputs);
    for (int t = 0; t < 40; t++) {
      int best = chosen(one, shape, Mask.causal(), inputs, 0, t).iterator().next();
      for (int h = 0; h < 3; h++) {
        for (int c = 0; c < 8; c++) {
          float value = inputs.get("v").data()[(h * 40 + best) * 8 + c];
          assertEquals(value, out.data()[(h * 40 + t) * 8 + c], 1e-6);
        }
      }
    }
  }

  @Test
  void positiveIndexScaleChoosesNoOtherKeys() {
    AttentionShape shape = AttentionShape.of(1, 2, 90, 8);
    Tensors inputs = Inputs.of(dsa(6, 3, 4), shape, 3);
    Dsa scaled =
        new Dsa(
            6, OptionalInt.of(3), OptionalInt.of(4), OptionalDouble.empty(), OptionalDouble.of(4));
    assertArrayEquals(
        Forward.of(dsa(6, 3, 4), Mask.causal(), inputs).data(),
        Forward.of(scaled, Mask.causal(), inputs).data());
  }

  /// Keys and values of every head, and one index key.
  @Test
  void stateIsKeysValuesAndIndexKeys() {
    AttentionShape shape = new AttentionShape(2, 4, 2, 9, 9, 8, 8, 6);
    Dsa dsa = dsa(4, 3, 5);
    DecodeSession session = dsa.decode(shape);
    session.prefill(Inputs.of(dsa, shape.withSeqLens(3, 3), 3));
    assertEquals(3 * 2 * (2 * (8 + 6) + 5) * 4, session.stateBytes());
  }

  @Test
  void badSettingsAreRefusedByName() {
    requireNamed("top_k", () -> dsa(0, 1, 1));
    requireNamed("index_n_heads", () -> dsa(1, 0, 1));
    requireNamed("index_head_dim", () -> dsa(1, 1, 0));
    requireNamed(
        "index_query",
        () ->
            Forward.of(
                dsa(1, 1, 1),
                Mask.causal(),
                Inputs.of(dsa(1, 1, 1), AttentionShape.of(1, 1, 4, 4), 3)
                    .with("index_query", Draws.gaussian(1, 1, 2, 4, 1))));
  }

  private static void requireNamed(String name, Runnable call) {
    String message =
        String.valueOf(assertThrows(IllegalArgumentException.class, call::run).getMessage());
    assertTrue(message.contains(name), message);
  }
}
