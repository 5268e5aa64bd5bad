// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Inputs;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Decoding with global tokens, which the contract does not reach because they are optional.
class LongformerDecodeTest {
  private static final List<Longformer> INSTANCES =
      List.of(
          new Longformer(3),
          new Longformer(200),
          new Longformer(2, List.of(3)),
          new Longformer(1, List.of(1, 4, 2, 40)));

  /// Four query heads on two key/value heads, values of their own width.
  private static AttentionShape shape(int n) {
    return AttentionShape.of(2, 4, n, 8).withKeyValueHeads(2).withValueDim(5);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 7, 40, 90})
  void decodingWithGlobalTokensEqualsTheCausalForward(int n) {
    for (Longformer attention : INSTANCES) {
      for (List<String> projections :
          List.of(
              List.<String>of(),
              List.of("q_global", "k_global", "v_global"),
              List.of("k_global"))) {
        Tensors inputs = inputs(attention, n, n, projections);
        Tensor whole = SparseRuns.run(attention, shape(n), Mask.causal(), inputs);
        String what = attention + ", n = " + n + ", " + projections;
        SparseRuns.requireClose(whole, decoded(attention, n, inputs, 0, n), what);
        Tensor prefilled = decoded(attention, n, inputs, n / 2, n);
        SparseRuns.requireClose(from(whole, n / 2), from(prefilled, n / 2), what + ", prefilled");
      }
    }
  }

  @Test
  void thePrefixIsGivenBackOnceNoGlobalTokenMayFollow() {
    int n = 60;
    int prompt = 13;
    for (Longformer attention : INSTANCES) {
      Tensors inputs = inputs(attention, n, prompt, List.of("q_global", "k_global", "v_global"));
      Tensor whole = SparseRuns.run(attention, shape(n), Mask.causal(), inputs);
      SparseRuns.requireClose(
          whole, decoded(attention, n, inputs, 0, prompt), "global tokens in the prompt only");
    }
  }

  @Test
  void stateIsTheWindowTheGlobalTokensAndThePrefixWhileItMayBeNeeded() {
    int n = 60;
    int prompt = 13;
    Longformer attention = new Longformer(2, List.of(3));
    Tensors inputs = inputs(attention, n, prompt, List.of("q_global", "k_global", "v_global"));
    long globals = 0;
    for (float global : inputs.get("global_mask").data()) {
      globals += global == 0 ? 0 : 1;
    }
    assertTrue(globals > 0);
    // two batch entries of two key/value heads; 2 · 3 + 1 positions in the ring
    long row = 2 * (8 + 5) * Float.BYTES;
    DecodeSession session = attention.decode(shape(n));
    assertEquals(0, session.stateBytes());
    session.prefill(tokens(attention, inputs, 0, prompt, true));
    assertEquals(row * (2 * 7 + globals + 2 * prompt), session.stateBytes());
    Tensor out = Tensor.zeros(2, 4, 1, 5);
    for (int t = prompt; t < n; t++) {
      session.step(tokens(attention, inputs, t, t + 1, false), out);
      assertEquals(row * (2 * 7 + globals), session.stateBytes());
    }
    session.reset();
    assertEquals(0, session.stateBytes());
  }

  @Test
  void aGlobalTokenAfterOneThatMayHaveNoneIsRefusedAndChangesNothing() {
    int n = 20;
    Longformer attention = new Longformer(3);
    Tensors inputs = inputs(attention, n, n, List.of("k_global"));
    DecodeSession session = attention.decode(shape(n));
    DecodeSession undisturbed = attention.decode(shape(n));
    Tensor out = Tensor.zeros(2, 4, 1, 5);
    Tensor expected = Tensor.zeros(2, 4, 1, 5);
    for (int t = 0; t < n; t++) {
      boolean masked = t < 7;
      if (t > 0) {
        Tensors wrong =
            masked
                ? without(tokens(attention, inputs, t, t + 1, true), "k_global")
                : tokens(attention, inputs, t, t + 1, true);
        if (t != 7) {
          var error = assertThrows(IllegalArgumentException.class, () -> session.step(wrong, out));
          assertTrue(error.getMessage().contains(masked ? "k_global" : "global_mask"));
          assertThrows(IllegalArgumentException.class, () -> session.prefill(wrong));
        }
      }
      session.step(tokens(attention, inputs, t, t + 1, masked), out);
      undisturbed.step(tokens(attention, inputs, t, t + 1, masked), expected);
      assertArrayEquals(expected.data(), out.data(), "token " + t);
      assertEquals(t + 1, session.position());
    }
  }

  @Test
  void threadsAndReusedSessionsGiveTheSameBits() {
    int n = 50;
    Longformer attention = new Longformer(1, List.of(1, 4, 2, 40));
    Tensors inputs = inputs(attention, n, n, List.of("q_global", "k_global", "v_global"));
    Tensor one = decoded(attention, n, inputs, 0, n);
    DecodeSession session = attention.decode(shape(n), 2);
    Tensors poison = Tensors.NONE;
    Tensors first = tokens(attention, inputs, 0, 1, true);
    for (int t = 0; t < first.size(); t++) {
      poison = poison.with(first.name(t), Inputs.filledLike(first.tensor(t), Float.NaN));
    }
    session.step(poison, Tensor.zeros(2, 4, 1, 5));
    session.reset();
    assertArrayEquals(one.data(), stepped(session, attention, n, inputs, 0, n).data());
  }

  /// Inputs with scattered global tokens among the first `limit`; the first batch entry has none
  /// before its fifth.
  private static Tensors inputs(Longformer attention, int n, int limit, List<String> projections) {
    AttentionShape shape = shape(n);
    Tensors inputs = Inputs.of(attention, shape, 31 + n, projections);
    Tensor mask = Tensor.zeros(2, n);
    var generator = Draws.generator(n + limit);
    for (int j = 0; j < limit; j++) {
      mask.data()[j] = j > 3 && generator.nextInt(4) == 0 ? 1 : 0;
      mask.data()[n + j] = generator.nextInt(3) == 0 ? 1 : 0;
    }
    mask.data()[n] = 1;
    return inputs.with("global_mask", mask);
  }

  /// Outputs of a session that takes `prefix` tokens together and gets `global_mask` with the first
  /// `masked` ones only.
  private static Tensor decoded(
      Longformer attention, int n, Tensors inputs, int prefix, int masked) {
    return stepped(attention.decode(shape(n)), attention, n, inputs, prefix, masked);
  }

  private static Tensor stepped(
      DecodeSession session, Longformer attention, int n, Tensors inputs, int prefix, int masked) {
    Tensor all = Tensor.zeros(2, 4, n, 5);
    Tensor out = Tensor.zeros(2, 4, 1, 5);
    session.prefill(tokens(attention, inputs, 0, prefix, true));
    for (int t = prefix; t < n; t++) {
      session.step(tokens(attention, inputs, t, t + 1, t < masked), out);
      for (int h = 0; h < 8; h++) {
        System.arraycopy(out.data(), h * 5, all.data(), (h * n + t) * 5, 5);
      }
    }
    return all;
  }

  private static Tensor from(Tensor all, int token) {
    int n = all.extent(2);
    return Inputs.block(all, new int[] {0, 0, token, 0}, new int[] {2, 4, n - token, 5});
  }

  private static Tensors tokens(
      Longformer attention, Tensors inputs, int from, int to, boolean masked) {
    Tensors result = Tensors.NONE;
    for (TensorSpec spec : attention.inputs(shape(to - from))) {
      String name = spec.name();
      if (inputs.has(name) && (masked || !name.equals("global_mask"))) {
        int[] start = new int[inputs.get(name).rank()];
        start[start.length == 2 ? 1 : 2] = from;
        result = result.with(name, Inputs.block(inputs.get(name), start, spec.shape().toArray()));
      }
    }
    return result;
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
