// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.lowrank.Nystromformer.Init;
import dev.crossover.variants.lowrank.Nystromformer.MaskRule;
import dev.crossover.variants.lowrank.Nystromformer.SegmentRule;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class NystromformerTest extends AttentionContract {
  private static final int LANDMARKS = 4;

  @Override
  public Attention attention() {
    return new Nystromformer(LANDMARKS, 6, Init.EXACT);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        new Nystromformer(LANDMARKS),
        new Nystromformer(LANDMARKS, 6, Init.GLOBAL_PRODUCT),
        new Nystromformer(
            LANDMARKS,
            6,
            Init.EXACT,
            SegmentRule.UNEQUAL,
            MaskRule.MASKED_LANDMARKS,
            OptionalInt.of(3),
            1e-8));
  }

  @Override
  public boolean acceptsLengths(int querySeqLen, int keySeqLen) {
    return Math.min(querySeqLen, keySeqLen) >= LANDMARKS;
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(Claim.PADDING_EQUALS_SHORTER, "the segments follow from the padded length");
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        NystromReference.out((Nystromformer) attention, shape, mask, inputs);
  }

  @Override
  public Map<String, Reference> resultReferences() {
    return Map.of(
        "landmark_kernel",
        (attention, shape, mask, inputs) ->
            NystromReference.squares((Nystromformer) attention, shape, mask, inputs, false),
        "pseudo_inverse",
        (attention, shape, mask, inputs) ->
            NystromReference.squares((Nystromformer) attention, shape, mask, inputs, true));
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Nystromformer.class);
  }

  @Test
  void asManyLandmarksAsPositionsIsExactAttention() {
    AttentionShape shape = AttentionShape.of(2, 2, 40, 8);
    Tensors inputs = LinformerTest.qkv(shape, 1);
    Nystromformer nystrom = new Nystromformer(40);
    Mask.KeyPadding padding = Mask.lengths(40, 40, 29);
    for (Mask mask : List.of(Mask.none(), padding)) {
      double[] exact = Oracle.softmax(nystrom.exactTarget(shape, mask, inputs));
      Tensor out = Forward.of(nystrom, mask, inputs);
      for (int e = 0; e < exact.length; e++) {
        if (mask.isRealKey(e / 640, e / 8 % 40)) {
          assertEquals(exact[e], out.data()[e], 2e-6, mask.label());
        }
      }
    }
  }

  @Test
  void oneLandmarkGivesEveryQueryTheMeanQuerysRow() {
    AttentionShape shape = AttentionShape.of(1, 1, 12, 4);
    Tensors inputs = LinformerTest.qkv(shape, 2);
    Tensor mean = Tensor.zeros(1, 1, 1, 4);
    for (int e = 0; e < 48; e++) {
      mean.data()[e % 4] += inputs.get("q").data()[e] / 12;
    }
    double[] row =
        Oracle.softmax(
            shape.withSeqLens(1, 12),
            Mask.none(),
            mean,
            inputs.get("k"),
            inputs.get("v"),
            0.5,
            null);
    Tensor out = Forward.of(new Nystromformer(1), Mask.none(), inputs);
    for (int e = 0; e < 48; e++) {
      assertEquals(row[e % 4], out.data()[e], 1e-6);
    }
  }

  @Test
  void publishedInitialisationCouplesBatchEntries() {
    AttentionShape shape = AttentionShape.of(2, 1, 24, 8);
    Tensors inputs = LinformerTest.qkv(shape, 3);
    Tensor sharper = inputs.get("q").copy();
    for (int e = 192; e < 384; e++) {
      sharper.data()[e] = 2;
    }
    Tensors other = inputs.with("q", sharper);
    for (Init init : Init.values()) {
      Nystromformer nystrom = new Nystromformer(6, 6, init);
      Tensor before = Forward.of(nystrom, Mask.none(), inputs);
      Tensor after = Forward.of(nystrom, Mask.none(), other);
      double moved = 0;
      for (int e = 0; e < 192; e++) {
        moved = Math.max(moved, Math.abs(before.data()[e] - after.data()[e]));
      }
      if (init == Init.EXACT) {
        assertEquals(0, moved);
      } else {
        assertTrue(moved > 1e-3, init + " moved entry 0 by " + moved);
      }
      assertEquals(init == Init.EXACT, nystrom.capabilities().batchIndependent());
    }
  }

  @Test
  void manyIterationsGiveTheInverseOfARegularKernel() {
    double[] kernel = {0.7, 0.2, 0.1, 0.1, 0.8, 0.1, 0.3, 0.1, 0.6};
    double[] z = new PseudoInverse(new Scratch(), 3).of(kernel, 0, 1.1, 20);
    for (int i = 0; i < 3; i++) {
      for (int j = 0; j < 3; j++) {
        double product = 0;
        for (int k = 0; k < 3; k++) {
          product += kernel[i * 3 + k] * z[k * 3 + j];
        }
        assertEquals(i == j ? 1 : 0, product, 1e-12);
      }
    }
  }

  @Test
  void keysBeyondOneSegmentAreMerged() {
    AttentionShape shape = AttentionShape.of(1, 1, 17000, 4);
    Tensors inputs = LinformerTest.qkv(shape, 4);
    Nystromformer nystrom = new Nystromformer(3, 6, Init.EXACT);
    Mask mask = Mask.lengths(17000, 16500);
    double[] expected = NystromReference.out(nystrom, shape, mask, inputs);
    Tensor out = Forward.of(nystrom, mask, inputs);
    assertTrue(Forward.maxDifference(expected, out) < 2e-5);
  }

  @Test
  void causalOrderAndShortSequencesAreRefusedByName() {
    AttentionShape shape = AttentionShape.of(1, 1, 9, 4);
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> new Nystromformer(4).plan(shape, Mask.causal(), 1));
    assertTrue(error.getMessage().startsWith("nystromformer: mask must not be causal"));
    error =
        assertThrows(
            IllegalArgumentException.class,
            () -> new Nystromformer(10).plan(shape, Mask.none(), 1));
    assertTrue(error.getMessage().contains("at least landmarks (10)"), error.getMessage());
    assertFalse(new Nystromformer(4).capabilities().decoding());
  }

  @Test
  void skipConvolutionNeedsEqualLengths() {
    Nystromformer skip =
        new Nystromformer(
            2, 6, Init.EXACT, SegmentRule.UNEQUAL, MaskRule.AUTHORS, OptionalInt.of(3), 0);
    AttentionShape cross = AttentionShape.of(1, 1, 9, 4).withSeqLens(5, 9);
    assertThrows(IllegalArgumentException.class, () -> skip.plan(cross, Mask.none(), 1));
    Tensors inputs =
        LinformerTest.qkv(AttentionShape.of(1, 1, 9, 4), 5)
            .with("conv_weight", Tensor.of(new float[] {0, 2, 0}, 1, 3));
    Tensor plain =
        Forward.of(
            new Nystromformer(2, 6, Init.EXACT),
            Mask.none(),
            Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v")));
    Tensor out = Forward.of(skip, Mask.none(), inputs);
    for (int e = 0; e < out.size(); e++) {
      assertEquals(plain.data()[e] + 2 * inputs.get("v").data()[e], out.data()[e], 1e-6);
    }
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(150, 22, NystromformerTest::drawn, NystromformerTest::expected);
  }

  @Test
  void anyGradientAgreesWithDifferencesOfTheDefinition() {
    RandomGradients.check(
        100, 23, RandomCases.TOLERANCE, NystromformerTest::drawn, NystromformerTest::expected);
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    boolean conv = r.chance(3);
    OptionalInt taps = conv ? OptionalInt.of(r.from(1, 7)) : OptionalInt.empty();
    SegmentRule segments = r.of(SegmentRule.values());
    Nystromformer any = new Nystromformer(1, 1, Init.EXACT, segments, MaskRule.AUTHORS, taps, 1e-8);
    AttentionShape shape = r.shape(any);
    int shortest = Math.min(shape.querySeqLen(), shape.keySeqLen());
    int most = segments == SegmentRule.UNEQUAL ? Math.min(9, shortest) : 9;
    int landmarks = shortest < 15 && r.chance(6) ? shortest : r.from(1, most);
    return r.problem(
        new Nystromformer(
            landmarks,
            r.from(1, 8),
            r.of(Init.values()),
            segments,
            r.of(MaskRule.values()),
            taps,
            r.of(1e-8, 0.0, 0.1)),
        shape);
  }

  private static double[] expected(
      Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    return NystromReference.out((Nystromformer) attention, shape, mask, inputs);
  }
}
