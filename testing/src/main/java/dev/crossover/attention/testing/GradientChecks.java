// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;

/// Checks of backward passes whatever the mask: lengths, threads, repeatability, accumulation.
final class GradientChecks {
  private GradientChecks() {}

  private static boolean cannot(ContractSubject subject) {
    return !subject.attention().capabilities().gradients();
  }

  static void forward(ContractSubject subject) {
    Attention attention = subject.attention();
    if (cannot(subject)) {
      return;
    }
    for (int n : Runs.lengths(subject)) {
      for (AttentionShape shape : Runs.shapes(subject, n)) {
        Tensors inputs = Runs.inputs(subject, shape, 91);
        for (Mask mask : Runs.masks(subject, shape)) {
          Tensors plain = Runs.run(attention, shape, mask, 1, inputs);
          DifferentiablePlan plan = attention.differentiable(shape, mask, 1);
          Tensors kept = Runs.forward(plan, attention, shape, inputs);
          String what = Runs.describe(subject, shape, mask, "differentiable plan's ");
          for (int t = 0; t < plain.size(); t++) {
            requireClose(
                plain.tensor(t), kept.tensor(t), subject.tolerance(), what + plain.name(t));
          }
          Tensor alone = Runs.nan(attention.outputShape(shape));
          plan.forward(inputs, alone);
          Runs.requireSameBits(kept.get("out"), alone, what + "out without extra results");
        }
      }
    }
  }

  private static void requireClose(Tensor expected, Tensor actual, double tolerance, String what) {
    for (int e = 0; e < expected.size(); e++) {
      float a = expected.data()[e];
      float b = actual.data()[e];
      if (a != b && !(Math.abs(a - b) <= tolerance * (1 + Math.abs(a)))) {
        throw new AssertionError(what + " [" + e + "] must be " + a + ", but was " + b);
      }
    }
  }

  static void everyLength(ContractSubject subject) {
    if (cannot(subject)) {
      return;
    }
    for (int n : Runs.lengths(subject)) {
      for (AttentionShape shape : Runs.shapes(subject, n)) {
        requireFinite(subject, shape, Runs.inputs(subject, shape, 92));
      }
    }
    AttentionShape s = subject.shape(Runs.middleLength(subject));
    for (int d : subject.headDims()) {
      AttentionShape square = ContractChecks.widths(s, d, d);
      requireFinite(subject, square, Runs.inputs(subject, square, 92));
      if (subject.attention().capabilities().valueDim()) {
        AttentionShape narrow = ContractChecks.widths(s, d, 1);
        requireFinite(subject, narrow, Runs.inputs(subject, narrow, 92));
      }
    }
  }

  private static void requireFinite(ContractSubject subject, AttentionShape shape, Tensors inputs) {
    Attention attention = subject.attention();
    Tensor gradOut = GradientRuns.outputGradient(attention, shape, 93);
    Tensors upstream = GradientRuns.upstream(attention, shape, 94);
    for (Mask mask : Runs.masks(subject, shape)) {
      Runs.requireFinite(
          GradientRuns.run(attention, shape, mask, 1, inputs, gradOut, upstream),
          Runs.describe(subject, shape, mask, "gradients must be finite:"));
    }
  }

