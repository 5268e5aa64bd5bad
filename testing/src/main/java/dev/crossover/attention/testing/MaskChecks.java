// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
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
import java.util.function.Function;

/// Checks that masks hide what they hide and nothing else.
final class MaskChecks {
  private MaskChecks() {}

  static void emptyRows(ContractSubject subject) {
    Attention attention = subject.attention();
    int n = Runs.middleLength(subject);
    for (AttentionShape shape : Runs.shapes(subject, n)) {
      Tensors inputs = Runs.inputs(subject, shape, 51);
      for (Mask mask : masksWithEmptyRows(subject, shape)) {
        Tensors outputs = Runs.run(attention, shape, mask, 1, inputs);
        Runs.requireFinite(outputs, Runs.describe(subject, shape, mask, "finite"));
        requireEmptyRowsZero(subject, shape, mask, outputs.get("out"));
      }
    }
    if (attention.capabilities().crossAttention() && subject.acceptsLengths(n, 0)) {
      AttentionShape shape = subject.shape(n).withSeqLens(n, 0);
      Mask mask = Runs.plainMask(subject);
      Tensor out = Runs.run(attention, shape, mask, 1, Runs.inputs(subject, shape, 52)).get("out");
      requireEmptyRowsZero(subject, shape, mask, out);
    }
  }

  /// Masks within the capabilities that leave some rows without keys.
  static List<Mask> masksWithEmptyRows(ContractSubject subject, AttentionShape shape) {
    Capabilities can = subject.attention().capabilities();
    int nk = shape.keySeqLen();
    List<Mask> masks = new ArrayList<>();
    if (can.causal() != Causality.NEVER) {
      masks.addAll(negativeOffsets(subject, shape));
    }
    if (can.keyPadding() != Padding.NONE) {
      int[] lengths = new int[shape.batchSize()];
      lengths[0] = nk;
      addPadding(can, masks, Mask.lengths(nk, lengths));
    }
    if (can.keyPadding() == Padding.ANY && nk > 3) {
      boolean[] real = new boolean[shape.batchSize() * nk];
      for (int b = 0; b < shape.batchSize(); b++) {
        for (int j = nk / 2; j < nk; j++) {
          real[b * nk + j] = true;
        }
      }
      addPadding(can, masks, Mask.keys(nk, real));
    }
    return masks;
  }

  private static void addPadding(Capabilities can, List<Mask> masks, Mask.KeyPadding padding) {
    if (can.causal() != Causality.ALWAYS) {
      masks.add(padding);
    }
    if (can.causal() != Causality.NEVER) {
      masks.add(Mask.both(Mask.causal(), padding));
    }
  }

  /// Causal masks that leave the first rows without keys, unless the mechanism refuses them by
  /// name.
  private static List<Mask> negativeOffsets(ContractSubject subject, AttentionShape shape) {
    List<Mask> masks = new ArrayList<>();
    for (int offset : new int[] {-1, -3, -shape.querySeqLen() - 1}) {
      Mask mask = Mask.causal(offset);
      if (!isRefused(subject, shape, mask)) {
        masks.add(mask);
      }
    }
    return masks;
  }

  private static void requireEmptyRowsZero(
      ContractSubject subject, AttentionShape shape, Mask mask, Tensor out) {
    int width = out.extent(out.rank() - 1);
    int nq = out.extent(out.rank() - 2);
    int rowsPerEntry = out.size() / width / out.extent(0);
    for (int row = 0; row < out.size() / width; row++) {
      int b = row / rowsPerEntry;
      int i = row % nq;
      boolean seesAny = false;
      for (int j = 0; j < shape.keySeqLen(); j++) {
        seesAny |= Oracle.sees(shape, mask, b, i, j);
      }
      for (int c = 0; !seesAny && c < width; c++) {
        if (out.data()[row * width + c] != 0) {
          throw new AssertionError(
              Runs.describe(subject, shape, mask, "row " + i + " of batch entry " + b)
                  + " sees no key and must be zero, but was "
                  + out.data()[row * width + c]);
        }
      }
    }
  }

