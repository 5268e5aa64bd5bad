// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import java.util.function.Consumer;

/// What every mechanism keeps, and the check of it.
///
/// A check takes any subject and throws [AssertionError] where the claim is broken, so that it can
/// be run on mechanisms broken on purpose too.
public enum Claim {
  /// A dimension that grows with the sequence or the batch is named for what runs along it.
  AXES_NAMED(ContractChecks::namedAxes),
  /// Missing, unknown and misshapen tensors are refused by name.
  BAD_TENSORS_REFUSED(RefusalChecks::badTensors),
  /// Masks, lengths, heads and widths beyond the capabilities are refused by name.
  BEYOND_CAPABILITIES_REFUSED(RefusalChecks::beyondCapabilities),
  /// An output that shares storage with an input is refused.
  ALIASING_REFUSED(RefusalChecks::aliasing),
  /// Lengths 0 and 1, and lengths around every block border, work under every mask.
  EVERY_LENGTH_WORKS(ContractChecks::everyLength),
  /// The output agrees with a double-precision expectation, where the test supplies one.
  AGREES_WITH_REFERENCE(ContractChecks::reference),
  /// Any head width works.
  ODD_WIDTHS_WORK(ContractChecks::oddWidths),
  /// A column of the output depends on that column of the values only.
  VALUE_COLUMNS_INDEPENDENT(ContractChecks::valueColumns),
  /// A batch entry's output does not depend on the others, bit for bit.
  BATCH_INDEPENDENT(ContractChecks::batchIndependence),
  /// A head's output does not depend on the others, bit for bit.
  HEADS_INDEPENDENT(ContractChecks::headIndependence),
  /// 1, 2 and 3 threads give the same bits.
  THREADS_SAME_BITS(ContractChecks::threads),
  /// A second call gives the same bits, whatever was computed in between.
  REPEATABLE(ContractChecks::repeatable),
  /// Two plans may run at the same time.
  PLANS_CONCURRENT(ContractChecks::concurrentPlans),
  /// Inputs are unchanged afterwards.
  INPUTS_UNTOUCHED(ContractChecks::inputsUntouched),
  /// Scores of ±1e4 give finite outputs.
  HUGE_SCORES_FINITE(ContractChecks::hugeScores),
  /// A plan allocates exactly the declared scratch.
  SCRATCH_DECLARED(ResourceChecks::scratch),
  /// A forward pass allocates nothing in steady state.
  NO_ALLOCATION(ResourceChecks::noAllocation),
  /// Shared key/value heads equal repeated ones.
  GROUPED_EQUALS_REPEATED(MaskChecks::groupedQueries),
  /// A row that may see no key is zero.
  EMPTY_ROWS_ZERO(MaskChecks::emptyRows),
  /// Rows at padded positions are zero or computed, as declared.
  PADDED_QUERY_ROWS(MaskChecks::paddedQueryRows),
  /// An explicit causal offset is honoured, or refused by name.
  CAUSAL_OFFSETS_HONOURED(MaskChecks::causalOffsets),
  /// Causal rows do not change, bit for bit, when later tokens do.
  LATER_TOKENS_IGNORED(MaskChecks::laterTokens),
  /// Not even when later tokens hold NaN or infinity.
  NAN_BEHIND_CAUSAL_ORDER(MaskChecks::nanBehindCausalOrder),
  /// Padded keys, values and per-token inputs never reach an output, not even as NaN.
  NAN_BEHIND_PADDING(MaskChecks::nanBehindPadding),
  /// Padding at the end equals the shortened sequence.
  PADDING_EQUALS_SHORTER(MaskChecks::paddingEqualsShorter),
  /// The first causal rows of a long sequence equal a short sequence.
  PREFIX_EQUALS_SHORTER(MaskChecks::prefixEqualsShorter),
  /// Decoding token by token, after a prefill or not, equals the whole sequence.
  DECODING_EQUALS_WHOLE(DecodeChecks::equalsWhole),
  /// Sessions can be reset, count their positions and state, and refuse to overflow.
  SESSION_KEEPS_COUNT(DecodeChecks::sessionState),
  /// Gradients agree with central differences of a double-precision expectation.
  GRADIENTS_MATCH_DIFFERENCES(GradientDifferences::check),
  /// A differentiable plan computes what a plain one does.
  GRADIENT_FORWARD_EQUALS_PLAIN(GradientChecks::forward),
  /// Gradients are finite at lengths 0 and 1, around block borders, for any width and mask.
  GRADIENTS_AT_EVERY_LENGTH(GradientChecks::everyLength),
  /// Scores of ±1e4 give finite gradients.
  GRADIENTS_OF_HUGE_SCORES_FINITE(GradientChecks::hugeScores),
  /// 1, 2 and 3 threads give the same bits.
  GRADIENTS_SAME_BITS_FOR_THREADS(GradientChecks::threads),
  /// A second call gives the same bits, whatever came in between and whichever gradients are asked
  /// for.
  GRADIENTS_REPEATABLE(GradientChecks::repeatable),
  /// Accumulating adds.
  GRADIENTS_ACCUMULATE(GradientChecks::accumulate),
  /// The backward pass changes neither inputs, nor outputs, nor upstream gradients.
  GRADIENTS_LEAVE_INPUTS_ALONE(GradientChecks::inputsUntouched),
  /// NaN of later tokens reaches no earlier query's gradient, NaN of earlier queries and of their
  /// upstream gradients reaches no later token's.
  GRADIENTS_NAN_BEHIND_CAUSAL_ORDER(GradientMaskChecks::nanBehindCausalOrder),
  /// Padded keys and values reach no gradient, not even as NaN.
  GRADIENTS_NAN_BEHIND_PADDING(GradientMaskChecks::nanBehindPadding),
  /// What no row sees has gradients of exactly zero, and a row that sees nothing sends none.
  UNUSED_GRADIENTS_ZERO(GradientMaskChecks::unused),
  /// A differentiable plan keeps and allocates exactly the declared bytes.
  GRADIENT_COST_DECLARED(ResourceChecks::gradientCost),
  /// Forward and backward passes allocate nothing in steady state.
  GRADIENTS_ALLOCATE_NOTHING(ResourceChecks::noGradientAllocation),
  /// Unknown and misshapen gradients are refused by name, and so is differentiating what cannot be.
  BAD_GRADIENTS_REFUSED(RefusalChecks::badGradients),
  /// A gradient that shares storage with another tensor is refused.
  GRADIENT_ALIASING_REFUSED(RefusalChecks::gradientAliasing),
  /// A backward pass without a forward pass is refused.
  BACKWARD_BEFORE_FORWARD_REFUSED(RefusalChecks::backwardBeforeForward);