  static void hugeScores(ContractSubject subject) {
    if (cannot(subject)) {
      return;
    }
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      requireFinite(subject, shape, ContractChecks.withHugeScores(subject, shape, 95));
    }
  }

  static void threads(ContractSubject subject) {
    if (cannot(subject)) {
      return;
    }
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      for (Mask mask : Runs.masks(subject, shape)) {
        requireSameForThreads(subject, shape, mask);
      }
    }
    for (int n : Runs.lengths(subject)) {
      requireSameForThreads(subject, subject.shape(n), Runs.plainMask(subject));
    }
    AttentionShape shape = subject.shape(Runs.lengths(subject).getLast());
    requireSameForThreads(
        subject, shape.withBatchAndHeads(1, shape.numHeads()), Runs.plainMask(subject));
  }

  private static void requireSameForThreads(
      ContractSubject subject, AttentionShape shape, Mask mask) {
    Attention attention = subject.attention();
    Tensors inputs = Runs.inputs(subject, shape, 96);
    Tensor gradOut = GradientRuns.outputGradient(attention, shape, 97);
    Tensors upstream = GradientRuns.upstream(attention, shape, 98);
    Tensors one = GradientRuns.run(attention, shape, mask, 1, inputs, gradOut, upstream);
    for (int threads = 2; threads <= 3; threads++) {
      Runs.requireSameBits(
          one,
          GradientRuns.run(attention, shape, mask, threads, inputs, gradOut, upstream),
          Runs.describe(subject, shape, mask, threads + " threads"));
    }
  }

  static void repeatable(ContractSubject subject) {
    Attention attention = subject.attention();
    if (cannot(subject)) {
      return;
    }
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      Tensors inputs = Runs.inputs(subject, shape, 101);
      Tensors poison = Tensors.NONE;
      for (int t = 0; t < inputs.size(); t++) {
        poison = poison.with(inputs.name(t), Inputs.filledLike(inputs.tensor(t), Float.NaN));
      }
      Tensor gradOut = GradientRuns.outputGradient(attention, shape, 102);
      Tensors upstream = GradientRuns.upstream(attention, shape, 103);
      for (Mask mask : Runs.masks(subject, shape)) {
        String what = Runs.describe(subject, shape, mask, "second backward ");
        DifferentiablePlan plan = attention.differentiable(shape, mask, 1);
        Runs.forward(plan, attention, shape, inputs);
        Tensors first = backward(plan, attention, shape, inputs, gradOut, upstream);
        Runs.requireSameBits(
            first, backward(plan, attention, shape, inputs, gradOut, upstream), what);
        Tensor unwritten = Inputs.filledLike(gradOut, Float.NaN);
        Runs.forward(plan, attention, shape, poison);
        backward(plan, attention, shape, poison, unwritten, Tensors.NONE);
        Runs.forward(plan, attention, shape, inputs);
        Runs.requireSameBits(
            first,
            backward(plan, attention, shape, inputs, gradOut, upstream),
            what + "after NaN inputs");
        for (int t = 0; t < first.size(); t++) {
          Tensor alone = Runs.nan(first.tensor(t).shape());
          plan.backward(gradOut, upstream, Tensors.NONE.with(first.name(t), alone));
          Runs.requireSameBits(first.tensor(t), alone, what + first.name(t) + " alone");
        }
      }
    }
  }

  private static Tensors backward(
      DifferentiablePlan plan,
      Attention attention,
      AttentionShape shape,
      Tensors inputs,
      Tensor gradOut,
      Tensors upstream) {
    Tensors gradients = GradientRuns.places(attention, shape, inputs);
    plan.backward(gradOut, upstream, gradients);
    return gradients;
  }

  static void accumulate(ContractSubject subject) {
    Attention attention = subject.attention();
    if (cannot(subject)) {
      return;
    }
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    Tensors inputs = Runs.inputs(subject, shape, 104);
    Tensor gradOut = GradientRuns.outputGradient(attention, shape, 105);
    Tensors upstream = GradientRuns.upstream(attention, shape, 106);
    for (Mask mask : Runs.masks(subject, shape)) {
      DifferentiablePlan plan = attention.differentiable(shape, mask, 1);
      Runs.forward(plan, attention, shape, inputs);
      Tensors written = backward(plan, attention, shape, inputs, gradOut, upstream);
      Tensors added = Tensors.NONE;
      for (int t = 0; t < written.size(); t++) {
        added = added.with(written.name(t), Inputs.filledLike(written.tensor(t), 3));
      }
      plan.accumulate(gradOut, upstream, added);
      for (int t = 0; t < written.size(); t++) {
        double[] expected = Runs.toDoubles(written.tensor(t));
        for (int e = 0; e < expected.length; e++) {
          expected[e] += 3;
        }
        Runs.requireClose(
            expected,
            added.tensor(t),
            subject.gradientTolerance(),
            Runs.describe(subject, shape, mask, "3 + " + written.name(t)));
      }
    }
  }

  static void inputsUntouched(ContractSubject subject) {
    Attention attention = subject.attention();
    if (cannot(subject)) {
      return;
    }
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      Tensors inputs = Inputs.withParameters(attention, shape, Runs.inputs(subject, shape, 107));
      Tensor gradOut = GradientRuns.outputGradient(attention, shape, 108);
      Tensors upstream = GradientRuns.upstream(attention, shape, 109);
      for (Mask mask : Runs.masks(subject, shape)) {
        DifferentiablePlan plan = attention.differentiable(shape, mask, 2);
        Tensors outputs = Runs.forward(plan, attention, shape, inputs);
        Tensors read = all(all(all(inputs, outputs), upstream), Tensors.NONE.with("up", gradOut));
        Tensors copies = Tensors.NONE;
        for (int t = 0; t < read.size(); t++) {
          copies = copies.with(read.name(t), read.tensor(t).copy());
        }
        backward(plan, attention, shape, inputs, gradOut, upstream);
        Runs.requireSameBits(copies, read, Runs.describe(subject, shape, mask, "must not change:"));
      }
    }
  }

  private static Tensors all(Tensors some, Tensors more) {
    Tensors all = some;
    for (int t = 0; t < more.size(); t++) {
      all = all.with(more.name(t), more.tensor(t));
    }
    return all;
  }
}
