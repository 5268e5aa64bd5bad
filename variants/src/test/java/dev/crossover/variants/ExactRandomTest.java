// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.testing.ContractSubject;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomCases.Problem;
import dev.crossover.attention.testing.RandomGradients;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

/// Both exact baselines under every mask, causal offsets among them, with and without a bias.
class ExactRandomTest {

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(200, 1, ExactRandomTest::problem, ContractSubject.EXACT);
  }

  @Test
  void gradientsAgreeWithDifferencesOnRandomProblems() {
    RandomGradients.check(
        80, 2, RandomCases.TOLERANCE, ExactRandomTest::problem, ContractSubject.EXACT);
  }

  private static Problem problem(RandomCases r) {
    OptionalDouble scale =
        r.of(OptionalDouble.empty(), OptionalDouble.of(r.of(1.0, 0.0, -0.5, 3.0)));
    boolean tiled = r.chance(2);
    Problem problem = r.problem(tiled ? new Tiled(scale) : new Materialised(scale));
    AttentionShape shape = problem.shape();
    if (!problem.mask().isCausal() || r.chance(2)) {
      return problem;
    }
    Mask.Causal order = Mask.causal(r.from(-shape.querySeqLen() - 1, shape.keySeqLen() + 1));
    boolean padded = problem.mask().hasKeyPadding();
    return problem.masked(padded ? Mask.both(order, problem.mask().padding()) : order);
  }
}
