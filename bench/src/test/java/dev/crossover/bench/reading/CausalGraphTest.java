// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.random.Draws;
import dev.crossover.bench.reading.CausalGraph.Learned;
import dev.crossover.bench.reading.CausalGraph.Learner;
import dev.crossover.bench.reading.CausalGraph.Options;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class CausalGraphTest {

  static LongStream seeds() {
    return LongStream.range(0, 120);
  }

  /// On exact independences two different algorithms must find the same graph, and every mark must
  /// hold in the graph that made the independences.
  @ParameterizedTest
  @MethodSource("seeds")
  void iterativeAndFastInferenceAgreeAndEveryMarkIsTrue(long seed) {
    DSeparation truth = DSeparation.random(seed, 9, 0.3, 0.25);
    if (truth.size() < 3) {
      return;
    }
    Pag iterative = learn(truth, Options.STANDARD);
    Pag fast = learn(truth, Options.STANDARD.with(Learner.FCI));
    assertEquals(fast, iterative);
    assertMarksAreTrue(truth, iterative);
  }

  /// Rule 10 of the program may set more tails than the published one; all other marks are equal.
  @ParameterizedTest
  @MethodSource("seeds")
  void rulesOfProgramAndPaperDifferInTailsOnly(long seed) {
    DSeparation truth = DSeparation.random(1000 + seed, 9, 0.45, 0.2);
    if (truth.size() < 3) {
      return;
    }
    Pag code = learn(truth, Options.STANDARD);
    Pag published = learn(truth, Options.STANDARD.rules(true, true, true));
    assertMarksAreTrue(truth, published);
    for (Pag.Edge edge : published.edges()) {
      assertTrue(
          edge.atA() == code.mark(edge.b(), edge.a())
              || code.mark(edge.b(), edge.a()) == Mark.TAIL);
      assertTrue(
          edge.atB() == code.mark(edge.a(), edge.b())
              || code.mark(edge.a(), edge.b()) == Mark.TAIL);
    }
    assertEquals(code.edges().size(), published.edges().size());
  }

  /// With the order of the generating graph given, the same edges remain, no arrowhead is lost, and
  /// no edge points backwards.
  @ParameterizedTest
  @MethodSource("seeds")
  void knownOrderKeepsTheEdgesAndAddsArrowheads(long seed) {
    DSeparation truth = DSeparation.random(2000 + seed, 8, 0.35, 0.2);
    if (truth.size() < 3) {
      return;
    }
    Pag free = learn(truth, Options.STANDARD);
    Pag ordered = learn(truth, Options.STANDARD.with(Learner.ORDERED));
    assertMarksAreTrue(truth, ordered);
    assertEquals(free.edges().size(), ordered.edges().size());
    for (Pag.Edge edge : free.edges()) {
      assertEquals(Mark.ARROW, ordered.mark(edge.a(), edge.b()), "later tokens cause nothing");
      if (edge.atA() == Mark.ARROW) {
        assertEquals(Mark.ARROW, ordered.mark(edge.b(), edge.a()));
      }
    }
  }

  private static Pag learn(DSeparation truth, Options options) {
    Learned learned = CausalGraph.learn(truth.size(), truth, options);
    assertTrue(learned.complete(), learned.stop());
    return learned.graph();
  }

  private static void assertMarksAreTrue(DSeparation truth, Pag graph) {
    for (Pag.Edge edge : graph.edges()) {
      assertMarkIsTrue(truth, edge.a(), edge.b(), edge.atA());
      assertMarkIsTrue(truth, edge.b(), edge.a(), edge.atB());
    }
  }

  private static void assertMarkIsTrue(DSeparation truth, int at, int other, Mark mark) {
    if (mark == Mark.ARROW) {
      assertFalse(truth.ancestor(at, other), "arrowhead at an ancestor");
    }
    if (mark == Mark.TAIL) {
      assertTrue(truth.ancestor(at, other), "tail at a token that is no ancestor");
    }
  }

  @Test
  void colliderIsOrientedAndWhatFollowsIt() {
    boolean[][] edge = new boolean[4][4];
    edge[0][2] = true;
    edge[1][2] = true;
    edge[2][3] = true;
    DSeparation truth = new DSeparation(edge, new int[] {0, 1, 2, 3});
    Learned learned = CausalGraph.learn(4, truth, Options.STANDARD);
    assertEquals("0 o-> 2, 1 o-> 2, 2 --> 3", learned.graph().toString());
    assertArrayEquals(new int[0], learned.separators().of(1, 0));
    assertArrayEquals(new int[] {2}, learned.separators().of(3, 0));
  }

  @Test
  void limitOnTheOrderLeavesAGraphAndSaysSo() {
    DSeparation truth = DSeparation.random(7, 8, 0.5, 0);
    Learned limited = CausalGraph.learn(8, truth, Options.STANDARD.limits(1, 1_000_000));
    assertFalse(limited.complete());
    assertEquals(1, limited.finishedOrder());
    assertTrue(limited.stop().contains("more than 1 tokens"), limited.stop());
    Learned whole = CausalGraph.learn(8, truth, Options.STANDARD);
    assertTrue(limited.graph().edges().size() >= whole.graph().edges().size());
  }

  @Test
  void limitOnTestsLeavesAGraphAndSaysSo() {
    DSeparation truth = DSeparation.random(7, 8, 0.5, 0);
    Learned limited = CausalGraph.learn(8, truth, Options.STANDARD.limits(-1, 40));
    assertFalse(limited.complete());
    assertEquals(0, limited.finishedOrder(), "28 tests of pairs fit, those given one token do not");
    assertTrue(limited.stop().contains("at most 40"), limited.stop());
  }

  @Test
  void oneTokenHasNoEdgeAndTwoHaveOneTest() {
    assertEquals("", CausalGraph.learn(1, (a, b, s) -> false, Options.STANDARD).graph().toString());
    for (Learner learner : Learner.values()) {
      Options options = Options.STANDARD.with(learner);
      assertEquals(1, CausalGraph.learn(2, (a, b, s) -> false, options).graph().edges().size());
      assertEquals(0, CausalGraph.learn(2, (a, b, s) -> true, options).graph().edges().size());
    }
  }

  /// Identity attention: every token for itself.
  @Test
  void identityAttentionHasAnEmptyGraph() {
    double[][] identity = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    PartialCorrelationTest test = new PartialCorrelationTest(Correlations.of(identity), 64, 0.01);
    assertEquals("", CausalGraph.learn(3, test, Options.STANDARD).graph().toString());
    assertArrayEquals(new int[] {3, 0}, test.tests());
  }

  /// The threshold that needs no probability: dependent from |r| = tanh(q / √(N − s − 3)).
  @ParameterizedTest
  @ValueSource(ints = {64, 768})
  void fisherTestTurnsAtItsThreshold(int samples) {
    double quantile = 2.5758293035489004; // of the normal distribution at 1 − 0.01 / 2
    double threshold = Math.tanh(quantile / Math.sqrt(samples - 3));
    for (double factor : new double[] {0.999, 1.001}) {
      double r = threshold * factor;
      double[][] correlation = {{1, r}, {r, 1}};
      assertEquals(
          factor < 1,
          new PartialCorrelationTest(correlation, samples, 0.01).independent(0, 1, new int[0]));
    }
    assertEquals(samples == 64 ? 0.318 : 0.0929, threshold, 5e-4);
  }

  /// The form for two or more tokens must agree with the recursion on the form for one.
  @Test
  void partialCorrelationsAgreeWithTheirRecursion() {
    double[][] rows = new double[5][9];
    float[] draws = Draws.uniform(5, 0, 1, 5, 9).data();
    for (int i = 0; i < 5; i++) {
      for (int j = 0; j < 9; j++) {
        rows[i][j] = draws[i * 9 + j];
      }
    }
    PartialCorrelationTest test = new PartialCorrelationTest(Correlations.of(rows), 64, 0.01);
    double ab = test.partial(0, 1, new int[] {2});
    double ad = test.partial(0, 3, new int[] {2});
    double bd = test.partial(1, 3, new int[] {2});
    double expected = (ab - ad * bd) / Math.sqrt((1 - ad * ad) * (1 - bd * bd));
    assertEquals(expected, test.partial(0, 1, new int[] {2, 3}), 1e-12);
    assertTrue(
        Double.isNaN(
            new PartialCorrelationTest(Correlations.of(rows), 3, 0.01)
                .pValue(0, 1, new int[] {2})));
  }

  @Test
  void dependentRowsAreRefusedByName() {
    double[][] rows = {{1, 0, 0}, {0, 1, 0}, {1, 1, 0}, {1, 2, 0}};
    PartialCorrelationTest test = new PartialCorrelationTest(Correlations.of(rows), 64, 0.01);
    IllegalArgumentException refusal =
        assertThrows(SingularRowsException.class, () -> test.independent(0, 1, new int[] {2, 3}));
    assertTrue(String.valueOf(refusal.getMessage()).contains("[2, 3, 0, 1]"), refusal.toString());
    assertEquals(2, Correlations.rank(rows, 1e-9));
    assertEquals(
        1, Correlations.equalPairs(Correlations.of(new double[][] {{1, 2}, {2, 4}})).size());
    assertThrows(
        IllegalArgumentException.class, () -> Correlations.of(new double[][] {{1, 0}, {0, 0}}));
  }
}
