// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/// The tokens that may separate a root from others, as a tree of possible-d-separation paths
/// (Rohekar et al., arXiv:2111.04095).
///
/// A path goes on from a through b to c if a and c are adjacent or both have arrowheads at b. Each
/// edge is walked once; a token may stand at several places. Neighbours are visited in ascending
/// order.
final class PdsTree {
  /// Most sets that are listed at once.
  static final long MOST_SETS = 2_000_000;

  private final int root;
  private final List<Place> places = new ArrayList<>();
  private final int[] depth;

  /// One place of the tree.
  ///
  /// @param parent place above, -1 below the root
  private record Place(int token, int parent, int depth) {}

  /// A set of tokens and the sum of their depths.
  ///
  /// @param tokens ascending
  /// @param cost sum over the tokens of their smallest depth
  record Candidate(int[] tokens, int cost) {}

  /// The tree of a root.
  ///
  /// @param limit largest depth
  /// @param allowed nodes that take part
  PdsTree(Pag graph, int root, int limit, boolean[] allowed) {
    this.root = root;
    int n = graph.size();
    boolean[][] open = new boolean[n][n];
    for (int a = 0; a < n; a++) {
      for (int b = 0; b < n; b++) {
        open[a][b] = allowed[a] && allowed[b] && graph.adjacent(a, b);
      }
    }
    for (int child = 0; child < n; child++) {
      if (open[root][child]) {
        places.add(new Place(child, -1, 1));
      }
    }
    for (Place child : places) {
      close(open, root, child.token);
    }
    for (int next = 0; next < places.size(); next++) {
      Place b = places.get(next);
      if (b.depth >= limit) {
        continue;
      }
      int a = b.parent < 0 ? root : places.get(b.parent).token;
      for (int c = 0; c < n; c++) {
        boolean collider =
            graph.mark(a, b.token) == Mark.ARROW && graph.mark(c, b.token) == Mark.ARROW;
        if (open[b.token][c] && c != a && (graph.adjacent(a, c) || collider)) {
          close(open, b.token, c);
          places.add(new Place(c, next, b.depth + 1));
        }
      }
    }
    depth = new int[n];
    Arrays.fill(depth, Integer.MAX_VALUE);
    for (Place place : places) {
      depth[place.token] = Math.min(depth[place.token], place.depth);
    }
  }

  private static void close(boolean[][] open, int a, int b) {
    open[a][b] = false;
    open[b][a] = false;
  }

  /// All tokens of the tree but its root, ascending.
  int[] found() {
    int[] tokens = new int[depth.length];
    int count = 0;
    for (int token = 0; token < depth.length; token++) {
      if (token != root && depth[token] < Integer.MAX_VALUE) {
        tokens[count++] = token;
      }
    }
    return Arrays.copyOf(tokens, count);
  }

  /// Sets of a size whose members can each be reached from the root through members only, in
  /// lexicographic order.
  ///
  /// @throws TooManySetsException if there are more than [#MOST_SETS] subsets to look at
  List<Candidate> sets(int size) {
    int[] found = found();
    List<Candidate> sets = new ArrayList<>();
    if (size > found.length) {
      return sets;
    }
    double count = 1;
    for (int i = 0; i < size; i++) {
      count = count * (found.length - i) / (i + 1);
    }
    if (count > MOST_SETS) {
      throw new TooManySetsException(size);
    }
    int[] at = new int[size];
    for (int i = 0; i < size; i++) {
      at[i] = i;
    }
    boolean[] member = new boolean[depth.length];
    boolean more = true;
    while (more) {
      int cost = 0;
      int[] tokens = new int[size];
      for (int i = 0; i < size; i++) {
        tokens[i] = found[at[i]];
        member[tokens[i]] = true;
        cost += depth[tokens[i]];
      }
      if (legal(tokens, member)) {
        sets.add(new Candidate(tokens, cost));
      }
      for (int token : tokens) {
        member[token] = false;
      }
      more = next(at, found.length);
    }
    return sets;
  }

  /// As [#sets], sorted by cost and otherwise in lexicographic order.
  List<Candidate> byCost(int size) {
    List<Candidate> sets = sets(size);
    sets.sort(Comparator.comparingInt(Candidate::cost));
    return sets;
  }

  private static boolean next(int[] at, int n) {
    int size = at.length;
    int i = size - 1;
    while (i >= 0 && at[i] == n - size + i) {
      i--;
    }
    if (i < 0) {
      return false;
    }
    at[i]++;
    for (int j = i + 1; j < size; j++) {
      at[j] = at[j - 1] + 1;
    }
    return true;
  }

  private boolean legal(int[] tokens, boolean[] member) {
    for (int token : tokens) {
      if (depth[token] == 1) {
        continue;
      }
      boolean reached = false;
      for (Place place : places) {
        if (place.token == token && through(place, member)) {
          reached = true;
          break;
        }
      }
      if (!reached) {
        return false;
      }
    }
    return true;
  }

  private boolean through(Place place, boolean[] member) {
    int at = place.parent;
    while (at >= 0) {
      if (!member[places.get(at).token]) {
        return false;
      }
      at = places.get(at).parent;
    }
    return true;
  }

  /// More sets than can be listed: a search stops here and says so.
  static final class TooManySetsException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    TooManySetsException(int size) {
      super("sets of " + size + " tokens must be at most " + MOST_SETS + ", but were more");
    }
  }
}
