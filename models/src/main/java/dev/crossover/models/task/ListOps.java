// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.commons.rng.UniformRandomProvider;

/// ListOps of the Long Range Arena: nested lists of MIN, MAX, MED and SM (sum modulo 10) of digits;
/// the value of the whole is one of ten classes (Nangia and Bowman 2018; Tay et al., ICLR 2021).
///
/// ```
/// tree(depth): with probability ¼, if depth < max_depth: an operator, 2 … max_args trees, ]
///              otherwise a digit
/// ```
///
/// Kept if min_length < tokens < max_length. Tokens: 0 padding, 1 … 10 digits, 11 [MIN, 12 [MAX, 13
/// [MED, 14 [SM, 15 ].
///
/// @param minLength lower bound of the length, exclusive
/// @param maxLength upper bound of the length, exclusive; also the positions of a sample
/// @param maxDepth largest depth, the root has depth 1
/// @param maxArgs most arguments of an operator
@TaskInfo(
    name = "listops",
    title = "ListOps (Long Range Arena)",
    source = "Tay et al., Long Range Arena, ICLR 2021, arXiv:2011.04006",
    asks = "the value of a nested list, one label per sequence",
    solver = "a stack machine",
    published = {
      "one recipe, %: Transformer 36.37, Local 15.82, Linear Transformer 16.13, Reformer 37.27,"
          + " Sparse 17.07, Sinkhorn 33.67, Linformer 35.70, Performer 18.01, Synthesizer 36.99,"
          + " Longformer 35.63, BigBird 36.05 (verified)",
      "the constant guess gets 20 to 22 % at 500 to 2000 tokens, so 16 to 18 % is no better"
    })
public record ListOps(
    @Parameter(value = "lower bound of the length, exclusive, >= 0", defaultValue = "500")
        int minLength,
    @Parameter(value = "upper bound of the length, exclusive; positions", defaultValue = "2000")
        int maxLength,
    @Parameter(value = "largest depth, >= 2", defaultValue = "10") int maxDepth,
    @Parameter(value = "most arguments, >= 2", defaultValue = "10") int maxArgs)
    implements Task {
  private static final int OPERATORS = 11;
  private static final int CLOSE = 15;
  private static final double OPERATOR_PROBABILITY = 0.25;

  /// Validates the sizes.
  public ListOps {
    Choices.atLeast("min_length", minLength, 0);
    Choices.atLeast("max_length", maxLength, minLength + 6);
    Choices.atLeast("max_depth", maxDepth, 2);
    Choices.atLeast("max_args", maxArgs, 2);
  }

  @Override
  public int vocab() {
    return CLOSE + 1;
  }

  @Override
  public int classes() {
    return 10;
  }

  @Override
  public int positions() {
    return maxLength;
  }

  @Override
  public Reading reading() {
    return Reading.SEQUENCE;
  }

  @Override
  public int padding() {
    return 0;
  }

  @Override
  public double chance() {
    return 0.1;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    List<Integer> words = new ArrayList<>();
    do {
      words.clear();
      tree(random, 1, words);
    } while (words.size() <= minLength || words.size() >= maxLength);
    Arrays.fill(tokens, 0);
    for (int t = 0; t < words.size(); t++) {
      tokens[t] = words.get(t);
    }
    labels[0] = solver().solve(tokens)[0];
  }

  /// Appends a tree; one that grows beyond the bound is cut short, for it will be rejected.
  private void tree(UniformRandomProvider random, int depth, List<Integer> words) {
    if (words.size() >= maxLength) {
      return;
    }
    if (depth >= maxDepth || random.nextDouble() > OPERATOR_PROBABILITY) {
      words.add(1 + random.nextInt(10));
      return;
    }
    words.add(OPERATORS + random.nextInt(4));
    int count = 2 + random.nextInt(maxArgs - 1);
    for (int i = 0; i < count; i++) {
      tree(random, depth + 1, words);
    }
    words.add(CLOSE);
  }

  @Override
  public Solver solver() {
    return tokens -> {
      List<Integer> stack = new ArrayList<>();
      for (int token : tokens) {
        if (token == CLOSE) {
          List<Integer> arguments = new ArrayList<>();
          int top = stack.removeLast();
          while (top < OPERATORS) {
            arguments.add(top - 1);
            top = stack.removeLast();
          }
          stack.add(1 + applied(top - OPERATORS, arguments));
        } else if (token != 0) {
          stack.add(token);
        }
      }
      return new int[] {stack.getLast() - 1};
    };
  }

  private static int applied(int operator, List<Integer> arguments) {
    int[] sorted = arguments.stream().mapToInt(Integer::intValue).sorted().toArray();
    int size = sorted.length;
    return switch (operator) {
      case 0 -> sorted[0];
      case 1 -> sorted[size - 1];
      case 2 -> (sorted[(size - 1) / 2] + sorted[size / 2]) / 2;
      default -> Arrays.stream(sorted).sum() % 10;
    };
  }
}
