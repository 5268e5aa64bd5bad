// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/// The rules that turn circles into arrowheads and tails (Zhang, Artificial Intelligence 172,
/// 2008), visiting nodes in ascending order.
///
/// `a *-> b` has any mark at a. R0 makes colliders of the separating sets, R1 to R4 are sound at
/// any time, R5 to R7 need selection, R8 to R10 complete the tails.
final class Orientation {
  /// Which form of R10 is meant.
  enum Rule10 {
    /// As the authors' program has it: the edges inside a path may have any marks, and the node
    /// before its end must not be adjacent to c.
    CODE,
    /// As published: possibly directed edges all along.
    PUBLISHED
  }

  @FunctionalInterface
  private interface EdgeRule {
    boolean allows(int from, int to);
  }

  private final Pag graph;
  private final Separators separators;
  private final Rule10 rule10;
  private final int n;

  Orientation(Pag graph, Separators separators, Rule10 rule10) {
    this.graph = graph;
    this.separators = separators;
    this.rule10 = rule10;
    this.n = graph.size();
  }

  /// R0, then R1 to R4 until nothing changes.
  void anytime() {
    colliders();
    exhaust(List.of(this::rule1, this::rule2, this::rule3, this::rule4));
  }

  /// R5 to R7 until nothing changes.
  void selection() {
    exhaust(List.of(this::rule5, this::rule6, this::rule7));
  }

  /// R8 to R10 until nothing changes.
  void tails() {
    exhaust(List.of(this::rule8, this::rule9, this::rule10));
  }

  private static void exhaust(List<BooleanSupplier> rules) {
    boolean changed = true;
    while (changed) {
      changed = false;
      for (BooleanSupplier rule : rules) {
        changed |= rule.getAsBoolean();
      }
    }
  }

  /// R0: x *-* z *-* y, x and y not adjacent, z not in the set that separates them: arrowheads at
  /// z.
  private void colliders() {
    for (int z = 0; z < n; z++) {
      int[] around = graph.neighbours(z);
      for (int x = 0; x < around.length; x++) {
        for (int y = x + 1; y < around.length; y++) {
          if (!graph.adjacent(around[x], around[y]) && !separators.holds(around[x], around[y], z)) {
            graph.put(around[x], z, Mark.ARROW);
            graph.put(around[y], z, Mark.ARROW);
          }
        }
      }
    }
  }

  /// R1: a *-> b o-* c, a and c not adjacent: b -> c.
  private boolean rule1() {
    boolean changed = false;
    for (int b = 0; b < n; b++) {
      int[] into = graph.withMarkAt(b, Mark.ARROW);
      for (int c : graph.withMarkAt(b, Mark.CIRCLE)) {
        for (int a : into) {
          if (!graph.adjacent(a, c)) {
            graph.direct(b, c);
            changed = true;
          }
        }
      }
    }
    return changed;
  }

  /// R2: a *-> b -> c or a -> b *-> c, and a *-o c: arrowhead at c.
  private boolean rule2() {
    boolean changed = false;
    for (int b = 0; b < n; b++) {
      for (int c : graph.withMarkAt(b, Mark.TAIL)) {
        if (graph.parent(b, c)) {
          for (int a : graph.withMarkAt(b, Mark.ARROW)) {
            changed |= arrowForCircle(a, c);
          }
        }
      }
    }
    for (int c = 0; c < n; c++) {
      for (int b : graph.withMarkAt(c, Mark.ARROW)) {
        for (int a : graph.withMarkAt(b, Mark.ARROW)) {
          if (graph.parent(a, b)) {
            changed |= arrowForCircle(a, c);
          }
        }
      }
    }
    return changed;
  }

  private boolean arrowForCircle(int a, int c) {
    if (a == c || graph.mark(a, c) != Mark.CIRCLE) {
      return false;
    }
    graph.put(a, c, Mark.ARROW);
    return true;
  }

  /// R3: a *-> b <-* c, a *-o d o-* c, a and c not adjacent, d *-o b: arrowhead at b.
  private boolean rule3() {
    boolean changed = false;
    for (int b = 0; b < n; b++) {
      for (int d : graph.withMarkAt(b, Mark.CIRCLE)) {
        List<Integer> both = new ArrayList<>();
        for (int a : graph.withMarkAt(b, Mark.ARROW)) {
          if (a != d && graph.mark(a, d) == Mark.CIRCLE) {
            both.add(a);
          }
        }
        for (int i = 0; i < both.size(); i++) {
          for (int j = i + 1; j < both.size(); j++) {
            if (!graph.adjacent(both.get(i), both.get(j))) {
              graph.put(d, b, Mark.ARROW);
              changed = true;
            }
          }
        }
      }
    }
    return changed;
  }

