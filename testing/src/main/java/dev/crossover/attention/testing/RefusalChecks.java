// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;

/// Checks that what a mechanism cannot do is refused, by name.
final class RefusalChecks {
  private RefusalChecks() {}

  static void badTensors(ContractSubject subject) {
    Attention attention = subject.attention();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    Mask mask = Runs.plainMask(subject);
    AttentionPlan plan = attention.plan(shape, mask, 1);
    Tensors inputs = Runs.inputs(subject, shape, 31);
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    for (TensorSpec spec : attention.inputs(shape)) {
      String name = spec.name();
      if (spec.role() == TensorSpec.Role.INPUT) {
        Tensors missing = without(inputs, name);
        requireRefused(name, name + " missing", () -> plan.forward(missing, out));
      }
      int[] sizes = spec.shape().toArray();
      for (int d = 0; d < sizes.length; d++) {
        int[] wrong = sizes.clone();
        wrong[d]++;
        Tensors misshapen = inputs.with(name, Tensor.zeros(wrong));
        requireRefused(name, name + " misshapen", () -> plan.forward(misshapen, out));
      }
      Tensors flat = inputs.with(name, Tensor.zeros(Tensor.sizeOf(sizes) + 1));
      requireRefused(name, name + " flat", () -> plan.forward(flat, out));
    }
    Tensors unknown = inputs.with("no_such_input", Tensor.zeros(1));
    requireRefused("no_such_input", "unknown input", () -> plan.forward(unknown, out));
    int[] outSizes = attention.outputShape(shape);
    for (int d = 0; d < outSizes.length; d++) {
      int[] wrong = outSizes.clone();
      wrong[d]++;
      requireRefused("output", "output misshapen", () -> plan.forward(inputs, Tensor.zeros(wrong)));
    }
    Tensors unknownResult = Tensors.NONE.with("no_such_result", Tensor.zeros(1));
    requireRefused(
        "no_such_result", "unknown result", () -> plan.forward(inputs, out, unknownResult));
    for (TensorSpec spec : attention.results(shape)) {
      Tensors wrong = Tensors.NONE.with(spec.name(), Tensor.zeros(spec.shape().sizes().size()));
      requireRefused(
          spec.name(), spec.name() + " misshapen", () -> plan.forward(inputs, out, wrong));
    }
    Runs.requireFinite(Runs.forward(plan, attention, shape, inputs), "after refusals");
  }

  static void beyondCapabilities(ContractSubject subject) {
    Attention attention = subject.attention();
    Capabilities can = attention.capabilities();
    String name = attention.name();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    Mask plain = Runs.plainMask(subject);
    requireRefused(name, "0 threads", () -> attention.plan(shape, plain, 0));
    if (can.causal() == Causality.NEVER) {
      requireRefused(name, "causal", () -> attention.plan(shape, Mask.causal(), 1));
    }
    if (can.causal() == Causality.ALWAYS) {
      requireRefused(name, "not causal", () -> attention.plan(shape, Mask.none(), 1));
    }
    Mask atEnd = combined(plain, Inputs.endPadding(shape));
    Mask holes = combined(plain, Inputs.holes(shape, 5));
    if (can.keyPadding() == Padding.NONE) {
      requireRefused(name, "padding", () -> attention.plan(shape, atEnd, 1));
    }
    if (can.keyPadding() != Padding.ANY) {
      requireRefused(name, "holes", () -> attention.plan(shape, holes, 1));
    }
    Mask short1 = combined(plain, Mask.lengths(shape.keySeqLen() + 1, new int[shape.batchSize()]));
    requireRefused(name, "padding of another length", () -> attention.plan(shape, short1, 1));
    if (!can.crossAttention()) {
      AttentionShape cross = shape.withSeqLens(shape.querySeqLen(), shape.keySeqLen() + 1);
      requireRefused(name, "cross-attention", () -> attention.plan(cross, plain, 1));
    }
    if (!can.groupedQueries() && shape.numHeads() > 1) {
      AttentionShape grouped = shape.withKeyValueHeads(1);
      requireRefused(name, "grouped queries", () -> attention.plan(grouped, plain, 1));
    }
    if (!can.valueDim()) {
      AttentionShape wide = shape.withValueDim(shape.headDim() + 1);
      requireRefused(name, "valueDim", () -> attention.plan(wide, plain, 1));
    }
    if (!can.keyDim()) {
      AttentionShape s = shape;
      AttentionShape narrow =
          new AttentionShape(
              s.batchSize(),
              s.numHeads(),
              s.numKeyValueHeads(),
              s.querySeqLen(),
              s.keySeqLen(),
              s.headDim(),
              s.keyDim() + 1,
              s.valueDim());
      requireRefused(name, "keyDim", () -> attention.plan(narrow, plain, 1));
    }
    if (!can.decoding()) {
      try {
        attention.decode(shape);
      } catch (UnsupportedOperationException refused) {
        requireNamed(name, "decoding", refused);
        return;
      }
      throw new AssertionError(name + " must refuse decoding, as declared");
    }
  }

  static void aliasing(ContractSubject subject) {
    Attention attention = subject.attention();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    AttentionPlan plan = attention.plan(shape, Runs.plainMask(subject), 1);
    Tensors inputs = Runs.inputs(subject, shape, 32);
    int size = Tensor.sizeOf(attention.outputShape(shape));
    boolean tried = false;
    for (int t = 0; t < inputs.size(); t++) {
      if (inputs.tensor(t).size() == size) {
        Tensor alias = inputs.tensor(t).reshape(attention.outputShape(shape));
        requireRefused(
            inputs.name(t), "output aliasing " + inputs.name(t), () -> plan.forward(inputs, alias));
        tried = true;
      }
    }
    if (!tried) {
      throw new AssertionError(
          attention + " has no input of the output's size: give a shape with dv = d");
    }
  }

