// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.bench.reading.CausalGraph.Learned;
import dev.crossover.bench.reading.GraphStudy.Entry;
import dev.crossover.bench.reading.Mark;
import dev.crossover.bench.reading.Pag;
import dev.crossover.reports.chart.Sketch.Anchor;
import dev.crossover.reports.chart.Sketch.Ink;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Causal graphs side by side: tokens on a circle, clockwise from the top, marks at the ends of
/// edges. Beside the first graph, that of exact attention, the others show by colour and dash what
/// they add, lose and mark differently.
public final class GraphPicture {
  private static final int GAP = 26;
  private static final int CAPTION = 74;
  private static final int MARGIN = 22;
  private static final int HEADER = 66;
  private static final int LEGEND = 58;
  private static final int MOST_COLUMNS = 4;
  private static final int INSIDE_LETTERS = 3;
  private static final double LETTERS = 10.5;

  private final List<String> names;
  private final int side;
  private final double node;
  private final List<String> shown;
  private final double rim;
  private final int columns;
  private final Sketch sketch;
  private final int height;
  private final double wide;

  private GraphPicture(List<String> names, int panels) {
    this.names = names;
    this.side = names.size() <= 20 ? 300 : names.size() <= 36 ? 430 : 620;
    boolean inside = names.stream().allMatch(name -> name.length() <= INSIDE_LETTERS);
    this.node = names.size() <= 20 ? (inside ? 13 : 8) : names.size() <= 36 ? 9 : 6;
    this.shown = names.stream().map(GraphPicture::shown).toList();
    double widest = 0;
    for (String name : shown) {
      widest = Math.max(widest, Sketch.width(name, LETTERS));
    }
    boolean within = inside && names.size() <= 20;
    this.rim = within ? 20 : node + 22;
    this.wide = within ? side : Math.max(side, side - 2 * rim + 2 * (node + 9 + widest));
    this.columns = Math.min(side > 500 ? 2 : side > 300 ? 3 : MOST_COLUMNS, panels);
    int rows = (panels + columns - 1) / columns;
    double width = 2 * MARGIN + columns * wide + (columns - 1) * GAP;
    this.height = HEADER + rows * (side + CAPTION) + LEGEND;
    this.sketch = new Sketch(Math.max(660, (int) Math.ceil(width)), height);
  }

  /// Draws graphs of the same tokens.
  ///
  /// @param title what is shown
  /// @param subtitle how it was found
  /// @param names of the tokens
  /// @param entries exact attention first
  /// @param labels what the entries are called
  public static Sketch of(
      String title, String subtitle, List<String> names, List<Entry> entries, List<String> labels) {
    GraphPicture picture = new GraphPicture(names, entries.size());
    picture.draw(title, subtitle, entries, labels);
    return picture.sketch;
  }

  private void draw(String title, String subtitle, List<Entry> entries, List<String> labels) {
    sketch.words(MARGIN, 32, title, 18, true, Anchor.START, Ink.INK);
    sketch.words(MARGIN, 53, subtitle, 12.5, false, Anchor.START, Ink.SOFT);
    Optional<Pag> exact = entries.getFirst().reading().graph().map(Learned::graph);
    for (int e = 0; e < entries.size(); e++) {
      double x = MARGIN + e % columns * (wide + GAP);
      double y = HEADER + e / columns * (double) (side + CAPTION);
      panel(entries.get(e), labels.get(e), e == 0 ? Optional.empty() : exact, x, y);
    }
    legend(height - LEGEND + 16, entries.size() > 1);
  }

  private void panel(Entry entry, String label, Optional<Pag> exact, double x, double y) {
    double middle = x + wide / 2;
    Optional<Pag> graph = entry.reading().graph().map(Learned::graph);
    if (graph.isPresent() && exact.isPresent()) {
      compared(graph.get(), exact.get(), x, y);
    } else {
      graph.ifPresent(own -> own.edges().forEach(edge -> edge(edge, x, y, Ink.INK, 1.5, false)));
    }
    for (int i = 0; i < names.size(); i++) {
      token(i, x, y, graph.isPresent());
    }
    sketch.words(middle, y + side + 18, label, 13.5, true, Anchor.MIDDLE, Ink.INK);
    double line = y + side + 35;
    if (graph.isEmpty()) {
      int written = 0;
      for (String text : Sketch.wrapped(shortened(entry.reading().refusal()), 11, wide)) {
        if (written < 3) {
          sketch.words(middle, line + 13 * written, text, 11, false, Anchor.MIDDLE, Ink.SOFT);
          written++;
        }
      }
      return;
    }
    String count = graph.get().edges().size() + " edges";
    sketch.words(middle, line, count + difference(entry), 12, false, Anchor.MIDDLE, Ink.SOFT);
  }

