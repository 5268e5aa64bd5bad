// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.ContractSubject.Reference;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.commons.rng.UniformRandomProvider;

/// Compares gradients with central differences of an expectation in double precision:
///
/// ```
/// |L(x + h u) − L(x − h u) − g · 2h u| <= 2h · tolerance · (1 + largest |g|) · √(elements moved)
/// ```
///
/// for some h = 2⁻⁷, 2⁻⁸, …, 2⁻²⁰, where u moves one drawn element, or all of a tensor by ±1, and
/// `x ± h u` are rounded to floats before both sides are computed. Steps are shortened until the
/// curvature is negligible and no discrete choice lies between both ends; a wrong gradient fails
/// for every h. The step that passed last is tried first, then shorter ones, then the longer.
public final class GradientDifferences {
  private static final int ELEMENTS = 8;
  private static final int LONGEST_STEP = 7;
  private static final int SHORTEST_STEP = 20;
  private static final int STEPS = SHORTEST_STEP - LONGEST_STEP + 1;

  private final Reference reference;
  private final Map<String, Reference> results;
  private final double tolerance;
  private final String what;
  private final Attention attention;
  private final AttentionShape shape;
  private final Mask mask;
  private final Tensors inputs;
  private final Tensor gradOut;
  private final UniformRandomProvider generator;
  private Tensors upstream = Tensors.NONE;
  private int passedLast;

  private GradientDifferences(
      Attention attention,
      AttentionShape shape,
      Mask mask,
      Tensors inputs,
      Reference reference,
      Map<String, Reference> results,
      double tolerance,
      long seed) {
    this.attention = attention;
    this.shape = shape;
    this.mask = mask;
    this.inputs = inputs;
    this.reference = reference;
    this.results = results;
    this.tolerance = tolerance;
    what = attention + " on " + shape + ", mask " + mask + ": grad_";
    generator = Draws.generator(seed);
    gradOut = GradientRuns.outputGradient(attention, shape, seed + 1);
    Tensors all = GradientRuns.upstream(attention, shape, seed + 2);
    for (String name : results.keySet()) {
      upstream = upstream.with("grad_" + name, all.get("grad_" + name));
    }
  }

  /// Compares the gradients of one problem, of every differentiable input.
  ///
  /// @param inputs all inputs, drawn parameters included
  /// @param reference the output in double precision; an empty array where there is no expectation
  /// @param results extra results from which gradients are to flow, by name
  /// @param tolerance largest `|a − b| / (1 + largest |b| of the tensor)`
  /// @return whether anything was compared
  public static boolean compare(
      Attention attention,
      AttentionShape shape,
      Mask mask,
      Tensors inputs,
      Reference reference,
      Map<String, Reference> results,
      double tolerance,
      long seed) {
    return new GradientDifferences(
            attention, shape, mask, inputs, reference, results, tolerance, seed)
        .compare();
  }

  static void check(ContractSubject subject) {
    Attention attention = subject.attention();
    if (!attention.capabilities().gradients()) {
      return;
    }
    boolean compared = false;
    for (AttentionShape shape : shapes(subject)) {
      for (Mask mask : masks(subject, shape)) {
        Tensors inputs = Inputs.withParameters(attention, shape, Runs.inputs(subject, shape, 81));
        compared |=
            compare(
                attention,
                shape,
                mask,
                inputs,
                subject.gradientReference(),
                subject.resultReferences(),
                subject.gradientTolerance(),
                82);
      }
    }
    if (!compared && subject.optionalInputs().isEmpty()) {
      throw new AssertionError(
          attention + " has gradients: reference() or gradientReference() must expect an output");
    }
  }

  private static List<AttentionShape> shapes(ContractSubject subject) {
    Capabilities can = subject.attention().capabilities();
    AttentionShape middle = subject.shape(Runs.middleLength(subject));
    List<AttentionShape> shapes = new ArrayList<>(Runs.shapes(subject, Runs.middleLength(subject)));
    if (subject.acceptsLengths(1, 1)) {
      shapes.add(subject.shape(1));
    }
    if (can.groupedQueries()) {
      shapes.add(middle.withKeyValueHeads(1));
    }
    if (can.valueDim()) {
      shapes.add(middle.withValueDim(middle.valueDim() + 1));
    }
    return shapes;
  }

  private static List<Mask> masks(ContractSubject subject, AttentionShape shape) {
    List<Mask> masks = new ArrayList<>(Runs.masks(subject, shape));
    if (subject.attention().capabilities().causal() != Causality.NEVER) {
      for (int offset : new int[] {-3, 2}) {
        Mask shifted = Mask.causal(offset);
        if (!MaskChecks.isRefused(subject, shape, shifted)) {
          masks.add(shifted);
        }
      }
    }
    return masks;
  }

  private boolean compare() {
    if (reference.out(attention, shape, mask, inputs).length == 0) {
      return false;
    }
    Tensors gradients = GradientRuns.run(attention, shape, mask, 1, inputs, gradOut, upstream);
    for (int t = 0; t < gradients.size(); t++) {
      String input = gradients.name(t).substring("grad_".length());
      Tensor gradient = gradients.tensor(t);
      int size = gradient.size();
      if (size > 0) {
        for (int e = 0; e < ELEMENTS; e++) {
          float[] direction = new float[size];
          direction[generator.nextInt(size)] = 1;
          compare(input, gradient, direction, 1);
        }
        float[] direction = new float[size];
        for (int e = 0; e < size; e++) {
          direction[e] = generator.nextBoolean() ? 1 : -1;
        }
        compare(input, gradient, direction, size);
      }
    }
    return size(gradients) > 0;
  }

  private static int size(Tensors tensors) {
    int size = 0;
    for (int t = 0; t < tensors.size(); t++) {
      size += tensors.tensor(t).size();
    }
    return size;
  }

  private void compare(String input, Tensor gradient, float[] direction, int moved) {
    double allowed = tolerance * (1 + GradientRuns.largest(gradient)) * Math.sqrt(moved);
    double difference = Double.NaN;
    double claimed = Double.NaN;
    for (int tried = 0; tried < STEPS; tried++) {
      int number = (passedLast + tried) % STEPS;
      float step = (float) Math.scalb(1.0, -(LONGEST_STEP + number));
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
        passedLast = number;
        return;
      }
    }
    throw new AssertionError(
        what
            + input
            + (moved == 1 ? " of one element" : " along a direction")
            + " must be "
            + difference
            + " within "
            + allowed
            + ", but was "
            + claimed);
  }

  private double loss(Tensors changed) {
    double loss = product(reference, changed, gradOut);
    for (Map.Entry<String, Reference> result : results.entrySet()) {
      loss += product(result.getValue(), changed, upstream.get("grad_" + result.getKey()));
    }
    return loss;
  }

  private double product(Reference expected, Tensors changed, Tensor gradient) {
    double[] values = expected.out(attention, shape, mask, changed);
    double sum = 0;
    for (int e = 0; e < values.length; e++) {
      sum += values[e] * gradient.data()[e];
    }
    return sum;
  }
}
