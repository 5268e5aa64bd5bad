// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.testing.ContractSubject.Reference;
import java.util.Map;
import java.util.function.Function;

/// Gradients of a mechanism on the problems of [RandomCases], each compared with central
/// differences of a double-precision expectation by [GradientDifferences].
public final class RandomGradients {
  private RandomGradients() {}

  /// Compares gradients with differences on random problems.
  ///
  /// @param count number of problems
  /// @param seed seed of all of them
  /// @param tolerance largest `|a − b| / (1 + largest |b| of the tensor)`
  /// @param draw draws one problem
  /// @param expected the output, row-major; an empty array where there is no expectation
  public static void check(
      int count,
      long seed,
      double tolerance,
      Function<RandomCases, RandomCases.Problem> draw,
      Reference expected) {
    check(count, seed, tolerance, draw, expected, Map.of());
  }

  /// Compares gradients with differences on random problems.
  ///
  /// @param results extra results from which gradients are to flow, by name
  public static void check(
      int count,
      long seed,
      double tolerance,
      Function<RandomCases, RandomCases.Problem> draw,
      Reference expected,
      Map<String, Reference> results) {
    int compared = 0;
    for (int i = 0; i < count; i++) {
      long own = Draws.seedFor(seed, "gradient " + i);
      RandomCases random = new RandomCases(own, false);
      RandomCases.Problem problem = draw.apply(random);
      Attention attention = problem.attention();
      AttentionShape shape = problem.shape();
      Mask mask = problem.mask();
      Tensors inputs = problem.change().apply(random.inputs(attention, shape, own));
      try {
        boolean any =
            GradientDifferences.compare(
                attention, shape, mask, inputs, expected, results, tolerance, own);
        compared += any ? 1 : 0;
      } catch (AssertionError | RuntimeException e) {
        throw new AssertionError(
            "gradient " + i + ": " + attention + " on " + shape + ", mask " + mask, e);
      }
    }
    if (2 * compared < count) {
      throw new AssertionError("half of " + count + " must be compared, but were " + compared);
    }
  }
}
