// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.sparse.BlockTopK.Selection;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class BlockTopKTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new BlockTopK(4, 2, Selection.MEAN, 1, 3, 1);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        new BlockTopK(3, 2, Selection.BOUNDS, 1, 0, 0),
        new BlockTopK(5, 1, Selection.BOUNDS, 4, 2, 2),
        new BlockTopK(4, 2, Selection.MEAN, 3, 0, 3),
        new BlockTopK(4, 0, Selection.MEAN, 1, 4, 0),
        new BlockTopK(500, 3, Selection.MEAN, 1, 0, 0));
  }

  @Override
  public Reference reference() {
    return BlockTopKTest::expected;
  }

  @Override
  public Map<Claim, String> exemptions() {
    String later = "the choice of blocks knows later tokens of a block or group";
    String padded = "padded queries choose with their group";
    return Map.of(
        Claim.LATER_TOKENS_IGNORED, later,
        Claim.NAN_BEHIND_CAUSAL_ORDER, later,
        Claim.PREFIX_EQUALS_SHORTER, later,
        Claim.DECODING_EQUALS_WHOLE, later,
        Claim.NAN_BEHIND_PADDING, padded,
        Claim.PADDING_EQUALS_SHORTER, padded,
        Claim.GRADIENTS_NAN_BEHIND_CAUSAL_ORDER, later);
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(BlockTopK.class);
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(
        100,
        1,
        r ->
            r.problem(
                new BlockTopK(
                    r.from(1, 12),
                    r.from(0, 4),
                    Selection.values()[r.from(0, 1)],
                    r.from(1, 9),
                    r.from(0, 8),
                    r.from(0, 5))),
        reference());
  }

  @Test
  void gradientsAgreeWithDifferencesOnRandomProblems() {
    RandomGradients.check(
        60,
        31,
        RandomCases.TOLERANCE,
        r ->
            r.problem(
                new BlockTopK(
                    r.from(1, 12),
                    r.from(0, 4),
                    Selection.values()[r.from(0, 1)],
                    r.from(1, 9),
                    r.from(0, 8),
                    r.from(0, 5))),
        reference());
  }

  @Test
  void choosingEveryBlockEqualsExact() {
    for (int n : new int[] {1, 21, 130}) {
      AttentionShape shape = AttentionShape.of(2, 2, n, 8);
      Tensors inputs = attention().adapt(shape, Tensors.NONE, 5);
      for (Mask mask : List.of(Mask.none(), Mask.causal())) {
        Tensor exact = SparseRuns.run(new Tiled(), shape, mask, inputs);
        Attention all = new BlockTopK(4, n, Selection.BOUNDS, 5, 3, 2);
        SparseRuns.requireClose(exact, SparseRuns.run(all, shape, mask, inputs), all + ", " + n);
      }
    }
  }

  /// A session knows no later token: its answer is the last row of a plan over what it has seen, in
  /// which each query chooses alone.
  @Test
  void sessionAnswersAsAPlanThatEndsThere() {
    int n = 23;
    AttentionShape shape = new AttentionShape(2, 4, 2, n, n, 6, 6, 5);
    for (Attention each : instances()) {
      BlockTopK whole = (BlockTopK) each;
      Attention alone =
          new BlockTopK(
              whole.blockSize(),
              whole.topK(),
              whole.selection(),
              1,
              whole.windowSize(),
              whole.sinkTokens());
      Tensors inputs = whole.adapt(shape, Tensors.NONE, 11);
      DecodeSession session = whole.decode(shape);
      Tensor step = Tensor.zeros(whole.outputShape(shape.withSeqLens(1, 1)));
      for (int t = 0; t < n; t++) {
        session.step(rows(inputs, t, t + 1), step);
        AttentionShape seen = shape.withSeqLens(1, t + 1);
        Tensors prefix = rows(inputs, 0, t + 1).with("q", rows(inputs, t, t + 1).get("q"));
        Tensor last = SparseRuns.run(alone, seen, Mask.causal(), prefix);
        SparseRuns.requireClose(last, step, whole + ", token " + t);
      }
    }
  }

  private static Tensors rows(Tensors inputs, int from, int to) {
    Tensors rows = Tensors.NONE;
    for (String name : inputs.names()) {
      int[] shape = inputs.get(name).shape();
      int[] first = {0, 0, from, 0};
      shape[2] = to - from;
      rows = rows.with(name, Inputs.block(inputs.get(name), first, shape));
    }
    return rows;
  }

  @Test
  void withoutBlocksItIsASlidingWindow() {
    AttentionShape shape = AttentionShape.of(1, 2, 90, 8);
    Tensors inputs = attention().adapt(shape, Tensors.NONE, 7);
    for (Mask mask : List.of(Mask.none(), Mask.causal())) {
      SparseRuns.requireClose(
          SparseRuns.run(new Longformer(6), shape, mask, inputs),
          SparseRuns.run(new BlockTopK(8, 0, Selection.MEAN, 1, 7, 0), shape, mask, inputs),
          "a radius of 6 is a window of 7");
    }
  }

  @Test
  void longSequencesInSeveralPartsAgreeWithTheDefinition() {
    int n = 2101;
    AttentionShape shape = AttentionShape.of(1, 2, n, 8).withKeyValueHeads(1);
    Attention attention = new BlockTopK(64, 4, Selection.MEAN, 3, 40, 5);
    Tensors inputs = attention.adapt(shape, Tensors.NONE, 6);
    for (Mask mask : List.of(Mask.none(), Mask.causal())) {
      SparseRuns.requireClose(
          expected(attention, shape, mask, inputs),
          SparseRuns.run(attention, shape, mask, inputs),
          "three parts of 1023 queries");
    }
  }

  @Test
  void sizesAreChecked() {
    for (Runnable wrong :
        List.<Runnable>of(
            () -> new BlockTopK(0, 1, Selection.MEAN, 1, 0, 0),
            () -> new BlockTopK(1, -1, Selection.MEAN, 1, 0, 0),
            () -> new BlockTopK(1, 1, Selection.MEAN, 0, 0, 0),
            () -> new BlockTopK(1, 1, Selection.MEAN, 1, -1, 0),
            () -> new BlockTopK(1, 1, Selection.MEAN, 1, 0, -1))) {
      assertThrows(IllegalArgumentException.class, wrong::run);
    }
  }

  /// Section "What it computes" of the class comment, one query after another.
  private static double[] expected(
      Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    BlockTopK mechanism = (BlockTopK) attention;
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    int[] row = {-1, -1, -1};
    boolean[] chosen = new boolean[Math.ceilDiv(nk, mechanism.blockSize())];
    return Oracle.softmax(
        shape,
        mask,
        inputs.get("v"),
        (batch, h, i, j) -> {
          int group = i / mechanism.queryBlock();
          if (row[0] != batch || row[1] != h || row[2] != group) {
            row[0] = batch;
            row[1] = h;
            row[2] = group;
            choose(mechanism, shape, mask, inputs, batch, h, group, chosen);
          }
          int position = mask.isCausal() ? mask.causalLimit(i, nq, nk) - 1 : i + nk - nq;
          boolean visible =
              chosen[j / mechanism.blockSize()]
                  || Math.abs(position - j) < mechanism.windowSize()
                  || j < mechanism.sinkTokens();
          return visible
              ? Oracle.dot(shape, inputs.get("q"), inputs.get("k"), batch, h, i, j)
                  / Math.sqrt(shape.headDim())
              : Double.NEGATIVE_INFINITY;
        });
  }

  private static void choose(
      BlockTopK mechanism,
      AttentionShape shape,
      Mask mask,
      Tensors inputs,
      int batch,
      int h,
      int group,
      boolean[] chosen) {
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    int from = group * mechanism.queryBlock();
    int to = Math.min(nq, from + mechanism.queryBlock());
    int limit = mask.causalLimit(to - 1, nq, nk);
    double[] score = new double[chosen.length];
    Arrays.fill(score, Double.NEGATIVE_INFINITY);
    for (int x = 0; x < chosen.length && x * mechanism.blockSize() < limit; x++) {
      double sum = 0;
      boolean any = false;
      for (int i = from; i < to; i++) {
        double one = score(mechanism, shape, mask, inputs, batch, h, i, x);
        any |= one > Double.NEGATIVE_INFINITY;
        sum += one;
      }
      score[x] = any ? sum / (to - from) : Double.NEGATIVE_INFINITY;
    }
    for (int x = 0; x < chosen.length; x++) {
      int before = 0;
      for (int y = 0; y < chosen.length; y++) {
        before += score[y] > score[x] || (score[y] == score[x] && y < x) ? 1 : 0;
      }
      chosen[x] = score[x] > Double.NEGATIVE_INFINITY && before < mechanism.topK();
    }
  }

  private static double score(
      BlockTopK mechanism,
      AttentionShape shape,
      Mask mask,
      Tensors inputs,
      int batch,
      int h,
      int i,
      int x) {
    int d = shape.headDim();
    float[] q = inputs.get("q").data();
    float[] k = inputs.get("k").data();
    int query = shape.queryOffset(batch, h) + i * d;
    double sum = 0;
    int count = 0;
    double[] bound = new double[d];
    Arrays.fill(bound, Double.NEGATIVE_INFINITY);
    int end = Math.min(shape.keySeqLen(), (x + 1) * mechanism.blockSize());
    for (int j = x * mechanism.blockSize(); j < end; j++) {
      if (!mask.isRealKey(batch, j)) {
        continue;
      }
      count++;
      for (int c = 0; c < d; c++) {
        double product = (double) q[query + c] * k[shape.keyOffset(batch, h) + j * d + c];
        sum += product;
        bound[c] = Math.max(bound[c], product);
      }
    }
    if (count == 0) {
      return Double.NEGATIVE_INFINITY;
    }
    if (mechanism.selection() == Selection.MEAN) {
      return sum / count;
    }
    double bounds = 0;
    for (double one : bound) {
      bounds += one;
    }
    return bounds;
  }
}
