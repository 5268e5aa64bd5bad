// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

/// Decides whether two tokens are independent given others.
@FunctionalInterface
public interface IndependenceTest {
  /// Whether nodes `a` and `b` are independent given a set of others.
  ///
  /// @param given ascending, without `a` and `b`
  boolean independent(int a, int b, int[] given);
}
