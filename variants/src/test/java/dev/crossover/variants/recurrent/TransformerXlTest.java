// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
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
import dev.crossover.variants.recurrent.TransformerXl.Positions;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/// Segments without a memory.
class TransformerXlTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new TransformerXl(0);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), clamped(3));
  }

  private static TransformerXl clamped(int length) {
    return new TransformerXl(
        0, false, Positions.SINUSOID, OptionalInt.of(length), OptionalInt.of(6), 7);
  }

  private static TransformerXl sameLength(int memory) {
    return new TransformerXl(
        memory, true, Positions.SINUSOID, OptionalInt.empty(), OptionalInt.empty(), 42);
  }

  @Override
  public Reference reference() {
    return TransformerXlTest::expected;
  }

  /// The definition, position keys by a double-precision sinusoid.
  static double[] expected(Attention attention, AttentionShape s, Mask mask, Tensors inputs) {
    TransformerXl xl = (TransformerXl) attention;
    int d = s.headDim();
    int memory = s.keySeqLen() - s.querySeqLen();
    double[] r =
        xl.positions() == Positions.GIVEN
            ? given(s, inputs.get("projected_positions"))
            : positionKeys(xl, s, inputs.get("position_projection"));
    return Oracle.softmax(
        s,
        mask,
        inputs.get("v"),
        (b, h, i, j) -> {
          int visible = xl.sameLength() ? xl.memoryLength() : Integer.MAX_VALUE;
          int distance = i + memory - j;
          if (s.keySeqLen() > xl.memoryLength() && distance >= visible) {
            return Double.NEGATIVE_INFINITY;
          }
          double score = 0;
          for (int c = 0; c < d; c++) {
            double q = inputs.get("q").data()[s.queryOffset(b, h) + i * d + c];
            double k = inputs.get("k").data()[s.keyOffset(b, h) + j * d + c];
            score += (q + inputs.get("content_bias").data()[h * d + c]) * k;
            score +=
                (q + inputs.get("position_bias").data()[h * d + c])
                    * r[distance * s.numHeads() * d + h * d + c];
          }
          return score / Math.sqrt(d);
        });
  }

  /// Row t of the given position keys belongs to distance nk − 1 − t.
  private static double[] given(AttentionShape s, Tensor projected) {
    double[] r = new double[projected.size()];
    int d = s.headDim();
    for (int e = 0; e < r.length; e++) {
      int h = e / (s.keySeqLen() * d);
      int distance = s.keySeqLen() - 1 - e / d % s.keySeqLen();
      r[(distance * s.numHeads() + h) * d + e % d] = projected.data()[e];
    }
    return r;
  }

  private static double[] positionKeys(TransformerXl xl, AttentionShape s, Tensor projection) {
    int model = projection.extent(0);
    int width = projection.extent(1);
    double[] r = new double[s.keySeqLen() * width];
    for (int distance = 0; distance < s.keySeqLen(); distance++) {
      double position = Math.min(distance, xl.clampLength().orElse(Integer.MAX_VALUE));
      for (int e = 0; e < model; e++) {
        double angle = position / Math.pow(10000, (e % (model / 2)) * 2.0 / model);
        double wave = e < model / 2 ? Math.sin(angle) : Math.cos(angle);
        for (int c = 0; c < width; c++) {
          r[distance * width + c] += wave * projection.data()[e * width + c];
        }
      }
    }
    return r;
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(80, 1, TransformerXlTest::drawn, reference());
  }

  @Test
  void gradientsOfRandomProblemsAgreeWithDifferences() {
    RandomGradients.check(80, 2, RandomCases.TOLERANCE, TransformerXlTest::drawn, reference());
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    int n = r.length();
    int memory = r.chance(3) ? 0 : r.from(1, 40);
    boolean same = r.chance(2);
    TransformerXl xl =
        new TransformerXl(
            same ? r.from(1, n + memory + 2) : memory,
            same,
            r.of(Positions.values()),
            r.chance(2) ? OptionalInt.of(r.from(1, n + memory)) : OptionalInt.empty(),
            r.chance(2) ? OptionalInt.of(2 * r.from(1, 8)) : OptionalInt.empty(),
            5);
    return r.problem(xl, r.shape(xl).withSeqLens(n, n + memory))
        .changed(inputs -> r.blurred(inputs, "content_bias", "position_bias"));
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(TransformerXl.class);
  }

  @Test
  void zeroPositionsAndBiasesAreCausalSoftmax() {
    AttentionShape shape = AttentionShape.of(2, 2, 50, 8);
    Tensors inputs =
        inputs(shape, 1)
            .with("content_bias", Tensor.zeros(2, 8))
            .with("position_bias", Tensor.zeros(2, 8))
            .with("position_projection", Tensor.zeros(16, 16));
    double[] exact = Oracle.softmax(attention().exactTarget(shape, Mask.causal(), inputs));
    assertTrue(Forward.maxDifference(exact, Forward.of(attention(), Mask.causal(), inputs)) < 2e-6);
  }

  @Test
  void segmentsThatRememberEverythingEqualOneLongSegment() {
    AttentionShape shape = AttentionShape.of(1, 2, 90, 8);
    Tensors inputs = Inputs.withParameters(attention(), shape, strong(inputs(shape, 2)));
    Tensor whole = Forward.of(attention(), Mask.causal(), inputs);
    for (int from : new int[] {0, 33, 64}) {
      int to = from + 26;
      TransformerXl segment = new TransformerXl(from);
      Tensors own =
          inputs
              .with("q", rows(inputs.get("q"), from, to))
              .with("k", rows(inputs.get("k"), 0, to))
              .with("v", rows(inputs.get("v"), 0, to));
      Tensor out = Forward.of(segment, Mask.causal(), own);
      assertTrue(Forward.maxDifference(rows(whole, from, to), out) < 2e-6);
    }
  }

  @Test
  void givenPositionsEqualProjectedSinusoids() {
    AttentionShape shape = AttentionShape.of(1, 2, 20, 4);
    Tensors inputs = Inputs.withParameters(attention(), shape, strong(inputs(shape, 3)));
    double[] r = positionKeys(new TransformerXl(0), shape, inputs.get("position_projection"));
    Tensor positions = Tensor.zeros(2, 20, 4);
    for (int e = 0; e < positions.size(); e++) {
      int t = e / 4 % 20;
      positions.data()[e] = (float) r[(19 - t) * 8 + e / 80 * 4 + e % 4];
    }
    Tensors given =
        Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v"))
            .with("content_bias", inputs.get("content_bias"))
            .with("position_bias", inputs.get("position_bias"))
            .with("projected_positions", positions);
    TransformerXl xl =
        new TransformerXl(0, false, Positions.GIVEN, OptionalInt.empty(), OptionalInt.empty(), 1);
    Tensor expected = Forward.of(attention(), Mask.causal(), inputs);
    assertTrue(Forward.maxDifference(expected, Forward.of(xl, Mask.causal(), given)) < 1e-6);
    assertFalse(xl.capabilities().decoding());
    assertThrows(UnsupportedOperationException.class, () -> xl.decode(shape));
  }

  @Test
  void clampBeyondTheLengthChangesNothingAndBelowItDoes() {
    AttentionShape shape = AttentionShape.of(1, 1, 24, 6);
    Tensors inputs = Inputs.withParameters(clamped(30), shape, strong(inputs(shape, 4)));
    TransformerXl free =
        new TransformerXl(0, false, Positions.SINUSOID, OptionalInt.empty(), OptionalInt.of(6), 7);
    Tensor expected = Forward.of(free, Mask.causal(), inputs);
    Tensor far = Forward.of(clamped(24), Mask.causal(), inputs);
    assertEquals(0, Forward.maxDifference(expected, far));
    Tensor near = Forward.of(clamped(2), Mask.causal(), inputs);
    assertTrue(Forward.maxDifference(expected, near) > 1e-3);
    for (int e = 0; e < 18; e++) {
      assertEquals(expected.data()[e], near.data()[e], 1e-6, "distances up to 2 are unclamped");
    }
  }

  @Test
  void sessionWithMemoryGivesWhatAOneTokenSegmentGivesAndStaysBounded() {
    for (TransformerXl xl : List.of(new TransformerXl(6), sameLength(6))) {
      AttentionShape shape = AttentionShape.of(2, 2, 20, 4);
      Tensors inputs = Inputs.withParameters(xl, shape, strong(inputs(shape, 5)));
      DecodeSession session = xl.decode(shape);
      Tensor out = Tensor.zeros(2, 2, 1, 4);
      for (int t = 0; t < 20; t++) {
        session.step(inputs(inputs, t, t, t + 1), out);
        int remembered = Math.min(t, 6);
        TransformerXl segment = xl.sameLength() ? xl : new TransformerXl(remembered);
        Tensor expected =
            Forward.of(segment, Mask.causal(), inputs(inputs, t, t - remembered, t + 1));
        assertTrue(Forward.maxDifference(expected, out) < 2e-6, xl + " token " + t);
      }
      long held = xl.sameLength() ? 6 : 7;
      assertEquals(held * 4 * 8 * Float.BYTES, session.stateBytes());
    }
  }

  @Test
  void lengthsAndOffsetsThatAreNotMemoryThenSegmentAreRefusedByName() {
    AttentionShape shape = AttentionShape.of(1, 1, 9, 4).withSeqLens(9, 12);
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> new TransformerXl(4).plan(shape, Mask.causal(), 1));
    assertTrue(error.getMessage().contains("memory_length + querySeqLen (13)"), error.getMessage());
    error =
        assertThrows(
            IllegalArgumentException.class,
            () -> new TransformerXl(3).plan(shape, Mask.causal(0), 1));
    assertTrue(error.getMessage().contains("memory's length (3)"), error.getMessage());
    assertThrows(IllegalArgumentException.class, () -> sameLength(0));
    assertThrows(IllegalArgumentException.class, () -> clamped(0));
    assertThrows(IllegalArgumentException.class, () -> new TransformerXl(-1));
  }

  private static Tensors inputs(AttentionShape s, long seed) {
    return Inputs.of(new TransformerXl(0), s, seed);
  }

  /// Position terms as large as the content's.
  private static Tensors strong(Tensors inputs) {
    int width = inputs.get("q").extent(1) * inputs.get("q").extent(3);
    int heads = inputs.get("q").extent(1);
    return inputs
        .with("content_bias", Draws.gaussian(91, heads, width / heads))
        .with("position_bias", Draws.gaussian(92, heads, width / heads))
        .with("position_projection", Draws.gaussian(93, 0.5, width == 6 ? 6 : width, width));
  }

  /// The query at one position, keys and values of a range, and the parameters.
  private static Tensors inputs(Tensors all, int query, int from, int to) {
    return all.with("q", rows(all.get("q"), query, query + 1))
        .with("k", rows(all.get("k"), from, to))
        .with("v", rows(all.get("v"), from, to));
  }

  private static Tensor rows(Tensor x, int from, int to) {
    int[] sizes = x.shape();
    sizes[2] = to - from;
    return Inputs.block(x, new int[] {0, 0, from, 0}, sizes);
  }
}
