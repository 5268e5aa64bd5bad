// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism;
import java.util.List;
import java.util.Map;

/// A mechanism and what a contract check must know about it.
public interface ContractSubject {

  /// The expected output of a mechanism, computed in double precision by the test.
  @FunctionalInterface
  interface Reference {
    /// @param attention the instance under test
    /// @param shape sizes
    /// @param mask which keys each query may see
    /// @param inputs what the mechanism reads, drawn parameters included
    /// @return the output, row-major; an empty array when there is no expectation for this case
    double[] out(Attention attention, AttentionShape shape, Mask mask, Tensors inputs);
  }

  /// No expectation.
  Reference NONE = (_, _, _, _) -> new double[0];

  /// Exact softmax attention on the mechanism's own [Attention#exactTarget], with a `bias` if
  /// given.
  Reference EXACT =
      (attention, shape, mask, inputs) -> {
        ExactTarget exact = attention.exactTarget(shape, mask, inputs);
        return Oracle.softmax(
            exact.shape(),
            exact.mask(),
            exact.query(),
            exact.key(),
            exact.value(),
            exact.scale(),
            inputs.has("bias") ? inputs.get("bias") : null);
      };

  /// The mechanism, with parameters small enough that short sequences have many blocks.
  Attention attention();

  /// A shape for a sequence length: two batch entries, two heads, width 8 unless overridden.
  default AttentionShape shape(int n) {
    return AttentionShape.of(2, 2, n, 8);
  }

  /// Whether the mechanism takes these lengths; where false it must refuse them by name.
  default boolean acceptsLengths(int querySeqLen, int keySeqLen) {
    return querySeqLen == keySeqLen || attention().capabilities().crossAttention();
  }

  /// Lengths at which the implementation's blocks end.
  default int[] blockBorders() {
    return new int[] {16, 64};
  }

  /// Head widths that are no multiple of a vector; one that the mechanism cannot take is left out
  /// here.
  default int[] headDims() {
    return new int[] {1, 3, 7, 20, 33};
  }

  /// Largest `|a − b| / (1 + largest |b| of the row)` between two ways to the same answer in
  /// float32.
  default double tolerance() {
    return 2e-5;
  }

  /// The expected output: exact attention for the exact baselines, none for the others unless
  /// overridden.
  default Reference reference() {
    Mechanism mechanism = attention().getClass().getAnnotation(Mechanism.class);
    boolean exact = mechanism != null && mechanism.approximates() == Mechanism.Approximates.EXACT;
    return exact ? EXACT : NONE;
  }

  /// The expected output whose central differences the gradients are compared with, where it is not
  /// [#reference]: discrete choices (selected keys, buckets) may be made anew for every call, as
  /// steps are shortened until they do not change them.
  default Reference gradientReference() {
    return reference();
  }

  /// The expected extra results, by name, from which gradients are to flow in the comparison with
  /// central differences.
  default Map<String, Reference> resultReferences() {
    return Map.of();
  }

  /// Largest `|a − b| / (1 + largest |b| of the tensor)` of gradients in float32.
  default double gradientTolerance() {
    return tolerance();
  }

  /// Whether a row at a padded position takes in that position's own value, past attention: a skip.
  default boolean paddedRowsReadTheirValue() {
    return false;
  }

  /// Inputs per token that count at padded positions too: a gate that goes on forgetting.
  default List<String> readAtPadding() {
    return List.of();
  }

  /// Optional inputs that the checks switch on, all together, in a second round; the reference must
  /// know them. When this is empty all optional inputs are switched on, and the reference is not
  /// asked.
  default List<String> optionalInputs() {
    return List.of();
  }

  /// Rounds after which a pass that still allocates counts as allocating: vector code
  /// allocates until it has been compiled.
  default int allocationRounds() {
    return 20_000;
  }

  /// Inputs that are scaled up to reach huge scores.
  default List<String> scoredInputs() {
    return List.of("q", "k", "qk", "q_global", "k_global");
  }

  /// Claims the mechanism does not keep, each with the reason its specification gives.
  default Map<Claim, String> exemptions() {
    return Map.of();
  }
}
