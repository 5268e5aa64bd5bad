package dev.crossover.variants;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.ContractSubject.Reference;
import java.util.Arrays;
import java.util.function.Function;
import org.apache.commons.rng.UniformRandomProvider;

/// Gradients of a mechanism on the problems of [RandomCases], each compared with central
/// differences of a double-precision expectation: along one direction per tensor and for a few of
/// its elements.
///
/// A difference over 2h may deviate from the gradient's product with the direction by 2h ·
/// tolerance · (1 + largest gradient) · √(elements moved) for one of the steps h = 2⁻⁷ … 2⁻²⁰; a
/// wrong gradient fails for every h.
public final class RandomGradients {
  private static final int ELEMENTS = 3;
  private static final int LONGEST_STEP = 7;
  private static final int SHORTEST_STEP = 20;

  private final RandomCases.Problem problem;
  private final Reference expected;
  private final Tensors inputs;
  private final Tensor gradOut;
  private final UniformRandomProvider generator;
  private final double tolerance;

  private RandomGradients(
      RandomCases.Problem problem,
      Reference expected,
      Tensors inputs,
      double tolerance,
      long seed) {
    this.problem = problem;
    this.expected = expected;
    this.inputs = inputs;
    this.tolerance = tolerance;
    gradOut =
        Draws.gaussian(
            Draws.seedFor(seed, "grad_out"), problem.attention().outputShape(problem.shape()));
    generator = Draws.generator(Draws.seedFor(seed, "directions"));
  }

  /// Compares gradients with differences on random problems.
  ///
  /// @param count number of problems
  /// @param seed seed of all of them
  /// @param tolerance see above
  /// @param draw draws one problem
  /// @param expected the output, row-major; an empty array where there is no expectation
  public static void check(
      int count,
      long seed,
      double tolerance,
      Function<RandomCases, RandomCases.Problem> draw,
      Reference expected) {
    for (int i = 0; i < count; i++) {
      long own = Draws.seedFor(seed, "gradient " + i);
      RandomCases random = new RandomCases(own, false);
      RandomCases.Problem problem = draw.apply(random);
      Tensors inputs =
          problem.change().apply(random.inputs(problem.attention(), problem.shape(), own));
      try {
        new RandomGradients(problem, expected, inputs, tolerance, own).check(random.from(1, 3));
      } catch (AssertionError | RuntimeException e) {
        throw new AssertionError(
            "gradient "
                + i
                + ": "
                + problem.attention()
                + " on "
                + problem.shape()
                + ", mask "
                + problem.mask(),
            e);
      }
    }
  }

  private void check(int threads) {
    Attention attention = problem.attention();
    AttentionShape shape = problem.shape();
    Mask mask = problem.mask();
    if (expected.out(attention, shape, mask, inputs).length == 0) {
      return;
    }
    DifferentiablePlan plan = attention.differentiable(shape, mask, threads);
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    plan.forward(RandomCases.withHiddenNaN(shape, mask, inputs), out);
    Tensors gradients = Tensors.NONE;
    for (TensorSpec spec : attention.inputs(shape)) {
      if (spec.differentiable() && inputs.has(spec.name())) {
        Tensor gradient = Tensor.zeros(spec.shape().toArray());
        Arrays.fill(gradient.data(), Float.NaN);
        gradients = gradients.with("grad_" + spec.name(), gradient);
      }
    }
    plan.backward(gradOut, gradients);
    for (int t = 0; t < gradients.size(); t++) {
      compare(gradients.name(t).substring("grad_".length()), gradients.tensor(t));
    }
  }

  private void compare(String input, Tensor gradient) {
    int size = gradient.size();
    if (size == 0) {
      return;
    }
    double largest = 0;
    for (float value : gradient.data()) {
      largest = Math.max(largest, Math.abs(value));
    }
    for (int e = 0; e < ELEMENTS; e++) {
      float[] direction = new float[size];
      direction[generator.nextInt(size)] = 1;
      compare(input, gradient, direction, tolerance * (1 + largest));
    }
    float[] direction = new float[size];
    for (int e = 0; e < size; e++) {
      direction[e] = generator.nextBoolean() ? 1 : -1;
    }
    compare(input, gradient, direction, tolerance * (1 + largest) * Math.sqrt(size));
  }

  private void compare(String input, Tensor gradient, float[] direction, double allowed) {
    double difference = Double.NaN;
    double claimed = Double.NaN;
    for (int exponent = LONGEST_STEP; exponent <= SHORTEST_STEP; exponent++) {
      float step = (float) Math.scalb(1.0, -exponent);
      Tensor above = inputs.get(input).copy();
      Tensor below = inputs.get(input).copy();
      double product = 0;
      for (int e = 0; e < direction.length; e++) {
        above.data()[e] += step * direction[e];
        below.data()[e] -= step * direction[e];
        product += gradient.data()[e] * ((double) above.data()[e] - below.data()[e]);
      }
      claimed = product / (2 * step);
      difference = (loss(inputs.with(input, above)) - loss(inputs.with(input, below))) / (2 * step);
      if (Math.abs(difference - claimed) <= allowed) {
        return;
      }
    }
    throw new AssertionError(
        "grad_" + input + " must be " + difference + " within " + allowed + ", but was " + claimed);
  }

  private double loss(Tensors changed) {
    double[] out = expected.out(problem.attention(), problem.shape(), problem.mask(), changed);
    double loss = 0;
    for (int e = 0; e < out.length; e++) {
      loss += out[e] * gradOut.data()[e];
    }
    return loss;
  }
}