  /// R4: a discriminating path d … a b c for b with b o-* c: b -> c if b separates d and c, else
  /// a <-> b <-> c.
  private boolean rule4() {
    boolean changed = false;
    for (int b = 0; b < n; b++) {
      for (int c : graph.withMarkAt(b, Mark.CIRCLE)) {
        for (int a : parents(c)) {
          if (a == b || graph.mark(b, a) != Mark.ARROW) {
            continue;
          }
          boolean[] allowed = new boolean[n];
          Arrays.fill(allowed, true);
          allowed[a] = false;
          allowed[b] = false;
          allowed[c] = false;
          int d = discriminating(a, b, c, allowed);
          if (d < 0) {
            continue;
          }
          if (separators.holds(d, c, b)) {
            graph.direct(b, c);
          } else {
            graph.put(a, b, Mark.ARROW);
            graph.put(b, a, Mark.ARROW);
            graph.put(b, c, Mark.ARROW);
            graph.put(c, b, Mark.ARROW);
          }
          changed = true;
        }
      }
    }
    return changed;
  }

  private List<Integer> parents(int child) {
    List<Integer> parents = new ArrayList<>();
    for (int a = 0; a < n; a++) {
      if (graph.parent(a, child)) {
        parents.add(a);
      }
    }
    return parents;
  }

  /// The far end of a discriminating path that runs through `a`, or -1: all neighbours into `a`
  /// first, then, for each that is a parent of c and joined to `a` by `<->`, those into it.
  private int discriminating(int a, int b, int c, boolean[] allowed) {
    List<Integer> inner = new ArrayList<>();
    for (int d : graph.withMarkAt(a, Mark.ARROW)) {
      if (d == b || d == c || !allowed[d]) {
        continue;
      }
      if (!graph.adjacent(d, c)) {
        return d;
      }
      if (graph.parent(d, c) && graph.mark(a, d) == Mark.ARROW) {
        inner.add(d);
      }
    }
    for (int next : inner) {
      allowed[next] = false;
      int d = discriminating(next, b, c, allowed);
      allowed[next] = true;
      if (d >= 0) {
        return d;
      }
    }
    return -1;
  }

  /// R5: a o-o b and an uncovered path of o-o edges a, s, …, t, b with a, t and b, s not adjacent:
  /// tails on the whole cycle.
  private boolean rule5() {
    boolean changed = false;
    List<int[]> edges = new ArrayList<>();
    for (int a = 0; a < n; a++) {
      for (int b = 0; b < n; b++) {
        if (undecided(a, b)) {
          edges.add(new int[] {a, b});
        }
      }
    }
    for (int[] edge : edges) {
      int a = edge[0];
      int b = edge[1];
      List<Integer> starts = circleNeighbours(a, b);
      List<Integer> ends = circleNeighbours(b, a);
      for (int s : starts) {
        for (int t : ends) {
          List<Integer> path = uncovered(a, b, s, t, this::undecided);
          if (path != null) {
            changed = true;
            tails(a, b);
            int before = a;
            for (int at : path) {
              tails(before, at);
              before = at;
            }
            tails(before, b);
          }
        }
      }
    }
    return changed;
  }

  private boolean undecided(int a, int b) {
    return graph.edge(a, b, Mark.CIRCLE, Mark.CIRCLE);
  }

  private List<Integer> circleNeighbours(int node, int apartFrom) {
    List<Integer> found = new ArrayList<>();
    for (int other = 0; other < n; other++) {
      if (other != node
          && other != apartFrom
          && undecided(node, other)
          && !graph.adjacent(apartFrom, other)) {
        found.add(other);
      }
    }
    return found;
  }

  private void tails(int a, int b) {
    graph.put(a, b, Mark.TAIL);
    graph.put(b, a, Mark.TAIL);
  }

  /// R6: a --- b o-* c: tail at b.
  private boolean rule6() {
    boolean changed = false;
    for (int b = 0; b < n; b++) {
      boolean line = false;
      for (int a : graph.withMarkAt(b, Mark.TAIL)) {
        line |= graph.mark(b, a) == Mark.TAIL;
      }
      if (line) {
        for (int c : graph.withMarkAt(b, Mark.CIRCLE)) {
          graph.put(c, b, Mark.TAIL);
          changed = true;
        }
      }
    }
    return changed;
  }

  /// R7: a --o b o-* c, a and c not adjacent: tail at b.
  private boolean rule7() {
    boolean changed = false;
    for (int b = 0; b < n; b++) {
      int[] circles = graph.withMarkAt(b, Mark.CIRCLE);
      for (int a : circles) {
        if (graph.mark(b, a) != Mark.TAIL) {
          continue;
        }
        for (int c : circles) {
          if (a != c && !graph.adjacent(a, c)) {
            graph.put(c, b, Mark.TAIL);
            changed = true;
          }
        }
      }
    }
    return changed;
  }