  private static String shortened(String refusal) {
    int more = refusal.indexOf(':');
    return "No graph: " + (more < 0 ? refusal : refusal.substring(0, more));
  }

  private static String difference(Entry entry) {
    return entry
        .difference()
        .map(
            d ->
                d.edges() == 0
                    ? ", the same graph"
                    : ", "
                        + d.edges()
                        + " differ: "
                        + d.missing()
                        + " lost, "
                        + d.extra()
                        + " new, "
                        + d.marks()
                        + " marked otherwise")
        .orElse("");
  }

  private void compared(Pag own, Pag exact, double x, double y) {
    for (Pag.Edge edge : exact.edges()) {
      if (!own.adjacent(edge.a(), edge.b())) {
        edge(edge, x, y, Ink.MISSING, 1.3, true);
      }
    }
    List<Pag.Edge> changed = new ArrayList<>();
    for (Pag.Edge edge : own.edges()) {
      boolean same =
          exact.mark(edge.a(), edge.b()) == edge.atB()
              && exact.mark(edge.b(), edge.a()) == edge.atA();
      if (same) {
        edge(edge, x, y, Ink.INK, 1.5, false);
      } else {
        changed.add(edge);
      }
    }
    for (Pag.Edge edge : changed) {
      boolean extra = !exact.adjacent(edge.a(), edge.b());
      edge(edge, x, y, extra ? Ink.EXTRA : Ink.CHANGED, 1.7, false);
    }
  }

  private double[] place(int i, double x, double y) {
    double radius = side / 2.0 - rim;
    double angle = 2 * Math.PI * i / names.size() - Math.PI / 2;
    return new double[] {
      x + wide / 2 + radius * Math.cos(angle), y + side / 2.0 + radius * Math.sin(angle)
    };
  }

  private static String shown(String name) {
    return name.length() > 12 ? name.substring(0, 11) + "…" : name;
  }

  private void token(int i, double x, double y, boolean strong) {
    double[] at = place(i, x, y);
    Ink ink = strong ? Ink.INK : Ink.SOFT;
    sketch.circle(at[0], at[1], node, Ink.RAISED, ink, 1.2);
    boolean inside = node > 10;
    double size = names.size() <= 20 ? LETTERS : names.size() <= 36 ? 9 : 7.5;
    if (inside) {
      sketch.words(at[0], at[1] + 3.8, names.get(i), size, false, Anchor.MIDDLE, ink);
      return;
    }
    double dx = at[0] - x - wide / 2;
    double dy = at[1] - y - side / 2.0;
    double length = Math.max(1e-9, Math.hypot(dx, dy));
    double out = node + 5;
    Anchor anchor =
        dx > 0.3 * length ? Anchor.START : dx < -0.3 * length ? Anchor.END : Anchor.MIDDLE;
    sketch.words(
        at[0] + out * dx / length,
        at[1] + out * dy / length + 3.5 + (anchor == Anchor.MIDDLE ? 4 * dy / length : 0),
        shown.get(i),
        size,
        false,
        anchor,
        ink);
  }

  /// Edges of tokens that are not next to each other bow towards the middle, so that near ones do
  /// not hide one another.
  private void edge(Pag.Edge edge, double x, double y, Ink ink, double width, boolean dashed) {
    double[] a = place(edge.a(), x, y);
    double[] b = place(edge.b(), x, y);
    double middleX = (a[0] + b[0]) / 2;
    double middleY = (a[1] + b[1]) / 2;
    double inX = x + wide / 2 - middleX;
    double inY = y + side / 2.0 - middleY;
    double toCentre = Math.hypot(inX, inY);
    int apart = edge.b() - edge.a();
    boolean neighbours = apart == 1 || apart == names.size() - 1;
    double chord = Math.hypot(b[0] - a[0], b[1] - a[1]);
    double bow = neighbours || toCentre < 1 ? 0 : Math.min(0.7 * toCentre, 6 + 0.14 * chord);
    double controlX = middleX + (bow == 0 ? 0 : bow * inX / toCentre);
    double controlY = middleY + (bow == 0 ? 0 : bow * inY / toCentre);
    ends(a, b, controlX, controlY, node, edge, ink, width, dashed);
  }