  static void paddedQueryRows(ContractSubject subject) {
    Attention attention = subject.attention();
    Capabilities can = attention.capabilities();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    if (can.keyPadding() == Padding.NONE || shape.querySeqLen() != shape.keySeqLen()) {
      return;
    }
    Mask.KeyPadding padding = Inputs.endPadding(shape);
    Mask mask = can.causal() == Causality.ALWAYS ? Mask.both(Mask.causal(), padding) : padding;
    Tensor out = Runs.run(attention, shape, mask, 1, Runs.inputs(subject, shape, 53)).get("out");
    int width = out.extent(out.rank() - 1);
    int nq = out.extent(out.rank() - 2);
    int rowsPerEntry = out.size() / width / out.extent(0);
    int computed = 0;
    for (int row = 0; row < out.size() / width; row++) {
      if (!padding.isReal(row / rowsPerEntry, row % nq)) {
        for (int c = 0; c < width; c++) {
          computed += out.data()[row * width + c] == 0 ? 0 : 1;
        }
      }
    }
    if ((computed == 0) != can.zeroesPaddedQueries()) {
      throw new AssertionError(
          Runs.describe(subject, shape, mask, "rows at padded positions must ")
              + (computed == 0 ? "be computed, but were zero" : "be zero, but were computed"));
    }
  }

  /// For each offset: keys beyond it change nothing, and the answer is not that of the aligned
  /// mask.
  static void causalOffsets(ContractSubject subject) {
    Attention attention = subject.attention();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    if (attention.capabilities().causal() == Causality.NEVER) {
      return;
    }
    Axes axes = new Axes(attention, shape);
    Tensors inputs = Runs.inputs(subject, shape, 55);
    Tensors others = Runs.inputs(subject, shape, 56);
    int own = shape.keySeqLen() - shape.querySeqLen();
    Tensor aligned = Runs.run(attention, shape, Mask.causal(), 1, inputs).get("out");
    Runs.requireSameBits(
        aligned,
        Runs.run(attention, shape, Mask.causal(own), 1, inputs).get("out"),
        Runs.describe(subject, shape, Mask.causal(own), "the aligned offset, written"));
    int half = Math.max(shape.keySeqLen() / 2, 3);
    for (int[] offsets : new int[][] {{own - 2, own - half}, {own + 2, own + half}}) {
      boolean refused = false;
      boolean moved = false;
      for (int offset : offsets) {
        Mask mask = Mask.causal(offset);
        if (isRefused(subject, shape, mask)) {
          refused = true;
          continue;
        }
        Tensor before = Runs.run(attention, shape, mask, 1, inputs).get("out");
        moved |= !Arrays.equals(before.data(), aligned.data());
        if (!subject.exemptions().containsKey(Claim.LATER_TOKENS_IGNORED)) {
          for (int cut : cuts(subject, shape.keySeqLen())) {
            requireCut(subject, shape, mask, axes, inputs, others, before, cut);
          }
        }
        requireReference(subject, shape, mask, inputs, before);
      }
      if (!refused && !moved) {
        throw new AssertionError(
            Runs.describe(
                subject,
                shape,
                Mask.causal(offsets[1]),
                "an offset that is not refused must change the output"));
      }
    }
  }

  static boolean isRefused(ContractSubject subject, AttentionShape shape, Mask mask) {
    Attention attention = subject.attention();
    try {
      attention.plan(shape, mask, 1);
      return false;
    } catch (IllegalArgumentException refused) {
      RefusalChecks.requireRefused(
          attention.name(), mask.toString(), () -> attention.plan(shape, mask, 1));
      return true;
    }
  }

  private static void requireReference(
      ContractSubject subject, AttentionShape shape, Mask mask, Tensors inputs, Tensor out) {
    Attention attention = subject.attention();
    Tensors all = Inputs.withParameters(attention, shape, inputs);
    double[] expected = subject.reference().out(attention, shape, mask, all);
    if (expected.length > 0) {
      Runs.requireClose(
          expected, out, subject.tolerance(), Runs.describe(subject, shape, mask, "out"));
    }
  }

  static void laterTokens(ContractSubject subject) {
    requireLaterTokensIgnored(subject, shape -> Runs.inputs(subject, shape, 62));
  }

  static void nanBehindCausalOrder(ContractSubject subject) {
    for (float poison : new float[] {Float.NaN, Float.POSITIVE_INFINITY, -1e30f}) {
      requireLaterTokensIgnored(subject, shape -> filled(Runs.inputs(subject, shape, 61), poison));
    }
  }

  private static Tensors filled(Tensors inputs, float value) {
    Tensors filled = Tensors.NONE;
    for (int t = 0; t < inputs.size(); t++) {
      filled = filled.with(inputs.name(t), Inputs.filledLike(inputs.tensor(t), value));
    }
    return filled;
  }

