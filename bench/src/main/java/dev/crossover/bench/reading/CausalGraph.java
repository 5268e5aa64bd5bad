// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.bench.reading.PdsTree.Candidate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/// Learns a causal graph from independences.
///
/// [Learner#ICD] is Iterative Causal Discovery (Rohekar et al., NeurIPS 2021, arXiv:2111.04095) as
/// its authors' program does it, which CLEANN (NeurIPS 2023, arXiv:2310.20307) uses on attention:
/// from the complete graph, edges are removed by sets of growing size r found in a tree of possible
/// separators, and marks are drawn anew after every r. Pairs, sets and rules are visited in
/// ascending order: the order is part of the definition, because an edge is removed at once.
///
/// A limit on r or on tests leaves a graph that is right up to the last r that was finished.
public final class CausalGraph {
  private final IndependenceTest test;
  private final Options options;
  private final Pag graph;
  private final Separators separators;
  private final Orientation orientation;
  private final int n;
  private final boolean[] everything;

  /// Pairs of a known order without any set of some size are not asked again for larger ones.
  private final boolean[][] settled;

  private int tests;

  /// Ways to learn.
  public enum Learner {
    /// Iterative causal discovery, without an order of the tokens.
    ICD,
    /// The same for a known order (arXiv:2412.07446): an edge starts as earlier o-> later, and the
    /// sets conditioned on come from the tokens before the later one.
    ORDERED,
    /// Fast causal inference: a skeleton as PC finds it, pruned by possible separators, then marks.
    FCI
  }

  /// How to learn.
  ///
  /// @param learner the algorithm
  /// @param selectionBias whether rules 5 to 7 are used
  /// @param tailCompleteness whether rules 8 to 10 are used
  /// @param publishedRule10 rule 10 as published, not as in the authors' program
  /// @param maxOrder largest set conditioned on; no limit when negative
  /// @param maxTests most questions asked
  public record Options(
      Learner learner,
      boolean selectionBias,
      boolean tailCompleteness,
      boolean publishedRule10,
      int maxOrder,
      int maxTests) {
    /// All rules, no limit on the order, a million questions.
    public static final Options STANDARD =
        new Options(Learner.ICD, true, true, false, -1, 1_000_000);

    /// With another algorithm.
    public Options with(Learner newLearner) {
      return new Options(
          newLearner, selectionBias, tailCompleteness, publishedRule10, maxOrder, maxTests);
    }

    /// With rules 5 to 7, and rules 8 to 10, or without.
    public Options rules(boolean selection, boolean tails, boolean published) {
      return new Options(learner, selection, tails, published, maxOrder, maxTests);
    }

    /// With limits.
    public Options limits(int newMaxOrder, int newMaxTests) {
      return new Options(
          learner, selectionBias, tailCompleteness, publishedRule10, newMaxOrder, newMaxTests);
    }
  }

  /// What was learned.
  ///
  /// @param graph the graph
  /// @param separators the sets that removed its missing edges
  /// @param finishedOrder largest set size that was gone through in full
  /// @param complete whether nothing was left to test
  /// @param stop why it is not complete; empty otherwise
  public record Learned(
      Pag graph, Separators separators, int finishedOrder, boolean complete, String stop) {}

  private static final class LimitReached extends RuntimeException {
    private static final long serialVersionUID = 1L;

    LimitReached(String message) {
      super(message, null, false, false);
    }
  }

  private CausalGraph(int nodes, IndependenceTest test, Options options) {
    this.n = nodes;
    this.test = test;
    this.options = options;
    this.graph = Pag.complete(nodes);
    this.separators = new Separators(nodes);
    this.orientation =
        new Orientation(
            graph,
            separators,
            options.publishedRule10 ? Orientation.Rule10.PUBLISHED : Orientation.Rule10.CODE);
    this.everything = new boolean[nodes];
    Arrays.fill(everything, true);
    this.settled = new boolean[nodes][nodes];
  }

  /// Learns a graph.
  ///
  /// @param nodes number of tokens, at least 1
  /// @param test answers what is independent; a test that refuses ends the learning
  public static Learned learn(int nodes, IndependenceTest test, Options options) {
    if (nodes < 1) {
      throw new IllegalArgumentException("nodes must be >= 1, but was " + nodes);
    }
    return new CausalGraph(nodes, test, options).run();
  }

