// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;

/// A partial ancestral graph: all causal graphs with the same independences, latent common causes
/// and selection included (Zhang, Artificial Intelligence 172, 2008).
///
/// An edge has a [Mark] at each end. Nodes are numbered from 0; whatever walks over them does so in
/// ascending order, because learning depends on the order.
public final class Pag {
  private final Mark[][] marks;

  private Pag(Mark[][] marks) {
    this.marks = marks;
  }

  /// One edge.
  ///
  /// @param a the smaller node
  /// @param b the larger node
  /// @param atA the mark at `a`
  /// @param atB the mark at `b`
  public record Edge(int a, int b, Mark atA, Mark atB) {

    /// `0 o-> 3` and the like, with the tokens' names.
    public String text(List<String> names) {
      String left =
          switch (atA) {
            case ARROW -> "<";
            case CIRCLE -> "o";
            default -> "-";
          };
      String right =
          switch (atB) {
            case ARROW -> ">";
            case CIRCLE -> "o";
            default -> "-";
          };
      return names.get(a) + " " + left + "-" + right + " " + names.get(b);
    }
  }

  /// Every two nodes joined by an edge with two circles.
  static Pag complete(int nodes) {
    Mark[][] marks = new Mark[nodes][nodes];
    for (int a = 0; a < nodes; a++) {
      Arrays.fill(marks[a], Mark.CIRCLE);
      marks[a][a] = Mark.NONE;
    }
    return new Pag(marks);
  }

  /// A graph from its marks: `marks[a][b]` stands at `b` on the edge of `a` and `b`.
  ///
  /// @throws IllegalArgumentException if an edge has a mark at one end only
  public static Pag of(Mark[][] marks) {
    Mark[][] copy = new Mark[marks.length][];
    for (int a = 0; a < marks.length; a++) {
      copy[a] = marks[a].clone();
      for (int b = 0; b < marks.length; b++) {
        if ((marks[a][b] == Mark.NONE) != (marks[b][a] == Mark.NONE)) {
          throw new IllegalArgumentException(
              "marks must stand at both ends of an edge, but " + a + "," + b + " has one");
        }
      }
    }
    return new Pag(copy);
  }

  /// Number of nodes.
  public int size() {
    return marks.length;
  }

  /// The mark at `b` on the edge of `a` and `b`.
  public Mark mark(int a, int b) {
    return marks[a][b];
  }

  /// Whether there is an edge.
  public boolean adjacent(int a, int b) {
    return marks[a][b] != Mark.NONE;
  }

  /// Whether `a → b`.
  public boolean parent(int a, int b) {
    return marks[a][b] == Mark.ARROW && marks[b][a] == Mark.TAIL;
  }

  /// Whether the edge has these marks at `a` and at `b`.
  boolean edge(int a, int b, Mark atA, Mark atB) {
    return marks[b][a] == atA && marks[a][b] == atB;
  }

  /// Whether `parent` may be a cause of its neighbour `child`: no arrowhead at the one, no tail at
  /// the other.
  public boolean possibleParent(int parent, int child) {
    return adjacent(parent, child)
        && marks[parent][child] != Mark.TAIL
        && marks[child][parent] != Mark.ARROW;
  }

  /// Whether a chain of possible parents leads from one node to another.
  ///
  /// @param allowed nodes that the chain may visit
  boolean possibleAncestor(int ancestor, int descendant, boolean[] allowed) {
    boolean[] seen = new boolean[size()];
    Deque<Integer> queue = new ArrayDeque<>(List.of(ancestor));
    seen[ancestor] = true;
    while (!queue.isEmpty()) {
      int at = queue.remove();
      for (int next = 0; next < size(); next++) {
        if (allowed[next] && !seen[next] && possibleParent(at, next)) {
          if (next == descendant) {
            return true;
          }
          seen[next] = true;
          queue.add(next);
        }
      }
    }
    return false;
  }

  /// The neighbours of a node, ascending.
  public int[] neighbours(int node) {
    int[] found = new int[size()];
    int count = 0;
    for (int other = 0; other < size(); other++) {
      if (adjacent(node, other)) {
        found[count++] = other;
      }
    }
    return Arrays.copyOf(found, count);
  }

  /// Nodes at which the edge from `node` has a mark, ascending: the mark stands at `node` itself.
  int[] withMarkAt(int node, Mark mark) {
    int[] found = new int[size()];
    int count = 0;
    for (int other = 0; other < size(); other++) {
      if (marks[other][node] == mark && other != node) {
        found[count++] = other;
      }
    }
    return Arrays.copyOf(found, count);
  }

  /// All edges, by smaller and then larger node.
  public List<Edge> edges() {
    List<Edge> edges = new ArrayList<>();
    for (int a = 0; a < size(); a++) {
      for (int b = a + 1; b < size(); b++) {
        if (adjacent(a, b)) {
          edges.add(new Edge(a, b, marks[b][a], marks[a][b]));
        }
      }
    }
    return List.copyOf(edges);
  }

  /// How two graphs over the same tokens differ.
  ///
  /// @param missing edges that only the other graph has
  /// @param extra edges that only this graph has
  /// @param marks edges of both whose marks differ
  public record Difference(int missing, int extra, int marks) {
    /// Edges that differ in any way.
    public int edges() {
      return missing + extra + marks;
    }
  }

  /// Counts the edges in which this graph differs from another.
  ///
  /// @throws IllegalArgumentException if the graphs have different numbers of nodes
  public Difference differenceFrom(Pag other) {
    if (other.size() != size()) {
      throw new IllegalArgumentException(
          "other must have " + size() + " nodes, but was " + other.size());
    }
    int missing = 0;
    int extra = 0;
    int differing = 0;
    for (int a = 0; a < size(); a++) {
      for (int b = a + 1; b < size(); b++) {
        boolean here = adjacent(a, b);
        boolean there = other.adjacent(a, b);
        missing += there && !here ? 1 : 0;
        extra += here && !there ? 1 : 0;
        boolean same = marks[a][b] == other.marks[a][b] && marks[b][a] == other.marks[b][a];
        differing += here && there && !same ? 1 : 0;
      }
    }
    return new Difference(missing, extra, differing);
  }

  /// Puts a mark at `at` on its edge with `other`.
  void put(int other, int at, Mark mark) {
    marks[other][at] = mark;
  }

  /// Puts `a → b`.
  void direct(int a, int b) {
    put(b, a, Mark.TAIL);
    put(a, b, Mark.ARROW);
  }

  void delete(int a, int b) {
    marks[a][b] = Mark.NONE;
    marks[b][a] = Mark.NONE;
  }

  /// All marks back to circles.
  void reset() {
    for (Mark[] row : marks) {
      for (int b = 0; b < row.length; b++) {
        row[b] = row[b] == Mark.NONE ? Mark.NONE : Mark.CIRCLE;
      }
    }
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Pag graph && Arrays.deepEquals(marks, graph.marks);
  }

  @Override
  public int hashCode() {
    return Arrays.deepHashCode(marks);
  }

  @Override
  public String toString() {
    List<String> names = new ArrayList<>();
    for (int a = 0; a < size(); a++) {
      names.add(Integer.toString(a));
    }
    return String.join(", ", edges().stream().map(edge -> edge.text(names)).toList());
  }
}
