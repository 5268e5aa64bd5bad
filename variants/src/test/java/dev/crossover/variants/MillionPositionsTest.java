// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Forward;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Every mechanism of linear time at 2²⁰ positions, one head: forward in 4 GiB of tensors and
/// counted memory, forward and backward in 8 GiB of heap; run by the profile `million`, which
/// leaves seconds and heap of each in `target/million.md`.
///
/// Heads are 64 wide, those of Based 16, as in its paper.
@Tag("large")
class MillionPositionsTest {
  private static final int POSITIONS = 1 << 20;
  private static final int PERIOD = 64;
  private static final List<String> TABLE = new ArrayList<>();

  record Case(MechanismType type, Mask mask) {
    AttentionShape shape() {
      int dim = type.name().equals("based") ? 16 : 64;
      return AttentionShape.of(1, 1, POSITIONS, dim).withValueDim(64);
    }

    @Override
    public String toString() {
      return type.name() + ", mask " + mask.label();
    }
  }

  static Stream<Case> cases() {
    List<Case> cases = new ArrayList<>();
    for (MechanismType type : Catalogue.all()) {
      Mechanism mechanism = type.mechanism();
      boolean linear =
          mechanism.family() == Mechanism.Family.FEATURE_MAP
              || mechanism.family() == Mechanism.Family.RECURRENT;
      if (linear && mechanism.exponent() == 1) {
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
    Tensors inputs = drawn(attention, each.shape());
    Tensor out = Tensor.zeros(attention.outputShape(each.shape()));
    List<MemoryPoolMXBean> heap =
        ManagementFactory.getMemoryPoolMXBeans().stream()
            .filter(pool -> pool.getType() == MemoryType.HEAP)
            .toList();
    heap.forEach(MemoryPoolMXBean::resetPeakUsage);
    long start = System.nanoTime();
    AttentionPlan plan = attention.plan(each.shape(), each.mask(), 2);
    plan.forward(inputs, out);
    double seconds = (System.nanoTime() - start) / 1e9;
    long peak = heap.stream().mapToLong(pool -> pool.getPeakUsage().getUsed()).sum();
    TABLE.add(
        String.format(
            Locale.ROOT,
            "| %s | %s | %.2f | %.2f |",
            each.type().name(),
            each.mask().label(),
            seconds,
            peak / 1073741824.0));
    requireAtMost(4, bytes(inputs) + bytes(out) + plan.scratchBytes() + plan.parameterBytes());
    double sum = 0;
    for (float value : out.data()) {
      assertTrue(Float.isFinite(value), each.toString());
      sum += Math.abs(value);
    }
    assertTrue(sum > 0, "the output must not be empty");
  }

  static Stream<Case> weighted() {
    return cases()
        .filter(each -> !each.mask().isCausal() && !each.type().name().equals("cosformer"));
  }

  /// A sequence repeated 2¹⁴ times has the outputs of the sequence itself, whatever was rounded on
  /// the way: all weights are shares of a sum over keys. (cosFormer's depend on positions.)
  @ParameterizedTest
  @MethodSource("weighted")
  void repeatedSequenceHasTheOutputsOfTheSequence(Case each) {
    Attention attention = each.type().defaults();
    AttentionShape shape = each.shape();
    Tensors once = drawn(attention, shape.withSeqLens(PERIOD, PERIOD));
    Tensors inputs = once;
    for (String name : List.of("q", "k", "v")) {
      inputs = inputs.with(name, repeated(once.get(name)));
    }
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    attention.plan(shape, each.mask(), 2).forward(inputs, out);
    Tensor expected = Forward.of(attention, each.mask(), once);
    int last = out.size() - expected.size();
    for (int e = 0; e < expected.size(); e++) {
      double value = expected.data()[e];
      assertEquals(value, out.data()[last + e], 1e-4 * (1 + Math.abs(value)), each.toString());
    }
  }

  static Stream<Case> recurrences() {
    return cases().filter(each -> each.type().mechanism().family() == Mechanism.Family.RECURRENT);
  }

  /// The end of a long sequence is what its last positions give, started from the state that all
  /// before them leave.
  @ParameterizedTest
  @MethodSource("recurrences")
  void endOfALongSequenceIsItsStateAndTheRest(Case each) {
    Attention attention = each.type().defaults();
    AttentionShape shape = each.shape();
    Tensors inputs = drawn(attention, shape);
    Tensor whole = Tensor.zeros(attention.outputShape(shape));
    attention.plan(shape, each.mask(), 2).forward(inputs, whole);
    int before = POSITIONS - PERIOD;
    Tensors head = slice(inputs, 0, before);
    Tensor state = Tensor.zeros(1, 1, 64, 64);
    Tensor out = Tensor.zeros(1, 1, before, 64);
    attention
        .plan(shape.withSeqLens(before, before), each.mask(), 2)
        .forward(head, out, Tensors.NONE.with("final_state", state));
    Tensors tail = slice(inputs, before, POSITIONS).with("initial_state", state);
    Tensor expected = Forward.of(attention, each.mask(), tail);
    int last = whole.size() - expected.size();
    for (int e = 0; e < expected.size(); e++) {
      double value = expected.data()[e];
      assertEquals(value, whole.data()[last + e], 1e-5 * (1 + Math.abs(value)), each.toString());
    }
  }

  static Stream<Case> differentiableRecurrences() {
    return recurrences().filter(each -> each.type().defaults().capabilities().gradients());
  }

  /// Gradients of the last positions of a long sequence are those of these positions alone, started
  /// from the state that all before them leave; what they give that state, the positions before
  /// turn into their own gradients, which are finite.
  @ParameterizedTest
  @MethodSource("differentiableRecurrences")
  void gradientsAtTheEndOfALongSequenceAreThoseOfTheRest(Case each) {
    Attention attention = each.type().defaults();
    AttentionShape shape = each.shape();
    Tensors inputs = drawn(attention, shape);
    Tensor gradOut = Draws.gaussian(9, 1, 1, POSITIONS, 64);
    Tensors gradients = differentiated(each, attention, shape, inputs, gradOut);
    int before = POSITIONS - PERIOD;
    Tensor state = Tensor.zeros(1, 1, 64, 64);
    attention
        .plan(shape.withSeqLens(before, before), each.mask(), 2)
        .forward(
            slice(inputs, 0, before),
            Tensor.zeros(1, 1, before, 64),
            Tensors.NONE.with("final_state", state));
    Tensors tail = slice(inputs, before, POSITIONS).with("initial_state", state);
    Tensor gradTail = slice(Tensors.NONE.with("g", gradOut), before, POSITIONS).get("g");
    Tensors expected =
        differentiated(each, attention, shape.withSeqLens(PERIOD, PERIOD), tail, gradTail);
    for (String name : List.of("q", "k", "v")) {
      Tensor whole = gradients.get("grad_" + name);
      Tensor end = expected.get("grad_" + name);
      for (int e = 0; e < whole.size(); e++) {
        assertTrue(Float.isFinite(whole.data()[e]), each + " " + name);
      }
      double largest = 0;
      for (float value : end.data()) {
        largest = Math.max(largest, Math.abs(value));
      }
      assertTrue(largest > 0, each + " " + name);
      for (int e = 0; e < end.size(); e++) {
        float value = whole.data()[whole.size() - end.size() + e];
        assertEquals(end.data()[e], value, 1e-5 * largest, each + " " + name);
      }
    }
  }

  /// A sequence repeated 2¹⁴ times, with a repeated gradient of its output, has the gradients of
  /// the sequence itself: a key has 2⁻¹⁴ of the influence, on 2¹⁴ as many queries.
  ///
  /// Sums over queries and over keys are taken in chunks of 64 rows and more: at most 2¹⁴ roundings
  /// of 2⁻²⁴ each, relative to the largest, 1e-3.
  @ParameterizedTest
  @MethodSource("weighted")
  void repeatedSequenceHasTheGradientsOfTheSequence(Case each) {
    Attention attention = each.type().defaults();
    if (!attention.capabilities().gradients()) {
      return;
    }
    AttentionShape shape = each.shape();
    AttentionShape period = shape.withSeqLens(PERIOD, PERIOD);
    Tensors once = drawn(attention, period);
    Tensor gradOnce = Draws.gaussian(9, 1, 1, PERIOD, 64);
    Tensors inputs = once;
    for (String name : List.of("q", "k", "v")) {
      inputs = inputs.with(name, repeated(once.get(name)));
    }
    Tensors expected = differentiated(each, attention, period, once, gradOnce);
    Tensors all = differentiated(each, attention, shape, inputs, repeated(gradOnce));
    for (String name : List.of("grad_q", "grad_k", "grad_v")) {
      float[] period64 = expected.get(name).data();
      float[] whole = all.get(name).data();
      double largest = 0;
      for (float value : period64) {
        largest = Math.max(largest, Math.abs(value));
      }
      assertTrue(largest > 0, each + " " + name);
      for (int e = 0; e < whole.length; e++) {
        double difference = Math.abs(period64[e % period64.length] - whole[e]);
        assertTrue(difference <= 1e-3 * largest, each + " " + name + ": " + difference);
      }
    }
  }

  static Stream<Case> uniform() {
    return cases()
        .filter(each -> each.type().mechanism().family() == Mechanism.Family.FEATURE_MAP)
        .filter(each -> each.mask().isCausal() && each.type().defaults().capabilities().gradients())
        .filter(each -> !List.of("cosformer", "rfa", "power").contains(each.type().name()));
  }

  /// Equal keys have equal weights, so that row i is the mean of the values up to i and ∂v_j = Σ_{i
  /// ≥ j} G_i / (i + 1), which has standard deviation (j + 1)^(-1/2) for standard normal G.
  /// (cosFormer's weights depend on positions; RFA's sums of cosines, and power attention's of
  /// monomials, nearly cancel where q·k is small.)
  ///
  /// Sums over the rows behind are taken in chunks of 64 rows and more, at most 2¹⁴ roundings of
  /// 2⁻²⁴ each: 1e-3 of a sum, which is five standard deviations at most.
  @ParameterizedTest
  @MethodSource("uniform")
  void equalKeysGiveValuesTheMeansOfTheGradientsBehindThem(Case each) {
    Attention attention = each.type().defaults();
    AttentionShape shape = each.shape();
    Tensors inputs = drawn(attention, shape);
    Tensor key = Tensor.zeros(1, 1, 1, shape.headDim());
    System.arraycopy(inputs.get("k").data(), 0, key.data(), 0, shape.headDim());
    inputs = inputs.with("k", repeated(key));
    Tensor gradOut = Draws.gaussian(9, 1, 1, POSITIONS, 64);
    Tensors gradients = differentiated(each, attention, shape, inputs, gradOut);
    for (String name : List.of("grad_q", "grad_k")) {
      for (float value : gradients.get(name).data()) {
        assertTrue(Float.isFinite(value), each + " " + name);
      }
    }
    float[] value = gradients.get("grad_v").data();
    double[] behind = new double[64];
    for (int j = POSITIONS - 1; j >= 0; j--) {
      for (int x = 0; x < behind.length; x++) {
        behind[x] += gradOut.data()[j * 64 + x] / (j + 1.0);
        double difference = Math.abs(value[j * 64 + x] - behind[x]);
        assertTrue(difference <= 5e-3 / Math.sqrt(j + 1.0), each + ", " + j + ": " + difference);
      }
    }
  }

  private static long bytes(Tensors tensors) {
    long bytes = 0;
    for (int t = 0; t < tensors.size(); t++) {
      bytes += bytes(tensors.tensor(t));
    }
    return bytes;
  }

  private static long bytes(Tensor tensor) {
    return (long) Float.BYTES * tensor.size();
  }

  private static void requireAtMost(int gibibytes, long bytes) {
    assertTrue(bytes <= (long) gibibytes << 30, "counted bytes " + bytes);
  }

  private static Tensors differentiated(
      Case each, Attention attention, AttentionShape shape, Tensors inputs, Tensor gradOut) {
    List<MemoryPoolMXBean> heap =
        ManagementFactory.getMemoryPoolMXBeans().stream()
            .filter(pool -> pool.getType() == MemoryType.HEAP)
            .toList();
    heap.forEach(MemoryPoolMXBean::resetPeakUsage);
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    Tensors gradients = Tensors.NONE;
    for (String name : inputs.names()) {
      gradients = gradients.with("grad_" + name, Tensor.zeros(inputs.get(name).shape()));
    }
    long start = System.nanoTime();
    DifferentiablePlan plan = attention.differentiable(shape, each.mask(), 2);
    plan.forward(inputs, out);
    plan.backward(gradOut, gradients);
    requireAtMost(
        8,
        bytes(inputs)
            + bytes(out)
            + bytes(gradOut)
            + bytes(gradients)
            + plan.keptBytes()
            + plan.scratchBytes()
            + plan.parameterBytes());
    double seconds = (System.nanoTime() - start) / 1e9;
    long peak = heap.stream().mapToLong(pool -> pool.getPeakUsage().getUsed()).sum();
    if (shape.querySeqLen() == POSITIONS) {
      TABLE.add(
          String.format(
              Locale.ROOT,
              "| %s, forward and backward | %s | %.2f | %.2f |",
              each.type().name(),
              each.mask().label(),
              seconds,
              peak / 1073741824.0));
    }
    return gradients;
  }

  @AfterAll
  static void writeTable() throws IOException {
    List<String> lines = new ArrayList<>();
    lines.add("2²⁰ positions, one head, 2 threads, first call, at most 8 GiB of heap");
    lines.add("");
    lines.add("| mechanism | mask | seconds | peak heap, GiB |");
    lines.add("|---|---|---:|---:|");
    lines.addAll(TABLE);
    Files.write(Path.of("target", "million.md"), lines);
  }

  /// Gaussian tensors as sweeps adapt them: the delta rule wants keys of length 1. Queries and keys
  /// are small, because Performer adds its stabiliser to small sums only, and those of larger keys
  /// fall below it in a short sequence but not in its repetition.
  private static Tensors drawn(Attention attention, AttentionShape shape) {
    int n = shape.keySeqLen();
    Tensor q = Draws.gaussian(1, 0.3, 1, 1, n, shape.headDim());
    Tensor k = Draws.gaussian(2, 0.3, 1, 1, n, shape.headDim());
    Tensor v = Draws.gaussian(3, 1, 1, n, shape.valueDim());
    return attention.adapt(shape, Tensors.qkv(q, k, v), 1);
  }

  private static Tensors slice(Tensors inputs, int from, int to) {
    Tensors sliced = inputs;
    for (String name : inputs.names()) {
      Tensor tensor = inputs.get(name);
      if (tensor.rank() >= 3 && tensor.extent(2) % POSITIONS == 0) {
        int width = tensor.size() / POSITIONS;
        int[] sizes = tensor.shape();
        sizes[2] = (to - from) * (sizes[2] / POSITIONS);
        Tensor part = Tensor.zeros(sizes);
        System.arraycopy(tensor.data(), from * width, part.data(), 0, part.size());
        sliced = sliced.with(name, part);
      }
    }
    return sliced;
  }

  private static Tensor repeated(Tensor period) {
    Tensor all = Tensor.zeros(1, 1, POSITIONS, period.extent(3));
    for (int at = 0; at < all.size(); at += period.size()) {
      System.arraycopy(period.data(), 0, all.data(), at, period.size());
    }
    return all;
  }
}