  private Learned run() {
    int order = -1;
    String stop = "";
    try {
      boolean more = true;
      while (more && (options.maxOrder < 0 || order < options.maxOrder)) {
        more = step(order + 1);
        order++;
      }
      if (more) {
        stop = "sets of more than " + options.maxOrder + " tokens were left out";
      }
    } catch (LimitReached | PdsTree.TooManySetsException e) {
      stop = String.valueOf(e.getMessage());
    }
    if (!stop.isEmpty()) {
      redraw(true);
    }
    return new Learned(graph, separators, order, stop.isEmpty(), stop);
  }

  /// Goes through sets of one size; whether larger ones may find something.
  private boolean step(int r) {
    return switch (options.learner) {
      case ICD -> iterative(r);
      case ORDERED -> ordered(r);
      case FCI -> skeleton(r);
    };
  }

  private boolean iterative(int r) {
    if (r == 0) {
      removeIndependent();
      orientation.anytime();
      return true;
    }
    boolean tested = false;
    for (int i = 0; i < n; i++) {
      for (int j = i + 1; j < n; j++) {
        if (graph.adjacent(i, j)) {
          tested |= separate(i, j, r == 1 ? singles(i, j) : candidates(i, j, r));
        }
      }
    }
    if (r == 1) {
      redraw(true);
    } else if (tested) {
      redraw(false);
    } else {
      complete();
    }
    return tested;
  }

  private void removeIndependent() {
    for (int i = 0; i < n; i++) {
      for (int j = i + 1; j < n; j++) {
        if (independent(i, j, new int[0])) {
          remove(i, j, new int[0]);
        }
      }
    }
  }

  /// Tries sets in their order until one makes the pair independent; whether there was any.
  private boolean separate(int i, int j, List<int[]> sets) {
    for (int[] set : sets) {
      if (independent(i, j, set)) {
        remove(i, j, set);
        break;
      }
    }
    return !sets.isEmpty();
  }

  private List<int[]> singles(int i, int j) {
    List<int[]> sets = new ArrayList<>();
    boolean[] seen = new boolean[n];
    seen[i] = true;
    seen[j] = true;
    for (int side : new int[] {i, j}) {
      for (int z : graph.neighbours(side)) {
        if (!seen[z]) {
          seen[z] = true;
          sets.add(new int[] {z});
        }
      }
    }
    return sets;
  }

  /// Sets of the trees of both ends whose members may all be ancestors of one of them, cheapest
  /// first.
  private List<int[]> candidates(int i, int j, int r) {
    List<Candidate> all = new PdsTree(graph, i, r, everything).sets(r);
    all.addAll(new PdsTree(graph, j, r, everything).sets(r));
    all.sort(Comparator.comparingInt(Candidate::cost));
    boolean[] ancestor = new boolean[n];
    for (int z = 0; z < n; z++) {
      ancestor[z] =
          z != i
              && z != j
              && (graph.possibleAncestor(z, i, everything)
                  || graph.possibleAncestor(z, j, everything));
    }
    List<int[]> sets = new ArrayList<>();
    for (Candidate candidate : all) {
      if (Arrays.stream(candidate.tokens()).allMatch(z -> ancestor[z])) {
        sets.add(candidate.tokens());
      }
    }
    return sets;
  }

  /// A known order: node b comes after all nodes a < b.
  private boolean ordered(int r) {
    boolean tested = false;
    for (int b = r + 1; b < n; b++) {
      if (r < 2) {
        tested |= orderedPairs(b, r);
      } else {
        tested |= orderedSets(b, r);
      }
    }
    redrawOrdered();
    if (r < 2) {
      if (n <= r + 2) {
        complete();
        return false;
      }
      return true;
    }
    if (!tested) {
      complete();
    }
    return tested;
  }

  private boolean orderedPairs(int b, int r) {
    boolean tested = false;
    for (int a = 0; a < b; a++) {
      if (!graph.adjacent(a, b)) {
        continue;
      }
      List<int[]> sets = new ArrayList<>();
      if (r == 0) {
        sets.add(new int[0]);
      } else {
        for (int z : graph.neighbours(b)) {
          if (z < b && z != a) {
            sets.add(new int[] {z});
          }
        }
      }
      tested |= separate(a, b, sets);
    }
    return tested;
  }