  static void badGradients(ContractSubject subject) {
    Attention attention = subject.attention();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    Mask mask = Runs.plainMask(subject);
    if (!attention.capabilities().gradients()) {
      requireUnsupported(attention.name(), () -> attention.differentiable(shape, mask, 1));
      requireUnsupported(attention.name(), () -> attention.gradientCost(shape, mask, 1));
      return;
    }
    requireRefused(attention.name(), "0 threads", () -> attention.differentiable(shape, mask, 0));
    Tensors inputs = Runs.inputs(subject, shape, 33);
    DifferentiablePlan plan = attention.differentiable(shape, mask, 1);
    Runs.forward(plan, attention, shape, inputs);
    Tensor gradOut = GradientRuns.outputGradient(attention, shape, 34);
    Tensors unknown = Tensors.NONE.with("grad_no_such_input", Tensor.zeros(1));
    requireRefused("grad_no_such_input", "unknown gradient", () -> plan.backward(gradOut, unknown));
    requireRefused(
        "grad_no_such_input",
        "unknown upstream gradient",
        () -> plan.backward(gradOut, unknown, Tensors.NONE));
    int[] sizes = gradOut.shape();
    sizes[0]++;
    requireRefused("grad_out", "misshapen", () -> plan.backward(Tensor.zeros(sizes), Tensors.NONE));
    for (TensorSpec spec : attention.inputs(shape)) {
      String name = "grad_" + spec.name();
      int[] own = spec.shape().toArray();
      Tensors fitting = Tensors.NONE.with(name, Tensor.zeros(own));
      boolean absent = spec.role() == TensorSpec.Role.OPTIONAL && !inputs.has(spec.name());
      if (!spec.differentiable() || absent) {
        requireRefused(name, "constant or absent", () -> plan.backward(gradOut, fitting));
      }
      for (int d = 0; d < own.length; d++) {
        int[] wrong = own.clone();
        wrong[d]++;
        Tensors misshapen = Tensors.NONE.with(name, Tensor.zeros(wrong));
        requireRefused(name, "misshapen", () -> plan.backward(gradOut, misshapen));
      }
    }
    Tensors gradients = GradientRuns.places(attention, shape, inputs);
    plan.backward(gradOut, gradients);
    Runs.requireFinite(gradients, "after refusals");
  }

  private static void requireUnsupported(String named, Runnable call) {
    try {
      call.run();
    } catch (UnsupportedOperationException refused) {
      requireNamed(named, "gradients", refused);
      return;
    }
    throw new AssertionError(named + " must refuse gradients, as declared");
  }

  static void gradientAliasing(ContractSubject subject) {
    Attention attention = subject.attention();
    if (!attention.capabilities().gradients()) {
      return;
    }
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    DifferentiablePlan plan = attention.differentiable(shape, Runs.plainMask(subject), 1);
    Tensors inputs = Runs.inputs(subject, shape, 35);
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    plan.forward(inputs, out);
    Tensor gradOut = GradientRuns.outputGradient(attention, shape, 36);
    boolean tried = false;
    for (TensorSpec spec : attention.inputs(shape)) {
      if (spec.differentiable() && inputs.has(spec.name())) {
        String name = "grad_" + spec.name();
        int[] sizes = spec.shape().toArray();
        requireStorageRefused(plan, gradOut, name, inputs.get(spec.name()));
        if (Tensor.sizeOf(sizes) == out.size()) {
          requireStorageRefused(plan, gradOut, name, out.reshape(sizes));
          requireStorageRefused(plan, gradOut, name, gradOut.reshape(sizes));
          tried = true;
        }
      }
    }
    if (!tried) {
      throw new AssertionError(
          attention + " has no input of the output's size: give a shape with dv = d");
    }
  }

  private static void requireStorageRefused(
      DifferentiablePlan plan, Tensor gradOut, String name, Tensor alias) {
    Tensors aliased = Tensors.NONE.with(name, alias);
    requireRefused(name + " must not share storage", name, () -> plan.backward(gradOut, aliased));
  }

  static void backwardBeforeForward(ContractSubject subject) {
    Attention attention = subject.attention();
    if (!attention.capabilities().gradients()) {
      return;
    }
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    DifferentiablePlan plan = attention.differentiable(shape, Runs.plainMask(subject), 1);
    Tensor gradOut = GradientRuns.outputGradient(attention, shape, 37);
    try {
      plan.backward(gradOut, Tensors.NONE);
    } catch (IllegalStateException refused) {
      requireNamed("forward", "backward before forward", refused);
      return;
    }
    throw new AssertionError(attention + ": backward must be refused before forward");
  }

  static void requireRefused(String named, String what, Runnable call) {
    try {
      call.run();
    } catch (IllegalArgumentException refused) {
      requireNamed(named, what, refused);
      return;
    }
    throw new AssertionError(what + " must be refused, naming " + named);
  }

  private static void requireNamed(String named, String what, RuntimeException refused) {
    String message = String.valueOf(refused.getMessage());
    if (!message.matches("(?s).*\\b" + named + "\\b.*")) {
      throw new AssertionError(
          what + " must be refused naming " + named + ", but the message was: " + message);
    }
  }

  private static Mask combined(Mask plain, Mask.KeyPadding padding) {
    return plain.isCausal() ? Mask.both(plain.order(), padding) : padding;
  }

  private static Tensors without(Tensors inputs, String name) {
    Tensors rest = Tensors.NONE;
    for (int t = 0; t < inputs.size(); t++) {
      if (!inputs.name(t).equals(name)) {
        rest = rest.with(inputs.name(t), inputs.tensor(t));
      }
    }
    return rest;
  }
}
