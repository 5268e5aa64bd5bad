// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TensorSpec;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/// The contract every mechanism keeps, as tests: a mechanism's test class extends this one.
///
/// ```java
/// class LocalTest extends AttentionContract {
///   @Override
///   public Attention attention() {
///     return new Local(3);
///   }
/// }
/// ```
///
/// Choose parameters so small that sequences of about 16 have many blocks. What the checks must
/// know beyond the mechanism is in the hooks of [ContractSubject]; a claim a specification
/// contradicts is named, with the reason, in [#exemptions] and shows as skipped.
public abstract class AttentionContract implements ContractSubject {

  /// All settings the contract is checked for: by default [#attention] alone.
  public List<Attention> instances() {
    return List.of(attention());
  }

  @Test
  void missingUnknownAndMisshapenTensorsAreRefusedByName() {
    check(Claim.BAD_TENSORS_REFUSED);
  }

  @Test
  void whatIsBeyondTheCapabilitiesIsRefusedByName() {
    check(Claim.BEYOND_CAPABILITIES_REFUSED);
  }

  @Test
  void outputSharingStorageWithAnInputIsRefused() {
    check(Claim.ALIASING_REFUSED);
  }

  @Test
  void everyLengthAroundBlockBordersWritesEveryElement() {
    check(Claim.EVERY_LENGTH_WORKS);
  }

  @Test
  void outputAgreesWithTheDoublePrecisionReference() {
    check(Claim.AGREES_WITH_REFERENCE);
  }

  @Test
  void widthsThatAreNoMultipleOfAVectorWork() {
    check(Claim.ODD_WIDTHS_WORK);
  }

  @Test
  void outputColumnsDependOnTheirValueColumnOnly() {
    check(Claim.VALUE_COLUMNS_INDEPENDENT);
  }

  @Test
  void batchEntriesAreIndependentBitForBit() {
    check(Claim.BATCH_INDEPENDENT);
  }

  @Test
  void headsAreIndependentBitForBit() {
    check(Claim.HEADS_INDEPENDENT);
  }

  @Test
  void anyNumberOfThreadsGivesTheSameBits() {
    check(Claim.THREADS_SAME_BITS);
  }

  @Test
  void secondCallEqualsTheFirstWhateverCameBetween() {
    check(Claim.REPEATABLE);
  }

  @Test
  void twoPlansRunConcurrently() {
    check(Claim.PLANS_CONCURRENT);
  }

  @Test
  void inputsAreUntouched() {
    check(Claim.INPUTS_UNTOUCHED);
  }

  @Test
  void hugeScoresStayFinite() {
    check(Claim.HUGE_SCORES_FINITE);
  }

  @Test
  void scratchAllocatedEqualsScratchDeclared() {
    check(Claim.SCRATCH_DECLARED);
  }

  @Test
  void forwardAllocatesNothingInSteadyState() {
    check(Claim.NO_ALLOCATION);
  }

  @Test
  void groupedQueriesEqualRepeatedKeyValueHeads() {
    check(Claim.GROUPED_EQUALS_REPEATED);
  }

  @Test
  void rowsThatSeeNoKeyAreZero() {
    check(Claim.EMPTY_ROWS_ZERO);
  }

  @Test
  void rowsAtPaddedPositionsAreAsDeclared() {
    check(Claim.PADDED_QUERY_ROWS);
  }

  @Test
  void causalOffsetsAreHonouredOrRefusedByName() {
    check(Claim.CAUSAL_OFFSETS_HONOURED);
  }

  @Test
  void causalRowsDoNotChangeWhenLaterTokensDo() {
    check(Claim.LATER_TOKENS_IGNORED);
  }

  @Test
  void nanInLaterTokensStaysThere() {
    check(Claim.NAN_BEHIND_CAUSAL_ORDER);
  }

  @Test
  void nanInPaddedTokensStaysThere() {
    check(Claim.NAN_BEHIND_PADDING);
  }

  @Test
  void paddingAtTheEndEqualsTheShorterSequence() {
    check(Claim.PADDING_EQUALS_SHORTER);
  }

  @Test
  void causalPrefixEqualsTheShorterSequence() {
    check(Claim.PREFIX_EQUALS_SHORTER);
  }

  @Test
  void decodingEqualsTheWholeSequence() {
    check(Claim.DECODING_EQUALS_WHOLE);
  }

  @Test
  void sessionsCountResetAndRefuseToOverflow() {
    check(Claim.SESSION_KEEPS_COUNT);
  }

  @Test
  void gradientsMatchCentralDifferences() {
    check(Claim.GRADIENTS_MATCH_DIFFERENCES);
  }

  @Test
  void differentiablePlanComputesWhatThePlainOneDoes() {
    check(Claim.GRADIENT_FORWARD_EQUALS_PLAIN);
  }

