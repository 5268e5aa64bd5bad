// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/// Checks of what a mechanism computes whatever the mask: lengths, widths, independence,
/// repeatability.
final class ContractChecks {
  private ContractChecks() {}

  static void everyLength(ContractSubject subject) {
    Attention attention = subject.attention();
    for (int n : Runs.lengths(subject)) {
      for (AttentionShape shape : Runs.shapes(subject, n)) {
        Tensors inputs = Runs.inputs(subject, shape, 11);
        for (Mask mask : Runs.masks(subject, shape)) {
          String what = Runs.describe(subject, shape, mask, "every element must be written");
          Runs.requireFinite(Runs.run(attention, shape, mask, 1, inputs), what);
        }
      }
    }
    for (int n : new int[] {0, 1}) {
      AttentionShape shape = subject.shape(n);
      if (!subject.acceptsLengths(shape.querySeqLen(), shape.keySeqLen())) {
        RefusalChecks.requireRefused(
            attention.name(),
            Runs.describe(subject, shape, Runs.plainMask(subject), "length must be refused"),
            () -> attention.plan(shape, Runs.plainMask(subject), 1));
      }
    }
  }

  static void reference(ContractSubject subject) {
    for (int n : Runs.lengths(subject)) {
      for (AttentionShape shape : Runs.shapes(subject, n)) {
        for (Mask mask : Runs.masks(subject, shape)) {
          requireReference(subject, shape, mask);
        }
      }
    }
  }

  private static void requireReference(ContractSubject subject, AttentionShape shape, Mask mask) {
    Attention attention = subject.attention();
    Tensors inputs = Inputs.withParameters(attention, shape, Runs.inputs(subject, shape, 12));
    double[] expected = subject.reference().out(attention, shape, mask, inputs);
    if (expected.length > 0) {
      Tensor out = Runs.run(attention, shape, mask, 1, inputs).get("out");
      Runs.requireClose(
          expected, out, subject.tolerance(), Runs.describe(subject, shape, mask, "out"));
    }
  }

  static void oddWidths(ContractSubject subject) {
    Attention attention = subject.attention();
    int n = Runs.middleLength(subject);
    for (int d : subject.headDims()) {
      AttentionShape s = subject.shape(n);
      AttentionShape square = widths(s, d, d);
      requireWidth(subject, square);
      if (attention.capabilities().valueDim()) {
        requireWidth(subject, widths(s, d, d + 2));
        requireWidth(subject, widths(s, d, 1));
      }
    }
  }

  static AttentionShape widths(AttentionShape s, int d, int dv) {
    return s.withHeadDim(d).withValueDim(dv);
  }

  private static void requireWidth(ContractSubject subject, AttentionShape shape) {
    Attention attention = subject.attention();
    Tensors inputs = Runs.inputs(subject, shape, 13);
    for (Mask mask : Runs.masks(subject, shape)) {
      String what = Runs.describe(subject, shape, mask, "width");
      Tensors one = Runs.run(attention, shape, mask, 1, inputs);
      Runs.requireFinite(one, what);
      Runs.requireSameBits(one, Runs.run(attention, shape, mask, 2, inputs), what);
      requireReference(subject, shape, mask);
    }
  }

  static void valueColumns(ContractSubject subject) {
    Attention attention = subject.attention();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    if (shape.valueDim() < 2) {
      return;
    }
    Tensors inputs = Runs.inputs(subject, shape, 14);
    if (!inputs.has("v")) {
      return;
    }
    int changed = shape.valueDim() / 2;
    Tensor other = Runs.inputs(subject, shape, 15).get("v");
    Tensors mixed =
        inputs.with("v", Inputs.mixed(inputs.get("v"), other, at -> at[at.length - 1] == changed));
    for (Mask mask : Runs.masks(subject, shape)) {
      Tensor before = Runs.run(attention, shape, mask, 1, inputs).get("out");
      Tensor after = Runs.run(attention, shape, mask, 1, mixed).get("out");
      boolean moved = false;
      for (int e = 0; e < before.size(); e++) {
        if (e % shape.valueDim() == changed) {
          moved |= before.data()[e] != after.data()[e];
        } else {
          Runs.requireSameBits(
              before.data()[e],
              after.data()[e],
              e,
              Runs.describe(subject, shape, mask, "out, other column of v changed"));
        }
      }
      if (!moved) {
        throw new AssertionError(
            Runs.describe(subject, shape, mask, "out must depend on the values"));
      }
    }
  }