  private static void requireLaterTokensIgnored(
      ContractSubject subject, Function<AttentionShape, Tensors> later) {
    Attention attention = subject.attention();
    if (attention.capabilities().causal() == Causality.NEVER) {
      return;
    }
    int n = Runs.middleLength(subject);
    for (AttentionShape shape : Runs.shapes(subject, n)) {
      Axes axes = new Axes(attention, shape);
      Tensors inputs = Runs.inputs(subject, shape, 61);
      Tensors others = later.apply(shape);
      List<Mask> masks = new ArrayList<>(Runs.masks(subject, shape));
      masks.removeIf(mask -> !mask.isCausal());
      for (Mask mask : masks) {
        Tensor before = Runs.run(attention, shape, mask, 1, inputs).get("out");
        for (int cut : cuts(subject, shape.keySeqLen())) {
          requireCut(subject, shape, mask, axes, inputs, others, before, cut);
        }
      }
    }
  }

  private static List<Integer> cuts(ContractSubject subject, int nk) {
    List<Integer> cuts = new ArrayList<>(List.of(1, nk / 2, nk - 1));
    for (int border : subject.blockBorders()) {
      cuts.add(border);
      cuts.add(border + 1);
    }
    return cuts.stream().filter(cut -> cut >= 1 && cut < nk).distinct().toList();
  }

  private static void requireCut(
      ContractSubject subject,
      AttentionShape shape,
      Mask mask,
      Axes axes,
      Tensors inputs,
      Tensors others,
      Tensor before,
      int cut) {
    Attention attention = subject.attention();
    int lastRow = cut - 1 - mask.causalOffset(shape.querySeqLen(), shape.keySeqLen());
    int last = axes.separate() ? lastRow : Math.min(lastRow, cut - 1);
    Tensors mixed = inputs;
    for (int t = 0; t < inputs.size(); t++) {
      String name = inputs.name(t);
      mixed =
          mixed.with(
              name,
              Inputs.mixed(
                  inputs.tensor(t),
                  others.get(name),
                  at ->
                      axes.key(name, at, j -> j >= cut)
                          || (axes.separate() && axes.query(name, at, i -> i > last))));
    }
    Tensor after = Runs.run(attention, shape, mask, 1, mixed).get("out");
    int width = after.extent(after.rank() - 1);
    int nq = after.extent(after.rank() - 2);
    for (int e = 0; e < after.size(); e++) {
      if (e / width % nq <= last) {
        Runs.requireSameBits(
            before.data()[e],
            after.data()[e],
            e,
            Runs.describe(subject, shape, mask, "out, tokens from " + cut + " on changed"));
      }
    }
  }

  static void nanBehindPadding(ContractSubject subject) {
    Attention attention = subject.attention();
    if (attention.capabilities().keyPadding() == Padding.NONE) {
      return;
    }
    for (AttentionShape shape : Runs.shapes(subject, Runs.middleLength(subject))) {
      Axes axes = new Axes(attention, shape);
      Tensors inputs = Runs.inputs(subject, shape, 71);
      for (Mask mask : Runs.masks(subject, shape)) {
        if (mask.hasKeyPadding()) {
          Tensor before = Runs.run(attention, shape, mask, 1, inputs).get("out");
          for (float poison : new float[] {Float.NaN, Float.NEGATIVE_INFINITY, 1e30f}) {
            requirePaddingHides(subject, shape, mask, axes, inputs, before, poison, false);
            if (shape.querySeqLen() == shape.keySeqLen()) {
              requirePaddingHides(subject, shape, mask, axes, inputs, before, poison, true);
            }
          }
        }
      }
    }
  }

  /// Poisons padded keys and values (every row must stay, or every real one where padded rows read
  /// their own value), or all padded tokens, queries included
  /// (rows at real positions must stay).
  private static void requirePaddingHides(
      ContractSubject subject,
      AttentionShape shape,
      Mask mask,
      Axes axes,
      Tensors inputs,
      Tensor before,
      float poison,
      boolean wholeToken) {
    Mask.KeyPadding padding = mask.padding();
    Tensors mixed = inputs;
    for (int t = 0; t < inputs.size(); t++) {
      String name = inputs.name(t);
      boolean keyOrValue = name.matches("[kv](_.*)?") && axes.keyOnly(name);
      if ((wholeToken || keyOrValue) && !subject.readAtPadding().contains(name)) {
        mixed =
            mixed.with(
                name,
                Inputs.mixed(
                    inputs.tensor(t),
                    Inputs.filledLike(inputs.tensor(t), poison),
                    at -> {
                      int b = axes.batch(name, at);
                      return b >= 0
                          && (axes.key(name, at, j -> !padding.isReal(b, j))
                              || (wholeToken && axes.query(name, at, j -> !padding.isReal(b, j))));
                    }));
      }
    }
    Tensor after = Runs.run(subject.attention(), shape, mask, 1, mixed).get("out");
    int width = after.extent(after.rank() - 1);
    int nq = after.extent(after.rank() - 2);
    int perEntry = after.size() / after.extent(0);
    for (int e = 0; e < after.size(); e++) {
      boolean stays = !wholeToken && !subject.paddedRowsReadTheirValue();
      if (stays || padding.isReal(e / perEntry, e / width % nq)) {
        Runs.requireSameBits(
            before.data()[e],
            after.data()[e],
            e,
            Runs.describe(
                subject,
                shape,
                mask,
                "out, padded " + (wholeToken ? "tokens" : "keys and values") + " are " + poison));
      }
    }
  }