  @Test
  void gradientsAreFiniteAtEveryLength() {
    check(Claim.GRADIENTS_AT_EVERY_LENGTH);
  }

  @Test
  void gradientsOfHugeScoresStayFinite() {
    check(Claim.GRADIENTS_OF_HUGE_SCORES_FINITE);
  }

  @Test
  void anyNumberOfThreadsGivesTheSameGradients() {
    check(Claim.GRADIENTS_SAME_BITS_FOR_THREADS);
  }

  @Test
  void gradientsAreRepeatable() {
    check(Claim.GRADIENTS_REPEATABLE);
  }

  @Test
  void accumulatingAddsGradients() {
    check(Claim.GRADIENTS_ACCUMULATE);
  }

  @Test
  void backwardPassLeavesItsInputsAlone() {
    check(Claim.GRADIENTS_LEAVE_INPUTS_ALONE);
  }

  @Test
  void nanBehindCausalOrderReachesNoGradient() {
    check(Claim.GRADIENTS_NAN_BEHIND_CAUSAL_ORDER);
  }

  @Test
  void nanBehindPaddingReachesNoGradient() {
    check(Claim.GRADIENTS_NAN_BEHIND_PADDING);
  }

  @Test
  void unusedInputsHaveGradientsOfExactlyZero() {
    check(Claim.UNUSED_GRADIENTS_ZERO);
  }

  @Test
  void gradientCostIsWhatPlansAllocate() {
    check(Claim.GRADIENT_COST_DECLARED);
  }

  @Test
  void backwardAllocatesNothingInSteadyState() {
    check(Claim.GRADIENTS_ALLOCATE_NOTHING);
  }

  @Test
  void badGradientsAreRefusedByName() {
    check(Claim.BAD_GRADIENTS_REFUSED);
  }

  @Test
  void gradientSharingStorageIsRefused() {
    check(Claim.GRADIENT_ALIASING_REFUSED);
  }

  @Test
  void backwardBeforeForwardIsRefused() {
    check(Claim.BACKWARD_BEFORE_FORWARD_REFUSED);
  }

  /// Runs a check on every setting, with its optional inputs off and then all on.
  private void check(Claim claim) {
    String reason = exemptions().get(claim);
    if (reason != null) {
      requireBroken(claim);
      Assumptions.abort(claim + " does not apply: " + reason);
    }
    for (Attention instance : instances()) {
      claim.check(new Instance(this, instance, List.of()));
      List<String> optional = optionalInputs();
      if (optional.isEmpty()) {
        optional = allOptionalInputs(instance);
      }
      if (!optional.isEmpty() && !claim.isAboutPlainInputs()) {
        claim.check(new Instance(this, instance, optional));
      }
    }
  }

  private List<String> allOptionalInputs(Attention instance) {
    AttentionShape shape = shape(Runs.middleLength(new Instance(this, instance, List.of())));
    return instance.inputs(shape).stream()
        .filter(spec -> spec.role() == TensorSpec.Role.OPTIONAL)
        .map(TensorSpec::name)
        .toList();
  }

  private void requireBroken(Claim claim) {
    try {
      for (Attention instance : instances()) {
        claim.check(new Instance(this, instance, List.of()));
      }
    } catch (AssertionError broken) {
      return;
    }
    throw new AssertionError(claim + " is kept: the exemption must go");
  }

  /// One setting under the hooks of the test class.
  private record Instance(AttentionContract test, Attention attention, List<String> optionalInputs)
      implements ContractSubject {
    @Override
    public AttentionShape shape(int n) {
      return test.shape(n);
    }

    @Override
    public boolean acceptsLengths(int querySeqLen, int keySeqLen) {
      return test.acceptsLengths(querySeqLen, keySeqLen);
    }

    @Override
    public int[] blockBorders() {
      return test.blockBorders();
    }

    @Override
    public int[] headDims() {
      return test.headDims();
    }

    @Override
    public double tolerance() {
      return test.tolerance();
    }

    @Override
    public double gradientTolerance() {
      return test.gradientTolerance();
    }

    @Override
    public Reference reference() {
      return knowsInputs() ? test.reference() : NONE;
    }

    @Override
    public Reference gradientReference() {
      return knowsInputs() ? test.gradientReference() : NONE;
    }

    @Override
    public Map<String, Reference> resultReferences() {
      return test.resultReferences();
    }

    private boolean knowsInputs() {
      return optionalInputs.isEmpty() || !test.optionalInputs().isEmpty();
    }

    @Override
    public List<String> readAtPadding() {
      return test.readAtPadding();
    }

    @Override
    public boolean paddedRowsReadTheirValue() {
      return test.paddedRowsReadTheirValue();
    }

    @Override
    public List<String> scoredInputs() {
      return test.scoredInputs();
    }

    @Override
    public Map<Claim, String> exemptions() {
      return test.exemptions();
    }
  }
}