  private final Consumer<ContractSubject> check;

  Claim(Consumer<ContractSubject> check) {
    this.check = check;
  }

  /// Whether the claim says nothing, or something else, when optional inputs are on: an initial
  /// state fills rows that see no key, and a session takes none.
  boolean isAboutPlainInputs() {
    return switch (this) {
      case AXES_NAMED,
          BEYOND_CAPABILITIES_REFUSED,
          SCRATCH_DECLARED,
          EMPTY_ROWS_ZERO,
          PADDED_QUERY_ROWS,
          DECODING_EQUALS_WHOLE,
          SESSION_KEEPS_COUNT,
          UNUSED_GRADIENTS_ZERO,
          GRADIENT_COST_DECLARED ->
          true;
      default -> false;
    };
  }

  /// Whether the claim is about backward passes.
  boolean isAboutGradients() {
    return compareTo(GRADIENTS_MATCH_DIFFERENCES) >= 0;
  }

  /// Checks the claim.
  ///
  /// @throws AssertionError where it is broken
  public void check(ContractSubject subject) {
    try {
      check.accept(subject);
    } catch (IllegalArgumentException | IllegalStateException | IndexOutOfBoundsException e) {
      throw new AssertionError(name() + " of " + subject.attention() + ": " + e, e);
    }
  }
}