  static void namedAxes(ContractSubject subject) {
    Attention attention = subject.attention();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    requireSizes(attention, shape, shape.withSeqLens(nq + 1, nk + 1), Axis.QUERY, Axis.KEY);
    requireSizes(
        attention,
        shape,
        shape.withBatchAndHeads(shape.batchSize() + 1, shape.numHeads()),
        Axis.BATCH);
  }

  /// Per-token inputs and options change along these axes only.
  private static void requireSizes(
      Attention attention, AttentionShape shape, AttentionShape larger, Axis... changed) {
    Map<String, TensorSpec> others = new HashMap<>();
    attention.inputs(larger).forEach(spec -> others.put(spec.name(), spec));
    for (TensorSpec spec : attention.inputs(shape)) {
      TensorSpec other = others.get(spec.name());
      boolean isParameter = spec.role() == TensorSpec.Role.PARAMETER;
      for (int d = 0; other != null && !isParameter && d < spec.axes().size(); d++) {
        Axis axis = spec.axes().get(d);
        boolean named = Arrays.stream(changed).anyMatch(axis::is);
        boolean changes = !spec.shape().sizes().get(d).equals(other.shape().sizes().get(d));
        if (changes != named) {
          throw new AssertionError(
              attention
                  + ": "
                  + spec.name()
                  + " must change along "
                  + Arrays.toString(changed)
                  + " from "
                  + shape
                  + " to "
                  + larger
                  + ", but axes are "
                  + spec.axes()
                  + ", sizes "
                  + spec.shape()
                  + " and "
                  + other.shape());
        }
      }
    }
  }

