// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.sparse.SparseTransformer.Pattern;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class SparseTransformerTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new SparseTransformer(Pattern.STRIDED_UNION, 5);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        new SparseTransformer(List.of(Pattern.STRIDED_UNION), 4, 1, 1, true),
        new SparseTransformer(List.of(Pattern.LOCAL, Pattern.STRIDED), 3, 1, 1, true),
        new SparseTransformer(List.of(Pattern.FIXED_UNION), 6, 2, 3, false),
        new SparseTransformer(List.of(Pattern.FIXED_BLOCK, Pattern.FIXED_SUMMARY), 4, 1, 2, false),
        new SparseTransformer(List.of(Pattern.ALL, Pattern.FIXED_UNION), 8, 3, 1, false));
  }

  @Override
  public Reference reference() {
    return SparseTransformerTest::expected;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(SparseTransformer.class);
  }

  @Test
  void patternsThatCoverEveryKeyEqualExact() {
    for (int n : new int[] {1, 7, 90}) {
      AttentionShape shape = AttentionShape.of(2, 2, n, 8);
      Tensors inputs = attention().adapt(shape, Tensors.NONE, 5);
      List<Attention> exact =
          List.of(
              new SparseTransformer(Pattern.ALL, 3),
              new SparseTransformer(Pattern.LOCAL, n),
              new SparseTransformer(Pattern.FIXED_BLOCK, n + 4),
              new SparseTransformer(Pattern.STRIDED, 1),
              new SparseTransformer(List.of(Pattern.FIXED_UNION), 7, 7, 1, false));
      for (Mask mask : List.of(Mask.none(), Mask.causal())) {
        Tensor expected = SparseRuns.run(new Tiled(), shape, mask, inputs);
        for (Attention attention : exact) {
          SparseRuns.requireClose(
              expected,
              SparseRuns.run(attention, shape, mask, inputs),
              attention + ", " + mask.label() + ", n = " + n);
        }
      }
    }
  }

  @Test
  void localSetOfOneKeyReturnsTheValues() {
    AttentionShape shape = AttentionShape.of(1, 2, 30, 8);
    Tensors inputs = attention().adapt(shape, Tensors.NONE, 6);
    SparseRuns.requireClose(
        inputs.get("v"),
        SparseRuns.run(new SparseTransformer(Pattern.LOCAL, 1), shape, Mask.causal(), inputs),
        "a query that sees itself only");
  }

  @Test
  void firstRowsOfSummaryAloneAreZero() {
    AttentionShape shape = AttentionShape.of(1, 1, 8, 4);
    Tensors inputs = attention().adapt(shape, Tensors.NONE, 7);
    Attention summary = new SparseTransformer(Pattern.FIXED_SUMMARY, 4);
    Tensor out = SparseRuns.run(summary, shape, Mask.causal(), inputs);
    assertEquals(0, sumOfSquares(out, 0, 3 * 4), "rows 0 to 2 see no summary cell");
    assertTrue(sumOfSquares(out, 3 * 4, 4 * 4) > 0, "row 3 is one");
  }

  @Test
  void localSetOfThePaperHoldsOneKeyMoreThanTheCodes() {
    assertEquals(4, keysSeen(new SparseTransformer(List.of(Pattern.LOCAL), 3, 1, 1, true), 9));
    assertEquals(3, keysSeen(new SparseTransformer(List.of(Pattern.LOCAL), 3, 1, 1, false), 9));
  }

  @Test
  void unionCountsEachKeyOnce() {
    assertEquals(3 + 2, keysSeen(new SparseTransformer(Pattern.STRIDED_UNION, 3), 8));
    assertEquals(
        4 + 1, keysSeen(new SparseTransformer(List.of(Pattern.STRIDED_UNION), 3, 1, 1, true), 8));
    assertEquals(3 + 2, keysSeen(new SparseTransformer(Pattern.FIXED_UNION, 3), 9));
    assertEquals(3, keysSeen(new SparseTransformer(Pattern.FIXED_BLOCK, 3), 9));
  }

  @Test
  void fixedDecodingKeepsOneWindowAndTheSummaryCells() {
    int n = 100;
    int stride = 10;
    AttentionShape shape = AttentionShape.of(1, 2, n, 8);
    Attention fixed = new SparseTransformer(List.of(Pattern.FIXED_UNION), stride, 2, 2, false);
    long row = 2L * (8 + 8) * Float.BYTES;
    assertEquals((stride + 9 * 4) * row, stateAfter(fixed, shape, n));
    Attention local = new SparseTransformer(Pattern.LOCAL, stride);
    assertEquals(stride * row, stateAfter(local, shape, n));
    Attention strided = new SparseTransformer(Pattern.STRIDED_UNION, stride);
    assertEquals(n * row, stateAfter(strided, shape, n));
  }

  @Test
  void patternsForAnotherNumberOfHeadsAreRefused() {
    Attention attention =
        new SparseTransformer(List.of(Pattern.LOCAL, Pattern.STRIDED), 3, 1, 1, false);
    AttentionShape shape = AttentionShape.of(1, 3, 8, 4);
    var error =
        assertThrows(IllegalArgumentException.class, () -> attention.plan(shape, Mask.none(), 1));
    assertTrue(error.getMessage().contains("pattern must be"), error.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> new SparseTransformer(List.of(Pattern.FIXED_UNION), 8, 3, 3, false));
    assertThrows(IllegalArgumentException.class, () -> new SparseTransformer(Pattern.LOCAL, 0));
  }

  /// How many keys the last of n rows sees: the inverse of its equal weights.
  private static long keysSeen(Attention attention, int n) {
    AttentionShape shape = AttentionShape.of(1, 1, n, 1);
    Tensor zero = Tensor.zeros(1, 1, n, 1);
    Tensor value = Tensor.zeros(1, 1, n, 1);
    value.data()[n - 1] = 1;
    Tensor out = SparseRuns.run(attention, shape, Mask.causal(), Tensors.qkv(zero, zero, value));
    return Math.round(1.0 / out.data()[n - 1]);
  }

  private static long stateAfter(Attention attention, AttentionShape shape, int tokens) {
    DecodeSession session = attention.decode(shape);
    session.prefill(attention.adapt(shape.withSeqLens(tokens, tokens), Tensors.NONE, 3));
    return session.stateBytes();
  }

  private static double sumOfSquares(Tensor tensor, int from, int to) {
    double sum = 0;
    for (float x : Arrays.copyOfRange(tensor.data(), from, to)) {
      sum += x * x;
    }
    return sum;
  }

  /// The sets of the specification, one pair at a time.
  static double[] expected(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    SparseTransformer sparse = (SparseTransformer) attention;
    return Oracle.softmax(
        shape,
        mask,
        inputs.get("v"),
        (b, h, i, j) ->
            allowed(sparse, h, i, j)
                ? Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, i, j)
                    / Math.sqrt(shape.headDim())
                : Double.NEGATIVE_INFINITY);
  }

  private static boolean allowed(SparseTransformer sparse, int h, int i, int j) {
    int l = sparse.stride();
    int c = sparse.summarySize();
    int last = l - c * (h % sparse.summarySlots());
    boolean local = Math.abs(i - j) < l + (sparse.localIncludesStride() ? 1 : 0);
    boolean column = (i - j) % l == 0;
    boolean block = i / l == j / l;
    boolean summary = j % l >= last - c && j % l < last;
    List<Pattern> patterns = sparse.pattern();
    return switch (patterns.get(patterns.size() == 1 ? 0 : h)) {
      case LOCAL -> local;
      case STRIDED -> column;
      case STRIDED_UNION -> local || column;
      case FIXED_BLOCK -> block;
      case FIXED_SUMMARY -> summary;
      case FIXED_UNION -> block || summary;
      case ALL -> true;
    };
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(
        200, 26, SparseTransformerTest::drawn, SparseTransformerTest::expected);
  }

  @Test
  void gradientsAgreeWithDifferencesOnRandomProblems() {
    RandomGradients.check(
        60,
        31,
        RandomCases.TOLERANCE,
        SparseTransformerTest::drawn,
        SparseTransformerTest::expected);
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    AttentionShape shape = r.shape(new SparseTransformer(Pattern.ALL, 1));
    int stride = r.chance(6) ? r.from(10, 60) : r.from(1, 9);
    int size = r.from(1, stride);
    int slots = r.from(1, stride / size);
    int patterns = r.chance(2) ? 1 : shape.numHeads();
    return r.problem(
        new SparseTransformer(
            r.list(patterns, one -> one.of(Pattern.values())), stride, size, slots, r.chance(2)),
        shape);
  }
}
