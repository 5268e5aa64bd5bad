// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.function.Predicate;

/// Checks that no gradient passes a mask, in either direction.
final class GradientMaskChecks {
  private GradientMaskChecks() {}

  static void nanBehindCausalOrder(ContractSubject subject) {
    Attention attention = subject.attention();
    Capabilities can = attention.capabilities();
    if (!can.gradients() || can.causal() == Causality.NEVER) {
      return;
    }
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      for (Mask mask : Runs.masks(subject, shape)) {
        int nk = shape.keySeqLen();
        for (int cut : new int[] {1, nk / 2, nk - 1}) {
          if (mask.isCausal() && cut >= 1 && cut < nk) {
            new CausalCut(subject, shape, mask, cut).check();
          }
        }
      }
    }
  }

  /// Rows up to `last` see no key from `cut` on.
  private static final class CausalCut {
    private final ContractSubject subject;
    private final Attention attention;
    private final AttentionShape shape;
    private final Mask mask;
    private final Axes axes;
    private final int cut;
    private final int last;
    private final Tensors inputs;
    private final Tensor gradOut;
    private final Tensors clean;

    CausalCut(ContractSubject subject, AttentionShape shape, Mask mask, int cut) {
      this.subject = subject;
      this.shape = shape;
      this.mask = mask;
      this.cut = cut;
      attention = subject.attention();
      axes = new Axes(attention, shape);
      int lastRow = cut - 1 - mask.causalOffset(shape.querySeqLen(), shape.keySeqLen());
      last = axes.separate() ? lastRow : Math.min(lastRow, cut - 1);
      inputs = Runs.inputs(subject, shape, 111);
      gradOut = GradientRuns.outputGradient(attention, shape, 112);
      clean = run(inputs, gradOut);
    }

    private Tensors run(Tensors given, Tensor upstream) {
      return GradientRuns.run(attention, shape, mask, 1, given, upstream, Tensors.NONE);
    }

    void check() {
      for (float poison : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
        later(poison);
        earlier(poison, false);
        earlier(poison, true);
      }
    }

    /// NaN in tokens from `cut` on: gradients of queries up to `last` stay.
    private void later(float poison) {
      if (!inputs.has("q")) {
        return;
      }
      Tensors mixed = inputs;
      for (int t = 0; t < inputs.size(); t++) {
        String name = inputs.name(t);
        Predicate<int[]> later =
            at ->
                axes.key(name, at, j -> j >= cut)
                    || (axes.separate() && axes.query(name, at, i -> i > last));
        mixed = mixed.with(name, poisoned(inputs.tensor(t), poison, later));
      }
      Tensors poisoned = run(mixed, gradOut);
      requireSame(
          "q", poisoned, at -> axes.query("q", at, i -> i <= last), "later tokens are " + poison);
    }

    /// NaN in the upstream gradients of rows up to `last`, and in their queries: gradients of keys
    /// from `cut` on stay.
    private void earlier(float poison, boolean queries) {
      int nq = shape.querySeqLen();
      Tensor upstream = gradOut.copy();
      int width = upstream.extent(upstream.rank() - 1);
      for (int e = 0; e < upstream.size(); e++) {
        if (e / width % nq <= last) {
          upstream.data()[e] = poison;
        }
      }
      Tensors mixed = inputs;
      if (queries && inputs.has("q")) {
        Predicate<int[]> early = at -> axes.query("q", at, i -> i <= last);
        mixed = mixed.with("q", poisoned(inputs.get("q"), poison, early));
      }
      Tensors poisoned = run(mixed, upstream);
      for (int t = 0; t < inputs.size(); t++) {
        String name = inputs.name(t);
        requireSame(
            name,
            poisoned,
            at ->
                !(axes.separate() && axes.query(name, at, i -> i <= last))
                    && axes.key(name, at, j -> j >= cut),
            "earlier rows are " + poison);
      }
    }

    private void requireSame(String input, Tensors poisoned, Predicate<int[]> stays, String what) {
      String name = "grad_" + input;
      if (clean.has(name)) {
        requireSameWhere(
            clean.get(name),
            poisoned.get(name),
            stays,
            Runs.describe(subject, shape, mask, name + ", cut at " + cut + ", " + what));
      }
    }
  }

  private static Tensor poisoned(Tensor tensor, float poison, Predicate<int[]> where) {
    return Inputs.mixed(tensor, Inputs.filledLike(tensor, poison), where);
  }

  private static void requireSameWhere(
      Tensor expected, Tensor actual, Predicate<int[]> where, String what) {
    Tensor both = Inputs.mixed(expected, actual, where);
    Runs.requireSameBits(expected, both, what);
  }

  static void nanBehindPadding(ContractSubject subject) {
    Attention attention = subject.attention();
    Capabilities can = attention.capabilities();
    if (!can.gradients() || can.keyPadding() == Padding.NONE) {
      return;
    }
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      Tensors inputs = Runs.inputs(subject, shape, 113);
      Tensor gradOut = GradientRuns.outputGradient(attention, shape, 114);
      Tensors upstream = GradientRuns.upstream(attention, shape, 115);
      for (Mask mask : Runs.masks(subject, shape)) {
        if (!mask.hasKeyPadding()) {
          continue;
        }
        Tensors clean = GradientRuns.run(attention, shape, mask, 1, inputs, gradOut, upstream);
        for (float poison : new float[] {Float.NaN, Float.NEGATIVE_INFINITY, 1e30f}) {
          Tensors hidden = inputs;
          Tensors wholeTokens = inputs;
          for (int t = 0; t < inputs.size(); t++) {
            String name = inputs.name(t);
            Predicate<int[]> padded = padded(subject, shape, mask, name);
            Tensor mixed = poisoned(inputs.tensor(t), poison, padded);
            if (isHiddenByPadding(subject, shape, name)) {
              hidden = hidden.with(name, mixed);
            }
            if (!subject.readAtPadding().contains(name)) {
              wholeTokens = wholeTokens.with(name, mixed);
            }
          }
          String what = Runs.describe(subject, shape, mask, "padding is " + poison + ":");
          Runs.requireSameBits(
              clean, GradientRuns.run(attention, shape, mask, 1, hidden, gradOut, upstream), what);
          if (can.zeroesPaddedQueries() && shape.querySeqLen() == shape.keySeqLen()) {
            Tensor padded = poisonedRows(gradOut, mask, poison);
            Runs.requireSameBits(
                clean,
                GradientRuns.run(attention, shape, mask, 1, wholeTokens, padded, upstream),
                what + " whole tokens and upstream gradients,");
          }
        }
      }
    }
  }

  private static Tensor poisonedRows(Tensor gradOut, Mask mask, float poison) {
    Tensor result = gradOut.copy();
    int width = result.extent(result.rank() - 1);
    int rows = result.extent(result.rank() - 2);
    int perEntry = result.size() / result.extent(0);
    for (int e = 0; e < result.size(); e++) {
      if (!mask.isRealKey(e / perEntry, e / width % rows)) {
        result.data()[e] = poison;
      }
    }
    return result;
  }

  private static boolean isHiddenByPadding(
      ContractSubject subject, AttentionShape shape, String name) {
    return name.matches("[kv](_.*)?")
        && new Axes(subject.attention(), shape).keyOnly(name)
        && !(subject.paddedRowsReadTheirValue() && name.startsWith("v"))
        && !subject.readAtPadding().contains(name);
  }

  private static Predicate<int[]> padded(
      ContractSubject subject, AttentionShape shape, Mask mask, String name) {
    Axes axes = new Axes(subject.attention(), shape);
    return at -> {
      int b = axes.batch(name, at);
      return b >= 0 && axes.key(name, at, j -> !mask.isRealKey(b, j));
    };
  }

  static void unused(ContractSubject subject) {
    Attention attention = subject.attention();
    Capabilities can = attention.capabilities();
    if (!can.gradients()) {
      return;
    }
    int n = Runs.middleLength(subject);
    for (AttentionShape shape : Runs.shapes(subject, n)) {
      Tensors inputs = Runs.inputs(subject, shape, 116);
      Tensor gradOut = GradientRuns.outputGradient(attention, shape, 117);
      for (Mask mask : Runs.masks(subject, shape)) {
        requirePaddingZero(subject, shape, mask, inputs, gradOut);
      }
      if (!subject.paddedRowsReadTheirValue()) {
        for (Mask mask : MaskChecks.masksWithEmptyRows(subject, shape)) {
          requirePaddingZero(subject, shape, mask, inputs, gradOut);
          requireNothingFromEmptyRows(subject, shape, mask, inputs, gradOut);
        }
      }
    }
    if (can.crossAttention() && subject.acceptsLengths(n, 0)) {
      AttentionShape shape = subject.shape(n).withSeqLens(n, 0);
      requireNothingFromEmptyRows(
          subject,
          shape,
          Runs.plainMask(subject),
          Runs.inputs(subject, shape, 118),
          GradientRuns.outputGradient(attention, shape, 119));
    }
  }

  /// Keys and values that padding or causal order hides from every row have no gradient.
  private static void requirePaddingZero(
      ContractSubject subject, AttentionShape shape, Mask mask, Tensors inputs, Tensor gradOut) {
    Attention attention = subject.attention();
    Tensors gradients = GradientRuns.run(attention, shape, mask, 1, inputs, gradOut, Tensors.NONE);
    int nq = shape.querySeqLen();
    int reach = mask.causalLimit(nq - 1, nq, shape.keySeqLen());
    for (int t = 0; t < inputs.size(); t++) {
      String name = inputs.name(t);
      if (isHiddenByPadding(subject, shape, name) && gradients.has("grad_" + name)) {
        Predicate<int[]> padded = padded(subject, shape, mask, name);
        Axes axes = new Axes(attention, shape);
        requireZeroWhere(
            gradients.get("grad_" + name),
            at -> padded.test(at) || axes.key(name, at, j -> j >= reach),
            Runs.describe(subject, shape, mask, "hidden, grad_" + name));
      }
    }
  }

  /// When only rows without keys have an upstream gradient, all gradients are zero.
  private static void requireNothingFromEmptyRows(
      ContractSubject subject, AttentionShape shape, Mask mask, Tensors inputs, Tensor gradOut) {
    Tensor upstream = gradOut.copy();
    int width = upstream.extent(upstream.rank() - 1);
    int nq = upstream.extent(upstream.rank() - 2);
    int perEntry = upstream.size() / Math.max(1, upstream.extent(0));
    for (int e = 0; e < upstream.size(); e++) {
      for (int j = 0; j < shape.keySeqLen(); j++) {
        if (Oracle.sees(shape, mask, e / perEntry, e / width % nq, j)) {
          upstream.data()[e] = 0;
        }
      }
    }
    Tensors gradients =
        GradientRuns.run(subject.attention(), shape, mask, 1, inputs, upstream, Tensors.NONE);
    for (int t = 0; t < gradients.size(); t++) {
      requireZeroWhere(
          gradients.tensor(t),
          _ -> true,
          Runs.describe(subject, shape, mask, "from empty rows, " + gradients.name(t)));
    }
  }

  private static void requireZeroWhere(Tensor gradient, Predicate<int[]> where, String what) {
    Tensor chosen = Inputs.mixed(Inputs.filledLike(gradient, 0), gradient, where);
    for (int e = 0; e < chosen.size(); e++) {
      if (chosen.data()[e] != 0) {
        throw new AssertionError(what + " [" + e + "] must be zero, but was " + chosen.data()[e]);
      }
    }
  }
}
