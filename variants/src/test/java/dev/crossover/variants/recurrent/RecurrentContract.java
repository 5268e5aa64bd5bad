// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.Recurrence;
import dev.crossover.attention.testing.RecurrenceGradient;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/// What every recurrence over a matrix state keeps beyond the general contract.
abstract class RecurrentContract extends AttentionContract {

  /// The recurrence by naive loops, for given inputs, parameters included.
  Recurrence recurrence(Attention attention, AttentionShape shape, Tensors inputs) {
    throw new UnsupportedOperationException(attention + " is no such recurrence");
  }

  /// Output and final state by naive loops: by default those of [#recurrence].
  Recurrence.Result expected(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    return recurrence(attention, shape, inputs).run(shape, mask, inputs);
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) -> expected(attention, shape, mask, inputs).out();
  }

  /// A setting for a random problem: by default [#attention].
  Attention drawn(RandomCases random) {
    return attention();
  }

  /// Forgetting nothing, as drawn, and nearly everything.
  @Test
  void randomProblemsAgreeWithTheRecurrence() {
    checkRandomOutputs();
  }

  /// Compares the outputs of random problems with the recurrence.
  void checkRandomOutputs() {
    RandomCases.check(60, 1, this::problem, reference());
  }

  /// A random problem: gates that forget nothing, as drawn, and nearly everything.
  final RandomCases.Problem problem(RandomCases r) {
    float factor = r.of(0f, 1f, 1f, 20f, 300f);
    return r.problem(drawn(r)).changed(inputs -> scaled(inputs, "log_decay", factor));
  }

  @Test
  void randomGradientsAreRight() {
    checkRandomGradients();
  }

  /// Compares the gradients of every input, from those of the output and of the final state, with
  /// the reverse recurrence in double precision.
  void checkRandomGradients() {
    RandomCases.check(
        60,
        2,
        this::problem,
        (attention, shape, mask, inputs) -> {
          new GradientCase(attention, shape, mask, inputs)
              .check(recurrence(attention, shape, inputs));
          return new double[0];
        });
  }

  /// One problem whose gradients are compared.
  private record GradientCase(
      Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    void check(Recurrence recurrence) {
      Tensor gradOut = Draws.gaussian(5, attention.outputShape(shape));
      Tensor gradState = Draws.gaussian(6, attention.results(shape).getFirst().shape().toArray());
      Tensors gradients = run(gradOut, gradState);
      RecurrenceGradient expected =
          new RecurrenceGradient(recurrence, shape, mask, inputs, gradOut, gradState);
      double largest = 0;
      for (double[] each : new double[][] {expected.q, expected.k, expected.v}) {
        largest = Math.max(largest, largest(each));
      }
      compare("q", expected.q, gradients, largest);
      compare("k", expected.k, gradients, largest);
      compare("v", expected.v, gradients, largest);
      compare("initial_state", expected.initialState, gradients, largest);
      compare("beta", expected.strength, gradients, largest);
      if (inputs.has("log_decay")) {
        boolean perChannel = inputs.get("log_decay").rank() == 4;
        double[] g = perChannel ? expected.logDecay : sums(expected.logDecay, shape.headDim());
        compare("log_decay", g, gradients, largest);
      }
      compare("decay", perHead(expected, "decay"), gradients, largest);
      compare("slopes", perHead(expected, "slopes"), gradients, largest);
    }

    private Tensors run(Tensor gradOut, Tensor gradState) {
      DifferentiablePlan plan = attention.differentiable(shape, mask, 2);
      Tensor state = Tensor.zeros(gradState.shape());
      plan.forward(
          inputs,
          Tensor.zeros(attention.outputShape(shape)),
          Tensors.NONE.with("final_state", state));
      Tensors gradients = Tensors.NONE;
      for (String name : inputs.names()) {
        gradients = gradients.with("grad_" + name, Tensor.zeros(inputs.get(name).shape()));
      }
      plan.backward(gradOut, Tensors.NONE.with("grad_final_state", gradState), gradients);
      return gradients;
    }

    private static double[] sums(double[] perChannel, int width) {
      double[] sums = new double[perChannel.length / width];
      for (int e = 0; e < perChannel.length; e++) {
        sums[e / width] += perChannel[e];
      }
      return sums;
    }

    /// With respect to γ = exp(g), or to −g.
    private double[] perHead(RecurrenceGradient expected, String name) {
      double[] sums = new double[shape.numHeads()];
      int perHead = shape.querySeqLen() * shape.headDim();
      for (int e = 0; e < expected.logDecay.length && inputs.has(name); e++) {
        int head = e / perHead % shape.numHeads();
        double given = inputs.get(name).data()[head];
        sums[head] += name.equals("decay") ? expected.logDecay[e] / given : -expected.logDecay[e];
      }
      return sums;
    }

    /// Within what golden files allow gradients: 2e-5 of the tensor's largest (5e-5 for sums over
    /// all pairs), and 1e-6 of the largest of all.
    private void compare(String name, double[] expected, Tensors gradients, double largest) {
      if (!inputs.has(name)) {
        return;
      }
      boolean sum = name.equals("decay") || name.equals("slopes");
      double allowed = (sum ? 5e-5 : 2e-5) * largest(expected) + 1e-6 * largest;
      double difference = Forward.maxDifference(expected, gradients.get("grad_" + name));
      assertTrue(
          difference <= allowed,
          "grad_" + name + " differs by " + difference + ", allowed " + allowed);
    }

    private static double largest(double[] values) {
      return Arrays.stream(values).map(Math::abs).max().orElse(0);
    }
  }

  static Tensors scaled(Tensors inputs, String name, float factor) {
    if (!inputs.has(name)) {
      return inputs;
    }
    Tensor product = inputs.get(name).copy();
    for (int e = 0; e < product.size(); e++) {
      product.data()[e] *= factor;
    }
    return inputs.with(name, product);
  }

  @Test
  void approximatesNothing() {
    Mechanism mechanism = attention().getClass().getAnnotation(Mechanism.class);
    assertEquals(Mechanism.Approximates.NONE, mechanism.approximates());
  }

  @Test
  void cutAnywhereThePassedStateContinuesTheSequence() {
    Attention attention = attention();
    AttentionShape shape = shape(150);
    Tensors inputs = Inputs.withParameters(attention, shape, Inputs.of(attention, shape, 1));
    Tensors whole = run(attention, shape, inputs);
    for (int cut : new int[] {1, 63, 64, 100, 149}) {
      Tensors before = run(attention, shape.withSeqLens(cut, cut), part(shape, inputs, 0, cut));
      Tensors rest = part(shape, inputs, cut, 150).with("initial_state", before.get("final_state"));
      Tensors after = run(attention, shape.withSeqLens(150 - cut, 150 - cut), rest);
      requireClose(rows(whole.get("out"), cut, 150), after.get("out"), "out from " + cut);
      requireClose(whole.get("final_state"), after.get("final_state"), "state, cut " + cut);
      if (cut == 64) {
        Tensor expected = rows(whole.get("out"), cut, 150);
        assertEquals(0, Forward.maxDifference(expected, after.get("out")), "cut between chunks");
      }
    }
  }

  @Test
  void finalStateIsThatOfTheRecurrence() {
    Attention attention = attention();
    AttentionShape shape = shape(100);
    Tensors inputs =
        Inputs.withParameters(
            attention, shape, Inputs.of(attention, shape, 2, List.of("initial_state")));
    double[] expected = expected(attention, shape, Mask.causal(), inputs).state();
    requireClose(expected, run(attention, shape, inputs).get("final_state"), "final_state");
  }

  @Test
  void stateBytesAreThoseOfOneMatrixPerHeadAtAnyPosition() {
    AttentionShape shape = shape(1000);
    DecodeSession session = attention().decode(shape);
    long bytes = 4L * shape.problems() * shape.headDim() * shape.valueDim();
    assertEquals(bytes, session.stateBytes());
    AttentionShape prefix = shape.withSeqLens(600, 600);
    session.prefill(Inputs.of(attention(), prefix, 3));
    assertEquals(600, session.position());
    assertEquals(bytes, session.stateBytes());
  }

  @Test
  void scratchDoesNotGrowWithTheLength() {
    long thousand = attention().cost(shape(1000), Mask.causal(), 2).scratchBytes();
    long million = attention().cost(shape(1 << 20), Mask.causal(), 2).scratchBytes();
    assertEquals(thousand, million);
  }

  @Test
  void lastOfManyPositionsAgreesWithTheRecurrence() {
    Attention attention = attention();
    AttentionShape shape = AttentionShape.of(1, 1, 20_000, 4);
    Tensors inputs = Inputs.withParameters(attention, shape, Inputs.of(attention, shape, 4));
    double[] expected = expected(attention, shape, Mask.causal(), inputs).out();
    requireClose(expected, run(attention, shape, inputs).get("out"), "out");
  }

  static Tensors run(Attention attention, AttentionShape shape, Tensors inputs) {
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    Tensor state = Tensor.zeros(attention.results(shape).getFirst().shape().toArray());
    attention
        .plan(shape, Mask.causal(), 1)
        .forward(inputs, out, Tensors.NONE.with("final_state", state));
    return Tensors.NONE.with("out", out).with("final_state", state);
  }

  /// Tokens `from` to `to - 1` of every per-token input, and the parameters.
  Tensors part(AttentionShape shape, Tensors inputs, int from, int to) {
    Tensors result = Tensors.NONE;
    for (TensorSpec spec : attention().inputs(shape.withSeqLens(to - from, to - from))) {
      if (inputs.has(spec.name())) {
        Tensor tensor = inputs.get(spec.name());
        int n = shape.querySeqLen();
        boolean perToken = tensor.rank() > 2 && tensor.extent(2) % n == 0;
        int rows = perToken ? tensor.extent(2) / n : 1;
        Tensor part = perToken ? rows(tensor, from * rows, to * rows) : tensor;
        result = result.with(spec.name(), part);
      }
    }
    return result;
  }

  /// Positions `from` to `to - 1` of the third dimension.
  static Tensor rows(Tensor tensor, int from, int to) {
    int[] start = new int[tensor.rank()];
    int[] sizes = tensor.shape();
    start[2] = from;
    sizes[2] = to - from;
    return Inputs.block(tensor, start, sizes);
  }

  static void requireClose(Tensor expected, Tensor actual, String what) {
    double[] values = new double[expected.size()];
    for (int e = 0; e < values.length; e++) {
      values[e] = expected.data()[e];
    }
    requireClose(values, actual, what);
  }

  /// Sums round at 2⁻²⁴ per term, relative to the largest of them; few of these sums have more than
  /// a few hundred terms that have not faded.
  static void requireClose(double[] expected, Tensor actual, String what) {
    double largest = 1;
    for (double value : expected) {
      largest = Math.max(largest, Math.abs(value));
    }
    double difference = Forward.maxDifference(expected, actual);
    assertTrue(difference <= 1e-5 * largest, what + " differs by " + difference);
  }
}
