// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.TokenSlices;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;

/// Checks of decoding sessions.
final class DecodeChecks {
  private DecodeChecks() {}

  static void equalsWhole(ContractSubject subject) {
    Attention attention = subject.attention();
    if (!attention.capabilities().decoding()) {
      return;
    }
    for (int n : Runs.lengths(subject)) {
      AttentionShape shape = subject.shape(n);
      if (n > 0 && shape.querySeqLen() == shape.keySeqLen()) {
        Tensors inputs = perToken(attention, shape, 101);
        Tensor whole = Runs.run(attention, shape, Mask.causal(), 1, inputs).get("out");
        DecodeSession session = attention.decode(shape);
        requireSteps(subject, session, shape, inputs, whole, 0, "decoding");
        session.reset();
        int prefix = n / 2;
        session.prefill(tokens(attention, shape, inputs, 0, prefix));
        requireSteps(subject, session, shape, inputs, whole, prefix, "decoding after prefill");
        session.reset();
        session.prefill(tokens(attention, shape, inputs, 0, prefix / 2));
        session.prefill(tokens(attention, shape, inputs, prefix / 2, prefix));
        requireSteps(subject, session, shape, inputs, whole, prefix, "decoding after prefills");
      }
    }
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    if (attention.capabilities().groupedQueries() && shape.numHeads() > 1) {
      AttentionShape grouped = shape.withKeyValueHeads(1);
      Tensors inputs = perToken(attention, grouped, 102);
      Tensor whole = Runs.run(attention, grouped, Mask.causal(), 1, inputs).get("out");
      requireSteps(
          subject, attention.decode(grouped), grouped, inputs, whole, 0, "grouped decoding");
    }
  }

  private static void requireSteps(
      ContractSubject subject,
      DecodeSession session,
      AttentionShape shape,
      Tensors inputs,
      Tensor whole,
      int from,
      String what) {
    for (int t = from; t < shape.querySeqLen(); t++) {
      Tensor out = step(subject.attention(), session, shape, inputs, t);
      int[] sizes = whole.shape();
      int[] start = new int[sizes.length];
      start[sizes.length - 2] = t;
      sizes[sizes.length - 2] = 1;
      Runs.requireClose(
          Runs.toDoubles(Inputs.block(whole, start, sizes)),
          out,
          subject.tolerance(),
          subject.attention() + " on " + shape + ": " + what + ", token " + t);
    }
  }

  static void sessionState(ContractSubject subject) {
    Attention attention = subject.attention();
    if (!attention.capabilities().decoding()) {
      return;
    }
    AttentionShape shape = subject.shape(Runs.middleLength(subject));
    if (shape.querySeqLen() != shape.keySeqLen()) {
      return;
    }
    int n = shape.querySeqLen();
    Tensors inputs = perToken(attention, shape, 103);
    DecodeSession session = attention.decode(shape);
    long[] bytes = new long[n + 1];
    Tensor[] outs = new Tensor[n];
    for (int t = 0; t < n; t++) {
      bytes[t] = session.stateBytes();
      require(session.position() == t, attention + ": position must be " + t);
      outs[t] = step(attention, session, shape, inputs, t);
    }
    bytes[n] = session.stateBytes();
    for (int t = 0; t < n; t++) {
      require(
          bytes[t] >= 0 && bytes[t + 1] >= bytes[t],
          attention + ": stateBytes must not shrink, but was " + List.of(bytes[t], bytes[t + 1]));
    }
    try {
      step(attention, session, shape, inputs, 0);
      throw new AssertionError(attention + ": a full session must refuse another token");
    } catch (IllegalStateException full) {
      require(session.position() == n, attention + ": a refused token must not count");
    }
    session.reset();
    require(session.position() == 0, attention + ": position after reset must be 0");
    require(
        session.stateBytes() == bytes[0], attention + ": stateBytes after reset must be as new");
    try {
      session.prefill(tooMany(attention, shape, n + 1));
      throw new AssertionError(attention + ": a prefill beyond the capacity must be refused");
    } catch (IllegalStateException | IllegalArgumentException full) {
      session.reset();
    }
    requireSameSteps(attention, session, shape, inputs, outs, "after reset");
    require(session.stateBytes() == bytes[n], attention + ": stateBytes must repeat");

    session.reset();
    step(attention, session, shape, poisoned(inputs), 0);
    session.reset();
    requireSameSteps(attention, session, shape, inputs, outs, "after a NaN token and reset");
    DecodeSession threaded = attention.decode(shape, 2);
    requireSameSteps(attention, threaded, shape, inputs, outs, "with two threads");
    requireRefusalKeepsState(attention, shape, inputs, outs);
  }

  private static void requireSameSteps(
      Attention attention,
      DecodeSession session,
      AttentionShape shape,
      Tensors inputs,
      Tensor[] outs,
      String what) {
    for (int t = 0; t < outs.length; t++) {
      Runs.requireSameBits(
          outs[t],
          step(attention, session, shape, inputs, t),
          attention + ": token " + t + " " + what);
    }
  }

  private static void requireRefusalKeepsState(
      Attention attention, AttentionShape shape, Tensors inputs, Tensor[] outs) {
    DecodeSession session = attention.decode(shape);
    for (int t = 0; t < outs.length; t++) {
      Tensor wrong = Tensor.zeros(1, 1);
      Tensors token = tokens(attention, shape, inputs, t, t + 1);
      RefusalChecks.requireRefused("output", "wrong output", () -> session.step(token, wrong));
      String first = token.name(0);
      Tensors misshapen = token.with(first, wrong);
      RefusalChecks.requireRefused(
          first, "wrong " + first, () -> session.step(misshapen, outs[0].copy()));
      require(session.position() == t, attention + ": a refused token must not count");
      Runs.requireSameBits(
          outs[t],
          step(attention, session, shape, inputs, t),
          attention + ": token " + t + " after refused ones");
    }
  }

  private static Tensors poisoned(Tensors inputs) {
    Tensors poisoned = Tensors.NONE;
    for (int t = 0; t < inputs.size(); t++) {
      poisoned = poisoned.with(inputs.name(t), Inputs.filledLike(inputs.tensor(t), Float.NaN));
    }
    return poisoned;
  }

  private static Tensors tooMany(Attention attention, AttentionShape shape, int n) {
    return perToken(attention, shape.withSeqLens(n, n), 104);
  }

  private static Tensors perToken(Attention attention, AttentionShape shape, long seed) {
    return Inputs.withParameters(attention, shape, Inputs.of(attention, shape, seed));
  }

  private static Tensor step(
      Attention attention, DecodeSession session, AttentionShape shape, Tensors inputs, int token) {
    Tensor out = Runs.nan(attention.outputShape(shape.withSeqLens(1, 1)));
    session.step(tokens(attention, shape, inputs, token, token + 1), out);
    return out;
  }

  /// The per-token inputs of tokens `from` to `to - 1`, and all parameters.
  private static Tensors tokens(
      Attention attention, AttentionShape shape, Tensors inputs, int from, int to) {
    return new TokenSlices(attention, shape, inputs).range(from, to);
  }

  private static void require(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }
}
