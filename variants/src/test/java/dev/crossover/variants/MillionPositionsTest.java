package dev.crossover.variants;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Linear attention by feature maps at 2²⁰ positions, one head of width 64, in the 4 GiB of heap
/// that tests have; run by the profile `million`.
@Tag("large")
class MillionPositionsTest {
  private static final int POSITIONS = 1 << 20;
  private static final AttentionShape SHAPE = AttentionShape.of(1, 1, POSITIONS, 64);

  record Case(MechanismType type, Mask mask) {
    @Override
    public String toString() {
      return type.name() + ", mask " + mask.label();
    }
  }

  static Stream<Case> cases() {
    List<Case> cases = new ArrayList<>();
    for (MechanismType type : Catalogue.all()) {
      if (type.mechanism().family() == Mechanism.Family.FEATURE_MAP) {
        Causality causality = type.defaults().capabilities().causal();
        if (causality != Causality.ALWAYS) {
          cases.add(new Case(type, Mask.none()));
        }
        if (causality != Causality.NEVER) {
          cases.add(new Case(type, Mask.causal()));
        }
      }
    }
    return cases.stream();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void runsWithinFourGibibytes(Case each) {
    Attention attention = each.type().defaults();
    Tensors inputs = AttentionInputs.complete(attention, SHAPE, Tensors.NONE, 1);
    Tensor out = Tensor.zeros(attention.outputShape(SHAPE));
    attention.plan(SHAPE, each.mask(), 2).forward(inputs, out);
    double sum = 0;
    for (float value : out.data()) {
      assertTrue(Float.isFinite(value), each.toString());
      sum += Math.abs(value);
    }
    assertTrue(sum > 0, "the output must not be empty");
  }

  /// A sequence repeated 2¹⁴ times has the outputs of the sequence itself, whatever was rounded on
  /// the way: all weights are shares of a sum over keys. (cosFormer's depend on positions.)
  @ParameterizedTest
  @MethodSource("cases")
  void repeatedSequenceHasTheOutputsOfTheSequence(Case each) {
    if (each.mask().isCausal() || each.type().name().equals("cosformer")) {
      return;
    }
    Attention attention = each.type().defaults();
    Tensors inputs = Tensors.qkv(repeated(1), repeated(2), repeated(3));
    Tensor out = Tensor.zeros(attention.outputShape(SHAPE));
    attention.plan(SHAPE, each.mask(), 2).forward(inputs, out);
    Tensors once = Tensors.qkv(period(1), period(2), period(3));
    Tensor expected = Forward.of(attention, each.mask(), once);
    int last = out.size() - expected.size();
    for (int e = 0; e < expected.size(); e++) {
      double value = expected.data()[e];
      assertEquals(value, out.data()[last + e], 1e-4 * (1 + Math.abs(value)), each.toString());
    }
  }

  private static Tensor period(long seed) {
    return Draws.gaussian(seed, 1, 1, 64, 64);
  }

  private static Tensor repeated(long seed) {
    Tensor period = period(seed);
    Tensor all = Tensor.zeros(1, 1, POSITIONS, 64);
    for (int at = 0; at < all.size(); at += period.size()) {
      System.arraycopy(period.data(), 0, all.data(), at, period.size());
    }
    return all;
  }
}
