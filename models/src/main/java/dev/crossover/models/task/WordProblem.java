// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.commons.rng.UniformRandomProvider;

/// Word problems: elements of a finite group, the product of all so far asked at every position
/// (Merrill, Petty, Sabharwal, The Illusion of State in State-Space Models, ICML 2024).
///
/// Elements of Sₖ are permutation words in lexicographic order, of Aₖ the even ones in the same
/// order, of Z₆₀ the numbers. The product means first a, then b: (ab)(i) = b(a(i)).
///
/// @param group the group
/// @param n positions
/// @param few draw only so many generators, the transpositions (0 1), (1 2), …; 0 means all
///     elements
@TaskInfo(
    name = "word_problem",
    title = "Word problems of groups",
    source = "Merrill, Petty, Sabharwal, The Illusion of State in State-Space Models, ICML 2024",
    asks = "the product of all elements so far",
    solver = "composes permutations",
    published =
        "A5 and S5 are NC1-complete: transformers and diagonal state-space models of fixed depth"
            + " are in TC0 and need depth that grows with length; S3 and Z60 are solvable"
            + " (verified)")
public record WordProblem(
    @Parameter(value = "the group", defaultValue = "a5") Group group,
    @Parameter(value = "positions n, >= 1", defaultValue = "24") int n,
    @Parameter(value = "generators drawn, 0: all elements", defaultValue = "0") int few)
    implements Task {

  /// Groups.
  public enum Group {
    /// Even permutations of five, 60 elements.
    A5(5, true),
    /// Permutations of five, 120 elements.
    S5(5, false),
    /// Permutations of three, 6 elements.
    S3(3, false),
    /// Numbers modulo 60.
    Z60(0, false);

    private final int degree;
    private final boolean even;

    Group(int degree, boolean even) {
      this.degree = degree;
      this.even = even;
    }

    /// The multiplication table, row-major: entry a · order + b is first a, then b.
    int[] table() {
      if (degree == 0) {
        int[] sums = new int[60 * 60];
        for (int i = 0; i < sums.length; i++) {
          sums[i] = (i / 60 + i % 60) % 60;
        }
        return sums;
      }
      List<int[]> elements = elements();
      int[] table = new int[elements.size() * elements.size()];
      for (int i = 0; i < table.length; i++) {
        int[] a = elements.get(i / elements.size());
        int[] b = elements.get(i % elements.size());
        int[] product = new int[degree];
        for (int x = 0; x < degree; x++) {
          product[x] = b[a[x]];
        }
        table[i] = indexOf(elements, product);
      }
      return table;
    }

    /// Number of elements.
    int order() {
      return degree == 0 ? 60 : elements().size();
    }

    private List<int[]> elements() {
      List<int[]> all = new ArrayList<>();
      extend(new int[degree], 0, all);
      return all;
    }

    private void extend(int[] word, int filled, List<int[]> all) {
      if (filled == degree) {
        if (!even || inversions(word) % 2 == 0) {
          all.add(word.clone());
        }
        return;
      }
      for (int next = 0; next < degree; next++) {
        int candidate = next;
        if (Arrays.stream(word, 0, filled).noneMatch(used -> used == candidate)) {
          word[filled] = next;
          extend(word, filled + 1, all);
        }
      }
    }

    private static int inversions(int[] word) {
      int count = 0;
      for (int i = 0; i < word.length; i++) {
        for (int j = i + 1; j < word.length; j++) {
          count += word[i] > word[j] ? 1 : 0;
        }
      }
      return count;
    }

    /// The transposition (g, g + 1).
    private int transposition(int g) {
      int[] word = new int[degree];
      for (int i = 0; i < degree; i++) {
        word[i] = i == g ? g + 1 : i == g + 1 ? g : i;
      }
      return indexOf(elements(), word);
    }

    private static int indexOf(List<int[]> elements, int[] word) {
      for (int i = 0; i < elements.size(); i++) {
        if (Arrays.equals(elements.get(i), word)) {
          return i;
        }
      }
      throw new IllegalArgumentException(
          "word must be an element, but was " + Arrays.toString(word));
    }
  }

  /// Validates the sizes.
  public WordProblem {
    Choices.atLeast("n", n, 1);
    int most = group.even || group.degree == 0 ? 0 : group.degree - 1;
    Choices.require(few >= 0 && few <= most, "few", "be from 0 to " + most + " for " + group, few);
  }

  @Override
  public int vocab() {
    return group.order();
  }

  @Override
  public int classes() {
    return group.order();
  }

  @Override
  public int positions() {
    return n;
  }

  @Override
  public double chance() {
    return 1.0 / group.order();
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    int order = group.order();
    for (int t = 0; t < n; t++) {
      tokens[t] = few == 0 ? random.nextInt(order) : group.transposition(random.nextInt(few));
    }
    System.arraycopy(solver().solve(tokens), 0, labels, 0, n);
  }

  @Override
  public Solver solver() {
    return products(group.table(), group.order());
  }

  @Override
  public Solver solver(Map<String, int[]> tables) {
    int[] table = tables.get("table");
    return table == null ? solver() : products(table, (int) Math.round(Math.sqrt(table.length)));
  }

  private static Solver products(int[] table, int order) {
    return tokens -> {
      int[] labels = tokens.clone();
      for (int t = 1; t < tokens.length; t++) {
        labels[t] = table[labels[t - 1] * order + tokens[t]];
      }
      return labels;
    };
  }

  @Override
  public List<Integer> longer() {
    return List.of(2 * n, 4 * n);
  }

  @Override
  public Task atLength(int length) {
    return new WordProblem(group, length, few);
  }
}