  private boolean orderedSets(int b, int r) {
    boolean[] upToB = upTo(b);
    List<Candidate> all = new PdsTree(graph, b, r, upToB).byCost(r);
    boolean tested = false;
    for (int a = 0; a < b; a++) {
      if (!graph.adjacent(a, b) || settled[a][b]) {
        continue;
      }
      boolean[] upToA = upTo(a);
      boolean any = false;
      for (Candidate candidate : all) {
        if (!legal(candidate.tokens(), a, upToA, b, upToB)) {
          continue;
        }
        any = true;
        if (independent(a, b, candidate.tokens())) {
          remove(a, b, candidate.tokens());
          break;
        }
      }
      tested |= any;
      settled[a][b] = !any;
    }
    return tested;
  }

  private boolean legal(int[] set, int a, boolean[] upToA, int b, boolean[] upToB) {
    for (int z : set) {
      if (z == a || !(graph.possibleAncestor(z, a, upToA) || graph.possibleAncestor(z, b, upToB))) {
        return false;
      }
    }
    return true;
  }

  private boolean[] upTo(int last) {
    boolean[] allowed = new boolean[n];
    Arrays.fill(allowed, 0, last + 1, true);
    return allowed;
  }

  private void redrawOrdered() {
    for (int a = 0; a < n; a++) {
      for (int b = a + 1; b < n; b++) {
        if (graph.adjacent(a, b)) {
          graph.put(a, b, Mark.ARROW);
          graph.put(b, a, Mark.CIRCLE);
        }
      }
    }
    orientation.anytime();
  }

  /// Fast causal inference: sets of neighbours, and the possible separators once those are used up.
  private boolean skeleton(int r) {
    boolean tested = false;
    for (int i = 0; i < n; i++) {
      for (int j = i + 1; j < n; j++) {
        if (graph.adjacent(i, j)) {
          List<int[]> sets = subsets(without(graph.neighbours(i), j), r);
          sets.addAll(subsets(without(graph.neighbours(j), i), r));
          tested |= separate(i, j, sets);
        }
      }
    }
    if (!tested) {
      redraw(false);
      prune();
      redraw(true);
    }
    return tested;
  }

  /// Removes edges whose ends some possible separators of one of them make independent.
  private void prune() {
    int[][] possible = new int[n][];
    for (int i = 0; i < n; i++) {
      possible[i] = new PdsTree(graph, i, n, everything).found();
    }
    for (int i = 0; i < n; i++) {
      for (int j : graph.neighbours(i)) {
        int[] pool = without(possible[i], j);
        boolean removed = false;
        for (int size = 0; size <= pool.length && !removed; size++) {
          separate(i, j, subsets(pool, size));
          removed = !graph.adjacent(i, j);
        }
      }
    }
  }

  private static int[] without(int[] nodes, int node) {
    return Arrays.stream(nodes).filter(z -> z != node).toArray();
  }

  private static List<int[]> subsets(int[] pool, int size) {
    List<int[]> sets = new ArrayList<>();
    subsets(pool, 0, new int[size], 0, sets);
    return sets;
  }

  private static void subsets(int[] pool, int from, int[] set, int filled, List<int[]> sets) {
    if (filled == set.length) {
      if (sets.size() >= PdsTree.MOST_SETS) {
        throw new PdsTree.TooManySetsException(set.length);
      }
      sets.add(set.clone());
      return;
    }
    for (int i = from; i <= pool.length - (set.length - filled); i++) {
      set[filled] = pool[i];
      subsets(pool, i + 1, set, filled + 1, sets);
    }
  }

  private boolean independent(int i, int j, int[] given) {
    if (tests >= options.maxTests) {
      throw new LimitReached(
          "tests must be at most " + options.maxTests + ", and more were wanted");
    }
    tests++;
    return test.independent(i, j, given);
  }

  private void remove(int i, int j, int[] set) {
    graph.delete(i, j);
    separators.put(i, j, set);
  }

  /// All marks anew; with those rules that complete them or without.
  private void redraw(boolean completely) {
    if (options.learner == Learner.ORDERED) {
      redrawOrdered();
    } else {
      graph.reset();
      orientation.anytime();
    }
    if (completely) {
      complete();
    }
  }

  private void complete() {
    if (options.selectionBias) {
      orientation.selection();
    }
    if (options.tailCompleteness) {
      orientation.tails();
    }
  }
}
