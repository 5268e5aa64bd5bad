// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.testing.FaultyAttention.Fault;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Each check of the contract fails on a mechanism broken on purpose, and passes on the sound one.
class ContractChecksCanFailTest {

  private record Subject(Attention attention) implements ContractSubject {
    @Override
    public Reference reference() {
      return EXACT;
    }

    /// There are no vectors to wait for.
    @Override
    public int allocationRounds() {
      return 60;
    }
  }

  @ParameterizedTest
  @EnumSource
  void soundMechanismKeepsTheClaim(Claim claim) {
    claim.check(new Subject(new FaultyAttention(Fault.NOTHING)));
  }

  @ParameterizedTest
  @EnumSource
  void someFaultBreaksTheClaim(Claim claim) {
    assertTrue(
        claim.isAboutGradients()
            || Arrays.stream(Fault.values()).anyMatch(fault -> fault.breaks(claim)),
        claim + " must be broken by a fault");
  }

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NOTHING")
  void faultIsFound(Fault fault) {
    Subject subject = new Subject(new FaultyAttention(fault));
    for (Claim claim : Claim.values()) {
      if (fault.breaks(claim)) {
        assertThrows(AssertionError.class, () -> claim.check(subject), fault + " breaks " + claim);
      }
    }
  }
}