  static void paddingEqualsShorter(ContractSubject subject) {
    Attention attention = subject.attention();
    if (attention.capabilities().keyPadding() == Padding.NONE) {
      return;
    }
    int n = Runs.middleLength(subject);
    for (int real : Runs.lengths(subject)) {
      if (real > 0 && real <= n) {
        AttentionShape longer = subject.shape(n);
        AttentionShape shorter = subject.shape(real);
        int[] lengths = new int[longer.batchSize()];
        Arrays.fill(lengths, shorter.keySeqLen());
        Mask.KeyPadding padding = Mask.lengths(longer.keySeqLen(), lengths);
        for (Mask mask : Runs.masks(subject, longer)) {
          if (!mask.hasKeyPadding()) {
            Mask padded = mask.isCausal() ? Mask.both(mask.order(), padding) : padding;
            requireLeadingRows(subject, longer, padded, shorter, mask, "padding at the end");
          }
        }
      }
    }
  }

  static void prefixEqualsShorter(ContractSubject subject) {
    if (subject.attention().capabilities().causal() == Causality.NEVER) {
      return;
    }
    List<Integer> lengths = Runs.lengths(subject);
    AttentionShape longer = subject.shape(lengths.getLast());
    for (int n : lengths) {
      if (n > 0) {
        requireLeadingRows(
            subject, longer, Mask.causal(), subject.shape(n), Mask.causal(), "prefix");
      }
    }
  }

  private static void requireLeadingRows(
      ContractSubject subject,
      AttentionShape longer,
      Mask longerMask,
      AttentionShape shorter,
      Mask shorterMask,
      String what) {
    Attention attention = subject.attention();
    Tensors inputs = Inputs.withParameters(attention, longer, Runs.inputs(subject, longer, 81));
    Tensor whole = Runs.run(attention, longer, longerMask, 1, inputs).get("out");
    Tensors leading = Runs.leading(attention, shorter, inputs);
    Tensor out = Runs.run(attention, shorter, shorterMask, 1, leading).get("out");
    Runs.requireClose(
        Runs.toDoubles(Inputs.leading(whole, out.shape())),
        out,
        subject.tolerance(),
        Runs.describe(subject, longer, longerMask, what + " against " + shorter));
  }

  static void groupedQueries(ContractSubject subject) {
    Attention attention = subject.attention();
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    if (!attention.capabilities().groupedQueries() || shape.numHeads() < 2) {
      return;
    }
    requireGrouped(subject, shape.withKeyValueHeads(1));
    AttentionShape twice =
        shape
            .withBatchAndHeads(shape.batchSize(), 2 * shape.numHeads())
            .withKeyValueHeads(shape.numHeads());
    try {
      attention.plan(twice, Runs.plainMask(subject), 1);
    } catch (IllegalArgumentException fixedHeads) {
      return;
    }
    requireGrouped(subject, twice);
  }

  private static void requireGrouped(ContractSubject subject, AttentionShape grouped) {
    Attention attention = subject.attention();
    AttentionShape repeated = grouped.withKeyValueHeads(grouped.numHeads());
    Tensors inputs = Inputs.withParameters(attention, grouped, Runs.inputs(subject, grouped, 91));
    Tensors own = Tensors.NONE;
    for (TensorSpec spec : attention.inputs(repeated)) {
      if (inputs.has(spec.name())) {
        Tensor tensor = inputs.get(spec.name());
        int sharing = spec.dimension(Axis.KEY_VALUE_HEADS);
        if (sharing >= 0) {
          tensor = Inputs.repeated(tensor, sharing, grouped.groupSize());
        }
        own = own.with(spec.name(), tensor);
      }
    }
    for (Mask mask : Runs.masks(subject, grouped)) {
      Tensor expected = Runs.run(attention, repeated, mask, 1, own).get("out");
      Tensor out = Runs.run(attention, grouped, mask, 1, inputs).get("out");
      Runs.requireClose(
          Runs.toDoubles(expected),
          out,
          subject.tolerance(),
          Runs.describe(subject, grouped, mask, "grouped queries"));
    }
  }
}