  /// An edge from the rims of two nodes, with its marks.
  private void ends(
      double[] a,
      double[] b,
      double controlX,
      double controlY,
      double rim,
      Pag.Edge edge,
      Ink ink,
      double width,
      boolean dashed) {
    double fromA = Math.max(1e-9, Math.hypot(controlX - a[0], controlY - a[1]));
    double fromB = Math.max(1e-9, Math.hypot(controlX - b[0], controlY - b[1]));
    double[] outA = {(controlX - a[0]) / fromA, (controlY - a[1]) / fromA};
    double[] outB = {(controlX - b[0]) / fromB, (controlY - b[1]) / fromB};
    double startA = rim + room(edge.atA());
    double startB = rim + room(edge.atB());
    sketch.curve(
        a[0] + outA[0] * startA,
        a[1] + outA[1] * startA,
        controlX,
        controlY,
        b[0] + outB[0] * startB,
        b[1] + outB[1] * startB,
        ink,
        width,
        dashed);
    mark(a[0] + outA[0] * rim, a[1] + outA[1] * rim, outA[0], outA[1], edge.atA(), ink);
    mark(b[0] + outB[0] * rim, b[1] + outB[1] * rim, outB[0], outB[1], edge.atB(), ink);
  }

  private double scale() {
    return names.size() <= 20 ? 1 : names.size() <= 36 ? 0.8 : 0.65;
  }

  private double room(Mark mark) {
    return switch (mark) {
      case ARROW -> 8 * scale();
      case CIRCLE -> 7 * scale();
      default -> 0;
    };
  }

  /// A mark whose tip is at a point, pointing against a direction.
  private void mark(double x, double y, double ux, double uy, Mark mark, Ink ink) {
    double s = scale();
    if (mark == Mark.ARROW) {
      double baseX = x + ux * 10 * s;
      double baseY = y + uy * 10 * s;
      sketch.triangle(
          new double[] {x, baseX - uy * 4.2 * s, baseX + uy * 4.2 * s},
          new double[] {y, baseY + ux * 4.2 * s, baseY - ux * 4.2 * s},
          ink);
    }
    if (mark == Mark.CIRCLE) {
      double radius = 3.4 * s;
      sketch.circle(x + ux * (radius + 0.4), y + uy * (radius + 0.4), radius, Ink.GROUND, ink, 1.3);
    }
  }

  private void legend(double y, boolean compared) {
    double x = MARGIN;
    x = entry(x, y, Mark.TAIL, Mark.ARROW, Ink.INK, false, "cause");
    x = entry(x, y, Mark.ARROW, Mark.ARROW, Ink.INK, false, "neither causes the other");
    x = entry(x, y, Mark.CIRCLE, Mark.ARROW, Ink.INK, false, "cause or common cause");
    x = entry(x, y, Mark.CIRCLE, Mark.CIRCLE, Ink.INK, false, "undecided");
    entry(x, y, Mark.TAIL, Mark.TAIL, Ink.INK, false, "selection");
    if (compared) {
      x = MARGIN;
      x = entry(x, y + 22, Mark.TAIL, Mark.TAIL, Ink.MISSING, true, "lost against exact attention");
      x = entry(x, y + 22, Mark.TAIL, Mark.TAIL, Ink.EXTRA, false, "new");
      entry(x, y + 22, Mark.TAIL, Mark.TAIL, Ink.CHANGED, false, "marked otherwise");
    }
  }

  private double entry(
      double x, double y, Mark first, Mark second, Ink ink, boolean dashed, String text) {
    double[] from = {x, y - 4};
    double[] to = {x + 34, y - 4};
    Pag.Edge edge = new Pag.Edge(0, 1, first, second);
    ends(from, to, x + 17, y - 4, 0, edge, ink, 1.6, dashed);
    sketch.words(x + 41, y, text, 11.5, false, Anchor.START, Ink.SOFT);
    return x + 41 + Sketch.width(text, 11.5) + 22;
  }
}