  /// R8: a -> b -> c or a --o b -> c, and a o-> c: tail at a.
  private boolean rule8() {
    boolean changed = false;
    for (int b = 0; b < n; b++) {
      for (int a = 0; a < n; a++) {
        Mark atB = graph.mark(a, b);
        if (graph.mark(b, a) != Mark.TAIL || (atB != Mark.ARROW && atB != Mark.CIRCLE)) {
          continue;
        }
        for (int c = 0; c < n; c++) {
          if (graph.parent(b, c) && graph.edge(a, c, Mark.CIRCLE, Mark.ARROW)) {
            graph.put(c, a, Mark.TAIL);
            changed = true;
          }
        }
      }
    }
    return changed;
  }

  /// R9: a o-> c and an uncovered possibly directed path a, b, …, d, c with b and c not adjacent:
  /// tail at a. One change at a time.
  private boolean rule9() {
    for (int a = 0; a < n; a++) {
      for (int c = 0; c < n; c++) {
        if (!graph.edge(a, c, Mark.CIRCLE, Mark.ARROW)) {
          continue;
        }
        for (int b = 0; b < n; b++) {
          if (b == a || b == c || !graph.possibleParent(a, b) || graph.adjacent(b, c)) {
            continue;
          }
          for (int d = 0; d < n; d++) {
            if (d != a
                && d != b
                && d != c
                && graph.possibleParent(d, c)
                && uncovered(a, c, b, d, graph::possibleParent) != null) {
              graph.put(c, a, Mark.TAIL);
              return true;
            }
          }
        }
      }
    }
    return false;
  }

  /// R10: a o-> c, b -> c <- d, uncovered possibly directed paths a, e, …, b and a, f, …, d, e and
  /// f different and not adjacent: tail at a. One change at a time.
  private boolean rule10() {
    for (int c = 0; c < n; c++) {
      List<Integer> ends = parents(c);
      if (ends.size() < 2) {
        continue;
      }
      for (int a = 0; a < n; a++) {
        if (graph.edge(a, c, Mark.CIRCLE, Mark.ARROW) && twoPaths(a, c, ends)) {
          graph.put(c, a, Mark.TAIL);
          return true;
        }
      }
    }
    return false;
  }

  private boolean twoPaths(int a, int c, List<Integer> ends) {
    List<Integer> starts = new ArrayList<>();
    for (int e = 0; e < n; e++) {
      if (e != a && e != c && graph.possibleParent(a, e)) {
        starts.add(e);
      }
    }
    for (int i = 0; i < ends.size(); i++) {
      for (int j = i + 1; j < ends.size(); j++) {
        for (int e : starts) {
          for (int f : starts) {
            if (e != f
                && !graph.adjacent(e, f)
                && leads(a, e, ends.get(i), c)
                && leads(a, f, ends.get(j), c)) {
              return true;
            }
          }
        }
      }
    }
    return false;
  }

  private boolean leads(int a, int first, int end, int c) {
    if (rule10 == Rule10.CODE) {
      return uncovered(a, c, first, end, graph::adjacent) != null;
    }
    boolean[] used = new boolean[n];
    used[a] = true;
    return directed(a, first, end, used);
  }

  /// Whether an uncovered possibly directed path leads from `at`, reached from `before`, to `end`.
  private boolean directed(int before, int at, int end, boolean[] used) {
    if (at == end) {
      return true;
    }
    used[at] = true;
    for (int next = 0; next < n; next++) {
      if (!used[next]
          && graph.possibleParent(at, next)
          && !graph.adjacent(before, next)
          && directed(at, next, end, used)) {
        used[at] = false;
        return true;
      }
    }
    used[at] = false;
    return false;
  }

  /// The inner nodes `first, …, last` of an uncovered path `x, first, …, last, y`, or nothing; a
  /// single inner node is taken as it is.
  private @Nullable List<Integer> uncovered(int x, int y, int first, int last, EdgeRule rule) {
    if (first == last) {
      return List.of(first);
    }
    boolean[] used = new boolean[n];
    used[x] = true;
    used[y] = true;
    used[last] = true;
    List<Integer> path = new ArrayList<>();
    if (!extend(x, y, first, last, used, rule, path)) {
      return null;
    }
    Collections.reverse(path);
    return path;
  }

  /// Adds the path from `first` on, last node first.
  private boolean extend(
      int x, int y, int first, int last, boolean[] used, EdgeRule rule, List<Integer> path) {
    if (rule.allows(first, last) && apart(first, y) && apart(x, last)) {
      path.add(last);
      path.add(first);
      return true;
    }
    used[first] = true;
    for (int next = 0; next < n; next++) {
      if (!used[next]
          && rule.allows(first, next)
          && !graph.adjacent(x, next)
          && extend(first, y, next, last, used, rule, path)) {
        path.add(first);
        return true;
      }
    }
    used[first] = false;
    return false;
  }

  private boolean apart(int a, int b) {
    return !graph.adjacent(a, b);
  }
}
