// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.testing.FaultyGradients.Fault;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Each check of gradients fails on a backward pass broken on purpose, and passes on the sound one.
class GradientChecksCanFailTest {

  private record Subject(Attention attention) implements ContractSubject {
    @Override
    public Reference reference() {
      return EXACT;
    }

    @Override
    public int[] blockBorders() {
      return new int[] {8, 16};
    }

    /// There are no vectors to wait for.
    @Override
    public int allocationRounds() {
      return 60;
    }
  }

  @ParameterizedTest
  @EnumSource
  void soundGradientsKeepTheClaim(Claim claim) {
    if (claim.isAboutGradients()) {
      claim.check(new Subject(new FaultyGradients(Fault.NOTHING)));
    }
  }

  @ParameterizedTest
  @EnumSource
  void someFaultBreaksTheClaim(Claim claim) {
    assertTrue(
        !claim.isAboutGradients()
            || Arrays.stream(Fault.values()).anyMatch(fault -> fault.breaks(claim)),
        claim + " must be broken by a fault");
  }

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NOTHING")
  void faultIsFound(Fault fault) {
    Subject subject = new Subject(new FaultyGradients(fault));
    for (Claim claim : Claim.values()) {
      if (fault.breaks(claim)) {
        assertThrows(AssertionError.class, () -> claim.check(subject), fault + " breaks " + claim);
      }
    }
  }
}