  static void batchIndependence(ContractSubject subject) {
    Attention attention = subject.attention();
    if (!attention.capabilities().batchIndependent()) {
      return;
    }
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      Axes axes = new Axes(attention, shape);
      Tensors inputs = Inputs.withParameters(attention, shape, Runs.inputs(subject, shape, 16));
      Tensors others = Runs.inputs(subject, shape, 17);
      for (int kept = 0; kept < shape.batchSize(); kept++) {
        int entry = kept;
        Tensors mixed = inputs;
        for (int t = 0; t < others.size(); t++) {
          String name = others.name(t);
          Tensor before = inputs.get(name);
          mixed =
              mixed.with(
                  name,
                  Inputs.mixed(
                      before,
                      others.tensor(t),
                      at -> axes.batch(name, at) >= 0 && axes.batch(name, at) != entry));
        }
        for (Mask mask : Runs.masks(subject, shape)) {
          String what = Runs.describe(subject, shape, mask, "batch entry " + kept);
          Tensors whole = Runs.run(attention, shape, mask, 1, inputs);
          Tensors changed = Runs.run(attention, shape, mask, 1, mixed);
          requireSameEntry(whole, entry, changed, entry, what + ", others changed");
          Tensors alone = alone(attention, axes, shape, mask, inputs, entry);
          requireSameEntry(whole, entry, alone, 0, what + " alone");
        }
      }
    }
  }

  private static Tensors alone(
      Attention attention, Axes axes, AttentionShape shape, Mask mask, Tensors inputs, int entry) {
    AttentionShape single = shape.withBatchAndHeads(1, shape.numHeads());
    Tensors own = Tensors.NONE;
    for (int t = 0; t < inputs.size(); t++) {
      Tensor tensor = inputs.tensor(t);
      int[] from = new int[tensor.rank()];
      int[] sizes = tensor.shape();
      int dimension = axes.batchDimension(inputs.name(t));
      if (dimension >= 0) {
        from[dimension] = entry;
        sizes[dimension] = 1;
      }
      own = own.with(inputs.name(t), Inputs.block(tensor, from, sizes));
    }
    return Runs.run(attention, single, entryOf(mask, entry), 1, own);
  }

  private static Mask entryOf(Mask mask, int entry) {
    if (!mask.hasKeyPadding()) {
      return mask;
    }
    Mask.KeyPadding padding = mask.padding();
    if (padding.keySeqLen() == 0) {
      Mask.KeyPadding empty = Mask.lengths(0, 0);
      return mask.isCausal() ? Mask.both(mask.order(), empty) : empty;
    }
    boolean[] real = new boolean[padding.keySeqLen()];
    for (int j = 0; j < real.length; j++) {
      real[j] = padding.isReal(entry, j);
    }
    Mask.KeyPadding own = Mask.keys(real.length, real);
    return mask.isCausal() ? Mask.both(mask.order(), own) : own;
  }

  private static void requireSameEntry(
      Tensors expected, int entry, Tensors actual, int actualEntry, String what) {
    for (int t = 0; t < expected.size(); t++) {
      Tensor a = expected.tensor(t);
      Tensor b = actual.tensor(t);
      int size = a.size() / a.extent(0);
      for (int e = 0; e < size; e++) {
        Runs.requireSameBits(
            a.data()[entry * size + e],
            b.data()[actualEntry * size + e],
            e,
            what + " " + expected.name(t));
      }
    }
  }

  static void headIndependence(ContractSubject subject) {
    Attention attention = subject.attention();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    Axes axes = new Axes(attention, shape);
    int[] sizes = attention.outputShape(shape);
    if (!attention.capabilities().batchIndependent() || !axes.hasHeads() || sizes.length != 4) {
      return;
    }
    Tensors inputs = Runs.inputs(subject, shape, 18);
    Tensors others = Runs.inputs(subject, shape, 19);
    for (int kept = 0; kept < shape.numKeyValueHeads(); kept++) {
      int group = kept;
      Tensors mixed = inputs;
      for (int t = 0; t < inputs.size(); t++) {
        String name = inputs.name(t);
        int[] extents = inputs.tensor(t).shape();
        mixed =
            mixed.with(
                name,
                Inputs.mixed(
                    inputs.tensor(t),
                    others.get(name),
                    at -> {
                      int head = axes.keyValueHead(name, at, extents);
                      return head >= 0 && head != group;
                    }));
      }
      for (Mask mask : Runs.masks(subject, shape)) {
        Tensor before = Runs.run(attention, shape, mask, 1, inputs).get("out");
        Tensor after = Runs.run(attention, shape, mask, 1, mixed).get("out");
        int headSize = sizes[2] * sizes[3];
        for (int e = 0; e < before.size(); e++) {
          if (e / headSize % sizes[1] / shape.groupSize() == group) {
            Runs.requireSameBits(
                before.data()[e],
                after.data()[e],
                e,
                Runs.describe(subject, shape, mask, "out, other heads changed"));
          }
        }
      }
    }
  }

  static void threads(ContractSubject subject) {
    int middle = Runs.middleLength(subject);
    for (AttentionShape shape : Runs.shapes(subject, middle)) {
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
    Tensors inputs = Runs.inputs(subject, shape, 20);
    Tensors one = Runs.run(attention, shape, mask, 1, inputs);
    for (int threads = 2; threads <= 3; threads++) {
      Runs.requireSameBits(
          one,
          Runs.run(attention, shape, mask, threads, inputs),
          Runs.describe(subject, shape, mask, threads + " threads"));
    }
  }

  static void repeatable(ContractSubject subject) {
    Attention attention = subject.attention();
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      Tensors inputs = Runs.inputs(subject, shape, 21);
      Tensors between = Runs.inputs(subject, shape, 22);
      Tensors poison = Tensors.NONE;
      for (int t = 0; t < between.size(); t++) {
        poison = poison.with(between.name(t), Inputs.filledLike(between.tensor(t), Float.NaN));
      }
      for (Mask mask : Runs.masks(subject, shape)) {
        String what = Runs.describe(subject, shape, mask, "second call");
        AttentionPlan plan = attention.plan(shape, mask, 1);
        Tensors first = Runs.forward(plan, attention, shape, inputs);
        Runs.requireSameBits(first, Runs.forward(plan, attention, shape, inputs), what);
        Runs.forward(plan, attention, shape, between);
        Runs.requireSameBits(
            first, Runs.forward(plan, attention, shape, inputs), what + " after other inputs");
        Runs.forward(plan, attention, shape, poison);
        Runs.requireSameBits(
            first, Runs.forward(plan, attention, shape, inputs), what + " after NaN inputs");
        Tensors given = Inputs.withParameters(attention, shape, inputs);
        Runs.requireSameBits(
            first, Runs.run(attention, shape, mask, 1, given), what + " by another plan");
        Tensor alone = Runs.nan(attention.outputShape(shape));
        plan.forward(inputs, alone);
        Runs.requireSameBits(first.get("out"), alone, what + " without extra results");
      }
    }
  }

  static void concurrentPlans(ContractSubject subject) {
    Attention attention = subject.attention();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    Mask mask = Runs.plainMask(subject);
    Tensors inputs = Runs.inputs(subject, shape, 23);
    Tensors others = Runs.inputs(subject, shape, 24);
    Tensors expected = Runs.run(attention, shape, mask, 1, inputs);
    Tensors expectedOther = Runs.run(attention, shape, mask, 1, others);
    AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    String what = Runs.describe(subject, shape, mask, "concurrent plans");
    Thread other =
        new Thread(
            () -> {
              try {
                repeat(attention, shape, mask, others, expectedOther, what);
              } catch (RuntimeException | AssertionError e) {
                failure.set(e);
              }
            });
    other.start();
    try {
      repeat(attention, shape, mask, inputs, expected, what);
      other.join();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
    Throwable thrown = failure.get();
    if (thrown != null) {
      throw new AssertionError(what, thrown);
    }
  }

  private static void repeat(
      Attention attention,
      AttentionShape shape,
      Mask mask,
      Tensors inputs,
      Tensors expected,
      String what) {
    AttentionPlan plan = attention.plan(shape, mask, 2);
    for (int r = 0; r < 10; r++) {
      Runs.requireSameBits(expected, Runs.forward(plan, attention, shape, inputs), what);
    }
  }

  static void inputsUntouched(ContractSubject subject) {
    Attention attention = subject.attention();
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      Tensors inputs = Inputs.withParameters(attention, shape, Runs.inputs(subject, shape, 25));
      Tensors copies = Tensors.NONE;
      for (int t = 0; t < inputs.size(); t++) {
        copies = copies.with(inputs.name(t), inputs.tensor(t).copy());
      }
      for (Mask mask : Runs.masks(subject, shape)) {
        Runs.run(attention, shape, mask, 2, inputs);
        Runs.requireSameBits(
            copies, inputs, Runs.describe(subject, shape, mask, "inputs must not change:"));
      }
    }
  }

  static void hugeScores(ContractSubject subject) {
    Attention attention = subject.attention();
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      Tensors inputs = withHugeScores(subject, shape, 26);
      for (Mask mask : Runs.masks(subject, shape)) {
        Runs.requireFinite(
            Runs.run(attention, shape, mask, 1, inputs),
            Runs.describe(subject, shape, mask, "huge scores:"));
      }
    }
  }

  /// Inputs whose scores are of the order of 1e4.
  static Tensors withHugeScores(ContractSubject subject, AttentionShape shape, long seed) {
    Tensors inputs = Runs.inputs(subject, shape, seed);
    float factor = (float) Math.sqrt(1e4 / Math.sqrt(shape.headDim()));
    for (String name : subject.scoredInputs()) {
      if (inputs.has(name)) {
        Tensor scaled = inputs.get(name).copy();
        for (int e = 0; e < scaled.size(); e++) {
          scaled.data()[e] *= factor;
        }
        inputs = inputs.with(name, scaled);
      }
    }
    return inputs;
  }
}
