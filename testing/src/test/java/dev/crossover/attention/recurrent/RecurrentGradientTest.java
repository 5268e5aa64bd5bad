// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.recurrent.UpdateRule.Decay;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Recurrence;
import dev.crossover.attention.testing.RecurrenceGradient;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/// The backward pass of the engine under every rule.
class RecurrentGradientTest {
  private static List<AnyRule> rules(int chunk, double strongest) {
    List<AnyRule> rules = new ArrayList<>();
    for (Decay decay : Decay.values()) {
      rules.add(new AnyRule(decay, false, false, chunk, strongest));
      rules.add(new AnyRule(decay, false, true, chunk, strongest));
      rules.add(new AnyRule(decay, true, true, chunk, strongest));
    }
    return rules;
  }

  private record Case(AnyRule rule, AttentionShape shape, Mask mask, Tensors inputs) {
    static Case of(AnyRule rule, AttentionShape shape, Mask mask, long seed) {
      Tensors drawn = Inputs.of(rule, shape, seed, List.of("initial_state"));
      return new Case(rule, shape, mask, Inputs.withParameters(rule, shape, drawn));
    }

    Tensor gradOut() {
      return Draws.gaussian(31, rule.outputShape(shape));
    }

    Tensor gradState() {
      return Draws.gaussian(32, inputs.get("initial_state").shape());
    }

    Tensors gradients(int threads) {
      return gradients(threads, gradOut(), gradState());
    }

    Tensors gradients(int threads, Tensor gradOut, Tensor gradState) {
      DifferentiablePlan plan = rule.differentiable(shape, mask, threads);
      Tensor state = Tensor.zeros(gradState.shape());
      plan.forward(
          inputs, Tensor.zeros(rule.outputShape(shape)), Tensors.NONE.with("final_state", state));
      Tensors gradients = Tensors.NONE;
      for (String name : inputs.names()) {
        Tensor gradient = Tensor.zeros(inputs.get(name).shape());
        Arrays.fill(gradient.data(), Float.NaN);
        gradients = gradients.with("grad_" + name, gradient);
      }
      plan.backward(gradOut, Tensors.NONE.with("grad_final_state", gradState), gradients);
      return gradients;
    }

    void check() {
      Recurrence oracle = rule.oracle(shape, inputs);
      RecurrenceGradient expected =
          new RecurrenceGradient(oracle, shape, mask, inputs, gradOut(), gradState());
      Tensors actual = gradients(2);
      String what = rule + " on " + shape + ", mask " + mask.label() + ", ";
      double largest = Math.max(largest(expected.q), largest(expected.k));
      largest = Math.max(largest, largest(expected.v));
      largest = Math.max(largest, largest(expected.initialState));
      requireClose(what + "q", expected.q, actual.get("grad_q"), largest);
      requireClose(what + "k", expected.k, actual.get("grad_k"), largest);
      requireClose(what + "v", expected.v, actual.get("grad_v"), largest);
      requireClose(
          what + "initial_state", expected.initialState, actual.get("grad_initial_state"), largest);
      if (inputs.has("beta")) {
        requireClose(what + "beta", expected.strength, actual.get("grad_beta"), largest);
      }
      if (inputs.has("g")) {
        requireClose(what + "g", gates(expected.logDecay), actual.get("grad_g"), largest);
      }
    }

    /// Gradients of g as the rule has them: summed over channels, or over tokens and batch entries.
    private double[] gates(double[] perChannel) {
      if (rule.decay() == Decay.CHANNEL) {
        return perChannel;
      }
      int d = shape.headDim();
      boolean constant = rule.decay() == Decay.CONSTANT;
      double[] sums = new double[inputs.get("g").size()];
      for (int e = 0; e < perChannel.length; e++) {
        int head = e / d / shape.querySeqLen() % shape.numHeads();
        sums[constant ? head : e / d] += perChannel[e];
      }
      return sums;
    }
  }

  private static double largest(double[] values) {
    return Arrays.stream(values).map(Math::abs).max().orElse(0);
  }

  /// The tolerance of the golden files' gradients: 2e-5 of the tensor's largest, and 1e-6 of the
  /// largest of all for tensors that nearly vanish.
  private static void requireClose(String what, double[] expected, Tensor actual, double largest) {
    double allowed = 2e-5 * largest(expected) + 1e-6 * largest;
    assertEquals(expected.length, actual.size(), what);
    for (int e = 0; e < expected.length; e++) {
      if (!(Math.abs(expected[e] - actual.data()[e]) <= allowed)) {
        throw new AssertionError(
            what + "[" + e + "] must be " + expected[e] + ", but was " + actual.data()[e]);
      }
    }
  }

  @Test
  void anyChunkLengthHasTheGradientsOfTheReverseRecurrence() {
    AttentionShape shape = AttentionShape.of(1, 2, 37, 6).withValueDim(5);
    for (double strongest : new double[] {0.05, 3, 60}) {
      for (int chunk : new int[] {1, 2, 3, 5, 8, 13, 16, 17, 24, 36, 37, 38}) {
        for (AnyRule rule : rules(chunk, strongest)) {
          Case.of(rule, shape, Mask.causal(), 7).check();
        }
      }
    }
  }

  @Test
  void longChunksWithPaddingHaveTheGradientsOfTheReverseRecurrence() {
    for (int batch : new int[] {1, 2, 9}) {
      AttentionShape shape = AttentionShape.of(batch, 1, 150, 20).withValueDim(70);
      for (double strongest : new double[] {0.1, 20}) {
        for (AnyRule rule : rules(64, strongest)) {
          Case.of(rule, shape, Mask.both(Mask.causal(), Inputs.holes(shape, 3)), 8).check();
        }
      }
    }
  }

