// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.variants.hashing.Reformer.Variant;
import dev.crossover.variants.sparse.SparseRuns;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class ReformerTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Reformer(4, List.of(4), 2);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        new Reformer(3, List.of(), 1),
        with(Variant.LUCIDRAINS, 5, List.of(2, 4), 3, 1, 1, false, false),
        with(Variant.LUCIDRAINS, 6, List.of(4), 3, 1, 0, true, true),
        with(Variant.TRAX, 2, List.of(6), 2, 2, 0, true, false),
        new Reformer(300, List.of(2), 2));
  }

  @Override
  public Reference reference() {
    return NaiveReformer::out;
  }

  @Override
  public Map<Claim, String> exemptions() {
    String moves = "later tokens move earlier ones between chunks, in the paper's mechanism too";
    return Map.of(
        Claim.LATER_TOKENS_IGNORED, moves,
        Claim.NAN_BEHIND_CAUSAL_ORDER, moves,
        Claim.PREFIX_EQUALS_SHORTER, moves,
        Claim.PADDING_EQUALS_SHORTER, "chunks wrap around the padded length");
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Reformer.class);
  }

  @Test
  void oneChunkEqualsExactSharedQueryKeyAttention() {
    for (int n : new int[] {1, 2, 50, 129}) {
      AttentionShape shape = AttentionShape.of(2, 2, n, 8);
      for (Variant variant : Variant.values()) {
        Attention whole = with(variant, n, List.of(4), 3, 1, 0, false, false);
        Tensors inputs = whole.adapt(shape, Tensors.NONE, 5);
        for (Mask mask : List.of(Mask.none(), Mask.causal())) {
          SparseRuns.requireClose(
              Oracle.softmax(whole.exactTarget(shape, mask, inputs)),
              SparseRuns.run(whole, shape, mask, inputs),
              variant + ", " + mask.label() + ", n = " + n);
        }
      }
    }
  }

  @Test
  void oneRoundOfTwoChunksEqualsExactSharedQueryKeyAttention() {
    AttentionShape shape = AttentionShape.of(1, 2, 64, 8);
    Attention two = new Reformer(32, List.of(8), 1);
    Tensors inputs = two.adapt(shape, Tensors.NONE, 6);
    SparseRuns.requireClose(
        Oracle.softmax(two.exactTarget(shape, Mask.none(), inputs)),
        SparseRuns.run(two, shape, Mask.none(), inputs),
        "each chunk sees itself and the other");
  }

  @Test
  void firstCausalRowReturnsItsValue() {
    AttentionShape shape = AttentionShape.of(1, 1, 40, 8);
    Tensors inputs = attention().adapt(shape, Tensors.NONE, 7);
    Tensor out = SparseRuns.run(attention(), shape, Mask.causal(), inputs);
    for (int c = 0; c < 8; c++) {
      assertEquals(inputs.get("v").data()[c], out.data()[c], 1e-6f);
    }
  }

  /// Why it does not decode: one hash direction, chunks of two, every score equal. Alone, tokens 0
  /// to 4 sort as `0 1 | 2 3 | 4 –` and token 4 sees 2 and 3; token 5, in the bucket before theirs,
  /// makes that `5 0 | 1 2 | 3 4`, and token 4 sees 1, 2 and 3.
  @Test
  void laterTokenChangesWhichEarlierTokensACausalRowSees() {
    Attention attention = new Reformer(2, List.of(2), 1);
    Tensor rotations = Tensor.zeros(1, 1, 1, 1, 1);
    rotations.data()[0] = 1;
    Tensor qk = Tensor.zeros(1, 1, 6, 1);
    Tensor v = Tensor.zeros(1, 1, 6, 1);
    for (int t = 0; t < 6; t++) {
      qk.data()[t] = t < 5 ? -1 : 1;
      v.data()[t] = 1 << t;
    }
    Tensors whole = Tensors.NONE.with("qk", qk).with("v", v).with("rotations", rotations);
    Tensors prefix =
        Tensors.NONE
            .with("qk", Inputs.leading(qk, 1, 1, 5, 1))
            .with("v", Inputs.leading(v, 1, 1, 5, 1))
            .with("rotations", rotations);
    assertEquals(
        (4 + 8) / 2f,
        SparseRuns.run(attention, AttentionShape.of(1, 1, 5, 1), Mask.causal(), prefix).data()[4],
        1e-5f);
    assertEquals(
        (2 + 4 + 8) / 3f,
        SparseRuns.run(attention, AttentionShape.of(1, 1, 6, 1), Mask.causal(), whole).data()[4],
        1e-5f);
  }

  @Test
  void moreRoundsBringTheOutputCloserToExact() {
    AttentionShape shape = AttentionShape.of(1, 4, 512, 16);
    double before = Double.POSITIVE_INFINITY;
    for (int rounds : new int[] {1, 4, 16}) {
      Attention attention = with(Variant.TRAX, 16, List.of(32), rounds, 1, 0, true, true);
      Tensors inputs = attention.adapt(shape, Tensors.NONE, 8);
      double[] exact = Oracle.softmax(attention.exactTarget(shape, Mask.none(), inputs));
      Tensor out = SparseRuns.run(attention, shape, Mask.none(), inputs);
      double squares = 0;
      for (int e = 0; e < exact.length; e++) {
        squares += Math.pow(exact[e] - out.data()[e], 2);
      }
      assertTrue(squares < before, rounds + " rounds: " + squares + " against " + before);
      before = squares;
    }
  }

  @Test
  void variantsDifferInTemperature() {
    int d = 16;
    AttentionShape shape = AttentionShape.of(1, 2, 24, d);
    Attention lucidrains = with(Variant.LUCIDRAINS, 24, List.of(2), 1, 1, 0, false, false);
    Attention trax = with(Variant.TRAX, 24, List.of(2), 1, 1, 0, false, false);
    Attention cooled =
        new Reformer(
            Variant.TRAX,
            24,
            List.of(2),
            1,
            1,
            0,
            OptionalDouble.of(1 / Math.sqrt(d)),
            false,
            false,
            Draws.DEFAULT_SEED);
    Tensors inputs = trax.adapt(shape, Tensors.NONE, 9);
    Tensor out = SparseRuns.run(lucidrains, shape, Mask.none(), inputs);
    SparseRuns.requireClose(
        out, SparseRuns.run(cooled, shape, Mask.none(), inputs), "trax divided by √d");
    Tensor hot = SparseRuns.run(trax, shape, Mask.none(), inputs);
    assertTrue(SparseRuns.largestDifference(out, hot) > 0.1, "trax as it is");
  }

  @Test
  void discountedPairsCountOnceOverAllRounds() {
    int n = 48;
    AttentionShape shape = AttentionShape.of(1, 1, n, 8);
    Attention discounted = with(Variant.TRAX, 8, List.of(4), 6, 1, 0, true, true);
    Tensors inputs = discounted.adapt(shape, Tensors.NONE, 10);
    Tensor rotations = discounted.inputs(shape).get(2).drawn(11);
    inputs = inputs.with("rotations", rotations);
    boolean[][] found = NaiveReformer.pairsFound((Reformer) discounted, shape, inputs);
    double[] once =
        Oracle.softmax(
            shape, Mask.none(), inputs.get("v"), score(discounted, shape, inputs, found));
    SparseRuns.requireClose(
        once,
        SparseRuns.run(discounted, shape, Mask.none(), inputs),
        "softmax over the set of pairs found in any round");
  }

  private static Oracle.Pair score(
      Attention attention, AttentionShape shape, Tensors inputs, boolean[][] found) {
    var target = attention.exactTarget(shape, Mask.none(), inputs);
    return (b, h, i, j) ->
        found[i][j]
            ? Oracle.dot(shape, target.query(), target.key(), b, h, i, j) - (i == j ? 1e5 : 0)
            : Double.NEGATIVE_INFINITY;
  }

  @Test
  void bucketsAreThoseOfTheHashInDoublePrecision() {
    int d = 32;
    int half = 24;
    LshHash hash = new LshHash(d, 1, new int[] {16, 32});
    Tensor x = Draws.gaussian(12, 500, d);
    Tensor r = Draws.gaussian(13, d, half);
    float[] y = new float[500 * half];
    hash.rotate(Kernels.get(), 500, x.data(), 0, r.data(), 0, y);
    double longest = hash.longest(r.data(), 0);
    int[] actual = new int[500];
    int[] expected = new int[500];
    for (int t = 0; t < 500; t++) {
      actual[t] =
          hash.bucket(Kernels.get(), y, t * half, x.data(), t * d, r.data(), 0, 0, 6, longest);
      expected[t] = NaiveReformer.bucket(x.data(), t * d, d, r.data(), 0, half, List.of(16, 32));
    }
    assertArrayEquals(expected, actual);
  }

  @Test
  void nearTiesAreDecidedInDouble() {
    LshHash hash = new LshHash(2, 1, new int[] {4});
    float[] x = {1, 1e-9f};
    float[] rotations = {1, 1, 1, 2};
    float[] rounded = {1, 1};
    assertEquals(1, hash.bucket(Kernels.get(), rounded, 0, x, 0, rotations, 0, 0, 1, 3));
  }

  @Test
  void numberOfBucketsFollowsTheLengthAndIsFactored() {
    assertEquals(List.of(2), new Reformer(128, List.of(), 1).bucketFactors(100));
    assertEquals(List.of(128), new Reformer(128, List.of(), 1).bucketFactors(8192));
    assertEquals(List.of(16, 16), new Reformer(64, List.of(), 1).bucketFactors(8192));
    assertEquals(List.of(16, 12), new Reformer(64, List.of(), 1).bucketFactors(6400));
  }

  @Test
  void oddBucketsAndEmptyChunksAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new Reformer(4, List.of(3), 1));
    assertThrows(IllegalArgumentException.class, () -> new Reformer(0, List.of(2), 1));
    assertThrows(IllegalArgumentException.class, () -> new Reformer(4, List.of(2), 0));
  }

  private static Reformer with(
      Variant variant,
      int chunk,
      List<Integer> buckets,
      int rounds,
      int before,
      int after,
      boolean sameBucketOnly,
      boolean discountDuplicates) {
    return new Reformer(
        variant,
        chunk,
        buckets,
        rounds,
        before,
        after,
        OptionalDouble.empty(),
        sameBucketOnly,
        discountDuplicates,
        Draws.DEFAULT_SEED);
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(150, 21, r -> r.problem(drawn(r)), NaiveReformer::out);
  }

  private static Reformer drawn(RandomCases r) {
    boolean sameBucketOnly = r.chance(3);
    return new Reformer(
        r.of(Variant.values()),
        r.chance(8) ? 200 : r.from(1, 12),
        r.list(r.from(0, 3), f -> 2 * f.from(1, 4)),
        r.from(1, 4),
        r.from(0, 3),
        r.from(0, 2),
        r.chance(2) ? OptionalDouble.empty() : OptionalDouble.of(r.between(-1, 2)),
        sameBucketOnly,
        r.chance(sameBucketOnly ? 2 : 8),
        r.from(0, 99));
  }
}
