// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;

/// Runs mechanisms into outputs filled with NaN, and compares what they wrote.
final class Runs {
  private Runs() {}

  /// The output, named `out`, and all extra results.
  static Tensors run(
      Attention attention, AttentionShape shape, Mask mask, int threads, Tensors inputs) {
    return forward(attention.plan(shape, mask, threads), attention, shape, inputs);
  }

  static Tensors forward(
      AttentionPlan plan, Attention attention, AttentionShape shape, Tensors inputs) {
    Tensor out = nan(attention.outputShape(shape));
    Tensors results = Tensors.NONE;
    for (TensorSpec spec : attention.results(shape)) {
      results = results.with(spec.name(), nan(spec.shape().toArray()));
    }
    plan.forward(inputs, out, results);
    Tensors all = Tensors.NONE.with("out", out);
    for (int i = 0; i < results.size(); i++) {
      all = all.with(results.name(i), results.tensor(i));
    }
    return all;
  }

  static Tensor nan(int... shape) {
    Tensor tensor = Tensor.zeros(shape);
    Arrays.fill(tensor.data(), Float.NaN);
    return tensor;
  }

  static Tensors inputs(ContractSubject subject, AttentionShape shape, long seed) {
    return Inputs.of(subject.attention(), shape, seed, subject.optionalInputs());
  }

  /// Lengths 0, 1, 2 and around every block border that the subject takes, ascending.
  static List<Integer> lengths(ContractSubject subject) {
    TreeSet<Integer> lengths = new TreeSet<>(List.of(0, 1, 2));
    for (int border : subject.blockBorders()) {
      lengths.addAll(
          List.of(
              border - 1,
              border,
              border + 1,
              2 * border - 1,
              2 * border,
              2 * border + 1,
              3 * border + 2));
    }
    return lengths.stream().filter(n -> n >= 0 && takes(subject, subject, n)).toList();
  }

  private static boolean takes(ContractSubject subject, ContractSubject shapes, int n) {
    AttentionShape shape = shapes.shape(n);
    return subject.acceptsLengths(shape.querySeqLen(), shape.keySeqLen());
  }

  /// A length just beyond the smallest block border that the subject takes; long enough to cut.
  static int middleLength(ContractSubject subject) {
    List<Integer> lengths = lengths(subject);
    int border = Arrays.stream(subject.blockBorders()).min().orElse(16);
    int wanted = Math.max(2 * border + 1, 7);
    int best = lengths.getLast();
    for (int n : lengths) {
      if (n >= wanted) {
        return n;
      }
    }
    return best;
  }

  /// The shapes of a length: as the subject gives it, and with different lengths where it takes
  /// them.
  static List<AttentionShape> shapes(ContractSubject subject, int n) {
    List<AttentionShape> shapes = new ArrayList<>();
    AttentionShape shape = subject.shape(n);
    shapes.add(shape);
    if (subject.attention().capabilities().crossAttention()) {
      for (int[] lengths : new int[][] {{n, n + 3}, {n + 5, n}}) {
        if (subject.acceptsLengths(lengths[0], lengths[1])) {
          shapes.add(shape.withSeqLens(lengths[0], lengths[1]));
        }
      }
    }
    return shapes;
  }

  /// Every kind of mask within the capabilities; no row is without keys because of padding alone.
  static List<Mask> masks(ContractSubject subject, AttentionShape shape) {
    Capabilities can = subject.attention().capabilities();
    List<Mask> masks = new ArrayList<>();
    List<Mask.KeyPadding> paddings = new ArrayList<>();
    if (can.keyPadding() != Padding.NONE) {
      paddings.add(Inputs.endPadding(shape));
    }
    if (can.keyPadding() == Padding.ANY) {
      paddings.add(Inputs.holes(shape, 5));
    }
    if (can.causal() != Causality.ALWAYS) {
      masks.add(Mask.none());
      masks.addAll(paddings);
    }
    if (can.causal() != Causality.NEVER) {
      masks.add(Mask.causal());
      for (Mask.KeyPadding padding : paddings) {
        masks.add(Mask.both(Mask.causal(), padding));
      }
    }
    return masks;
  }

  /// The simplest mask within the capabilities.
  static Mask plainMask(ContractSubject subject) {
    return subject.attention().capabilities().causal() == Causality.ALWAYS
        ? Mask.causal()
        : Mask.none();
  }

  static String describe(ContractSubject subject, AttentionShape shape, Mask mask, String rest) {
    return subject.attention() + " on " + shape + ", mask " + mask + ": " + rest;
  }

  /// Every element must be finite; the log-sum-exp of a row without keys may be −∞.
  static void requireFinite(Tensors outputs, String what) {
    for (int t = 0; t < outputs.size(); t++) {
      float[] data = outputs.tensor(t).data();
      boolean logarithms = outputs.name(t).equals("lse");
      for (int e = 0; e < data.length; e++) {
        boolean empty = logarithms && data[e] == Float.NEGATIVE_INFINITY;
        if (!Float.isFinite(data[e]) && !empty) {
          throw new AssertionError(what + " " + outputs.name(t) + "[" + e + "] is " + data[e]);
        }
      }
    }
  }

  static void requireSameBits(Tensors expected, Tensors actual, String what) {
    for (int t = 0; t < expected.size(); t++) {
      requireSameBits(expected.tensor(t), actual.tensor(t), what + " " + expected.name(t));
    }
  }

  static void requireSameBits(Tensor expected, Tensor actual, String what) {
    for (int e = 0; e < expected.size(); e++) {
      requireSameBits(expected.data()[e], actual.data()[e], e, what);
    }
  }

  static void requireSameBits(float expected, float actual, int element, String what) {
    if (Float.floatToRawIntBits(expected) != Float.floatToRawIntBits(actual)) {
      throw new AssertionError(
          what + " [" + element + "] must be " + expected + ", but was " + actual);
    }
  }

  /// Compares rows of the last dimension: `|a − b| <= tolerance · (1 + largest |b| of the row)`.
  static void requireClose(double[] expected, Tensor actual, double tolerance, String what) {
    if (expected.length != actual.size()) {
      throw new AssertionError(
          what + " must have " + expected.length + " elements, but had " + actual.size());
    }
    int width = actual.extent(actual.rank() - 1);
    for (int row = 0; row < expected.length; row += width) {
      double largest = 0;
      for (int c = 0; c < width; c++) {
        largest = Math.max(largest, Math.abs(expected[row + c]));
      }
      for (int c = 0; c < width; c++) {
        double difference = Math.abs(expected[row + c] - actual.data()[row + c]);
        if (!(difference <= tolerance * (1 + largest))) {
          throw new AssertionError(
              what
                  + " ["
                  + (row + c)
                  + "] must be "
                  + expected[row + c]
                  + " within "
                  + tolerance * (1 + largest)
                  + ", but was "
                  + actual.data()[row + c]);
        }
      }
    }
  }

  static double[] toDoubles(Tensor tensor) {
    double[] result = new double[tensor.size()];
    for (int e = 0; e < result.length; e++) {
      result[e] = tensor.data()[e];
    }
    return result;
  }

  /// The leading blocks of all given tensors for a shorter shape, parameters included.
  static Tensors leading(Attention attention, AttentionShape shorter, Tensors inputs) {
    Tensors result = Tensors.NONE;
    for (TensorSpec spec : attention.inputs(shorter)) {
      if (inputs.has(spec.name())) {
        result =
            result.with(
                spec.name(), Inputs.leading(inputs.get(spec.name()), spec.shape().toArray()));
      }
    }
    return result;
  }
}
