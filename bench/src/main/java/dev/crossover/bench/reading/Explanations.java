// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.bench.reading.PdsTree.Candidate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Predicate;
import java.util.stream.IntStream;

/// Sets of tokens that may explain a token, and those of them that do (CLEANN, arXiv:2310.20307;
/// CLEAR, arXiv:2210.10621).
///
/// A set explains a prediction if taking its tokens away changes the prediction; whether it does is
/// a question for a model, asked through a callback. The graph says which sets to try, and in which
/// order: small ones first, near ones before far ones.
///
/// @param candidates all tokens that take part in any set, ascending
/// @param found the sets that explain, in the order found
/// @param asked how often the callback was asked
public record Explanations(List<Integer> candidates, List<Found> found, int asked) {

  /// A set that explains.
  ///
  /// @param tokens ascending
  /// @param cost sum of the tokens' distances to the target along possible separators
  public record Found(List<Integer> tokens, int cost) {}

  /// How far to search.
  ///
  /// @param minimal whether to stop after the first size with a set that explains
  /// @param maxSize largest set
  /// @param maxRange largest distance to the target
  public record Limits(boolean minimal, OptionalInt maxSize, OptionalInt maxRange) {}

  /// The tokens that take part in any set for a target, ascending.
  public static List<Integer> candidates(Pag graph, int target, OptionalInt maxRange) {
    return boxed(tree(graph, target, maxRange).found());
  }

  /// Searches the sets that explain a target.
  ///
  /// @param explains whether taking these tokens away changes the prediction
  /// @throws IllegalArgumentException if the target is no node of the graph
  public static Explanations search(
      Pag graph, int target, Predicate<List<Integer>> explains, Limits limits) {
    PdsTree tree = tree(graph, target, limits.maxRange);
    int[] all = tree.found();
    int largest = Math.min(all.length, limits.maxSize.orElse(all.length));
    List<Found> found = new ArrayList<>();
    int asked = 0;
    for (int size = 1; size <= largest; size++) {
      for (Candidate candidate : tree.byCost(size)) {
        List<Integer> tokens = boxed(candidate.tokens());
        asked++;
        if (explains.test(tokens)) {
          found.add(new Found(tokens, candidate.cost()));
        }
      }
      if (limits.minimal && !found.isEmpty()) {
        break;
      }
    }
    return new Explanations(boxed(all), List.copyOf(found), asked);
  }

  /// The smallest sets that explain, by asking about every set of the other tokens, smallest first:
  /// what a search along the graph is to be compared with.
  ///
  /// @param tokens number of tokens, at most 20
  public static Explanations exhaustive(int tokens, int target, Predicate<List<Integer>> explains) {
    if (tokens > 20) {
      throw new IllegalArgumentException("tokens must be at most 20, but was " + tokens);
    }
    List<Integer> others =
        IntStream.range(0, tokens).filter(token -> token != target).boxed().toList();
    List<Found> found = new ArrayList<>();
    int asked = 0;
    for (int size = 1; size <= others.size() && found.isEmpty(); size++) {
      for (int set = 0; set < 1 << others.size(); set++) {
        if (Integer.bitCount(set) == size) {
          int members = set;
          List<Integer> chosen =
              IntStream.range(0, others.size())
                  .filter(i -> (members >> i & 1) == 1)
                  .mapToObj(others::get)
                  .toList();
          asked++;
          if (explains.test(chosen)) {
            found.add(new Found(chosen, size));
          }
        }
      }
    }
    return new Explanations(others, List.copyOf(found), asked);
  }

  /// The first tokens of an order that together explain; empty when all do not.
  ///
  /// @param order tokens, the most promising first
  public static Optional<Found> firstOf(List<Integer> order, Predicate<List<Integer>> explains) {
    for (int size = 1; size <= order.size(); size++) {
      List<Integer> chosen = order.subList(0, size).stream().sorted().toList();
      if (explains.test(chosen)) {
        return Optional.of(new Found(chosen, size));
      }
    }
    return Optional.empty();
  }

  private static PdsTree tree(Pag graph, int target, OptionalInt maxRange) {
    if (target < 0 || target >= graph.size()) {
      throw new IllegalArgumentException(
          "target must be a token of the graph, 0 to "
              + (graph.size() - 1)
              + ", but was "
              + target);
    }
    boolean[] allowed = new boolean[graph.size()];
    Arrays.fill(allowed, true);
    return new PdsTree(graph, target, maxRange.orElse(graph.size() - 1), allowed);
  }

  private static List<Integer> boxed(int[] tokens) {
    return Arrays.stream(tokens).boxed().toList();
  }
}
