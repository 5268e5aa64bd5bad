// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.List;
import java.util.function.ToDoubleFunction;

/// Which settings are worth looking at: those no other setting beats in both quantities.
public final class Pareto {
  private Pareto() {}

  /// The items that are not dominated, by ascending cost. An item is dominated when another is no
  /// worse in both quantities and better in one; equal items stay together. Items with NaN never
  /// appear.
  ///
  /// @param items the candidates
  /// @param cost time or bytes, smaller is better
  /// @param error smaller is better
  public static <T> List<T> front(
      List<T> items, ToDoubleFunction<T> cost, ToDoubleFunction<T> error) {
    return items.stream()
        .filter(i -> !Double.isNaN(cost.applyAsDouble(i)) && !Double.isNaN(error.applyAsDouble(i)))
        .filter(i -> items.stream().noneMatch(other -> dominates(other, i, cost, error)))
        .sorted(
            (a, b) -> {
              int byCost = Double.compare(cost.applyAsDouble(a), cost.applyAsDouble(b));
              return byCost != 0
                  ? byCost
                  : Double.compare(error.applyAsDouble(a), error.applyAsDouble(b));
            })
        .toList();
  }

  private static <T> boolean dominates(
      T a, T b, ToDoubleFunction<T> cost, ToDoubleFunction<T> error) {
    double costA = cost.applyAsDouble(a);
    double costB = cost.applyAsDouble(b);
    double errorA = error.applyAsDouble(a);
    double errorB = error.applyAsDouble(b);
    return costA <= costB && errorA <= errorB && (costA < costB || errorA < errorB);
  }
}