  /// Steps of −70 and of 0: their sum is far below −200.
  @Test
  void resetsOfTheStateStayFiniteAndRight() {
    AttentionShape shape = AttentionShape.of(1, 2, 97, 6);
    for (AnyRule rule : rules(32, 0.1)) {
      if (rule.decay() == Decay.TOKEN || rule.decay() == Decay.CHANNEL) {
        Case mild = Case.of(rule, shape, Mask.causal(), 9);
        for (float step : new float[] {-70, -200, Float.NEGATIVE_INFINITY}) {
          Tensor g = mild.inputs().get("g").copy();
          int width = g.size() / 194;
          for (int t = 5; t < 194; t += 6) {
            Arrays.fill(g.data(), t * width, (t + 1) * width, t % 4 == 0 ? 0 : step);
          }
          new Case(rule, shape, Mask.causal(), mild.inputs().with("g", g)).check();
        }
      }
    }
  }

  /// γ = 0 forgets everything at once, and has a gradient all the same.
  @Test
  void constantDecayMayForgetEverything() {
    AttentionShape shape = AttentionShape.of(1, 1, 20, 4);
    AnyRule rule = new AnyRule(Decay.CONSTANT, false, false, 8, 0.1);
    Case mild = Case.of(rule, shape, Mask.causal(), 9);
    Tensor g = Tensor.of(new float[] {Float.NEGATIVE_INFINITY}, 1);
    Tensors gradients =
        new Case(rule, shape, Mask.causal(), mild.inputs().with("g", g)).gradients(1);
    for (int t = 0; t < gradients.size(); t++) {
      assertTrue(finite(gradients.tensor(t)), gradients.name(t));
    }
  }

  private static boolean finite(Tensor tensor) {
    for (float value : tensor.data()) {
      if (!Float.isFinite(value)) {
        return false;
      }
    }
    return true;
  }

  /// One head goes through columns first and chunks then; nine go head by head.
  @Test
  void bothWaysThroughTheSequenceGiveTheSameBits() {
    AttentionShape few = AttentionShape.of(1, 1, 70, 8).withValueDim(100);
    AttentionShape many = AttentionShape.of(9, 1, 70, 8).withValueDim(100);
    for (AnyRule rule : rules(16, 1)) {
      Case one = Case.of(rule, few, Mask.causal(), 10);
      Tensors copies = Tensors.NONE;
      for (int t = 0; t < one.inputs().size(); t++) {
        Tensor tensor = one.inputs().tensor(t);
        boolean shared = one.inputs().name(t).equals("g") && rule.decay() == Decay.CONSTANT;
        copies = copies.with(one.inputs().name(t), shared ? tensor : Inputs.repeated(tensor, 0, 9));
      }
      Tensors expected = one.gradients(2);
      Tensors actual =
          new Case(rule, many, Mask.causal(), copies)
              .gradients(
                  1, Inputs.repeated(one.gradOut(), 0, 9), Inputs.repeated(one.gradState(), 0, 9));
      for (String name : expected.names()) {
        if (!name.equals("grad_g") || rule.decay() != Decay.CONSTANT) {
          float[] values = expected.get(name).data();
          assertArrayEquals(
              values, Arrays.copyOf(actual.get(name).data(), values.length), rule + " " + name);
        }
      }
    }
  }

  /// The oracle itself, against central differences of the recurrence in double precision.
  @Test
  void reverseRecurrenceIsTheDerivativeOfTheRecurrence() {
    AttentionShape shape = AttentionShape.of(1, 2, 7, 3).withValueDim(4);
    for (AnyRule rule : rules(4, 1)) {
      Case each = Case.of(rule, shape, Mask.both(Mask.causal(), Inputs.holes(shape, 3)), 12);
      RecurrenceGradient gradient =
          new RecurrenceGradient(
              rule.oracle(shape, each.inputs()),
              shape,
              each.mask(),
              each.inputs(),
              each.gradOut(),
              each.gradState());
      requireDifferences(each, "q", gradient.q);
      requireDifferences(each, "k", gradient.k);
      requireDifferences(each, "v", gradient.v);
      requireDifferences(each, "initial_state", gradient.initialState);
      if (each.inputs().has("beta")) {
        requireDifferences(each, "beta", gradient.strength);
      }
      if (each.inputs().has("g")) {
        requireDifferences(each, "g", each.gates(gradient.logDecay));
      }
    }
  }

  private static void requireDifferences(Case each, String name, double[] gradient) {
    float[] x = each.inputs().get(name).data();
    for (int e = 0; e < x.length; e++) {
      double narrow = difference(each, x, e, 1f / 1024);
      double wide = difference(each, x, e, 1f / 512);
      // Richardson's combination leaves an error of step⁴ times a fifth derivative, of order 1000.
      String what = each.rule() + " " + name + "[" + e + "]";
      assertEquals((4 * narrow - wide) / 3, gradient[e], 1e-6 * (1 + largest(gradient)), what);
    }
  }

  private static double difference(Case each, float[] x, int e, float step) {
    float kept = x[e];
    x[e] = kept + step;
    double above = loss(each);
    double width = x[e];
    x[e] = kept - step;
    double below = loss(each);
    width -= x[e];
    x[e] = kept;
    return (above - below) / width;
  }

  private static double loss(Case each) {
    Recurrence.Result result =
        each.rule()
            .oracle(each.shape(), each.inputs())
            .run(each.shape(), each.mask(), each.inputs());
    double loss = 0;
    for (int e = 0; e < result.out().length; e++) {
      loss += result.out()[e] * each.gradOut().data()[e];
    }
    for (int e = 0; e < result.state().length; e++) {
      loss += result.state()[e] * each.gradState().data()[e];
    }
    return loss;
  }
}
