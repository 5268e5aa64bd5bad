// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/// A shape, mask and thread count that have been checked against a mechanism's capabilities.
///
/// @param attention the mechanism
/// @param shape sizes
/// @param mask which keys each query may see
/// @param threads number of threads, at least 1
/// @param executor where threads beyond the caller's run; a shared pool when absent
public record PlanRequest(
    Attention attention,
    AttentionShape shape,
    Mask mask,
    int threads,
    @Nullable Executor executor) {

  /// A request that runs on the shared pool.
  public PlanRequest(Attention attention, AttentionShape shape, Mask mask, int threads) {
    this(attention, shape, mask, threads, null);
  }

  /// The same request on a caller's executor.
  public PlanRequest on(@Nullable Executor newExecutor) {
    return new PlanRequest(attention, shape, mask, threads, newExecutor);
  }

  /// Threads for one more part of a plan.
  public Workers workers() {
    return new Workers(threads, executor);
  }

  /// Checks a request; every refusal names the mechanism and the rule.
  ///
  /// @throws IllegalArgumentException if the request is outside the capabilities
  public static PlanRequest checked(
      Attention attention, AttentionShape shape, Mask mask, int threads) {
    String name = attention.name();
    Capabilities can = attention.capabilities();
    require(threads >= 1, name, "threads must be >= 1", threads);
    require(
        !mask.isCausal() || can.causal() != Causality.NEVER,
        name,
        "mask must not be causal (the mechanism mixes future positions)",
        mask.label());
    require(
        mask.isCausal() || can.causal() != Causality.ALWAYS,
        name,
        "mask must be causal (the mechanism is causal by construction)",
        mask.label());
    if (mask.hasKeyPadding()) {
      Mask.KeyPadding padding = mask.padding();
      require(can.keyPadding() != Padding.NONE, name, "mask must not pad keys", mask.label());
      require(
          can.keyPadding() == Padding.ANY || padding.isAtEnd(),
          name,
          "key padding must follow all real keys",
          "padding among them");
      require(
          padding.batchSize() == shape.batchSize(),
          name,
          "key padding must cover batchSize (" + shape.batchSize() + ") entries",
          padding.batchSize());
      require(
          padding.keySeqLen() == shape.keySeqLen(),
          name,
          "key padding must cover keySeqLen (" + shape.keySeqLen() + ") positions",
          padding.keySeqLen());
    }
    require(
        can.crossAttention() || shape.querySeqLen() == shape.keySeqLen(),
        name,
        "keySeqLen must equal querySeqLen (" + shape.querySeqLen() + ")",
        shape.keySeqLen());
    require(
        can.groupedQueries() || shape.numKeyValueHeads() == shape.numHeads(),
        name,
        "numKeyValueHeads must equal numHeads (" + shape.numHeads() + ")",
        shape.numKeyValueHeads());
    require(
        can.keyDim() || shape.keyDim() == shape.headDim(),
        name,
        "keyDim must equal headDim (" + shape.headDim() + ")",
        shape.keyDim());
    require(
        can.valueDim() || shape.valueDim() == shape.headDim(),
        name,
        "valueDim must equal headDim (" + shape.headDim() + ")",
        shape.valueDim());
    return new PlanRequest(attention, shape, mask, threads);
  }

  private static void require(boolean holds, String mechanism, String rule, Object value) {
    if (!holds) {
      throw new IllegalArgumentException(mechanism + ": " + rule + ", but was " + value);
    }
  }
}
