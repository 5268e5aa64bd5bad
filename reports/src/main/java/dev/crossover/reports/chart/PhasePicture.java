// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.reports.answer.Frontier;
import dev.crossover.reports.answer.Frontier.Cell;
import dev.crossover.reports.answer.Frontier.Entry;
import dev.crossover.reports.answer.PhaseDiagram;
import dev.crossover.reports.answer.PhaseText;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.Palette.Look;
import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.Shape;
import java.awt.geom.AffineTransform;
import java.awt.geom.Line2D;
import java.awt.geom.Rectangle2D;
import java.awt.geom.RoundRectangle2D;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A [PhaseDiagram] as a picture: sequence length across, permitted error or required accuracy
/// upward.
///
/// A mechanism has its colour and its marker of all other charts, and every cell says its factor in
/// figures, so that nothing rests on colour alone.
public final class PhasePicture {
  private static final int WIDTH = 900;
  private static final int MARGIN = 20;
  private static final int LABELS = 70;
  private static final int CELL_HEIGHT = 54;
  private static final int LINE = 17;
  private static final double WIDE = 92;
  private static final Color INK = new Color(0x16181d);
  private static final Color SOFT = new Color(0x5c6470);
  private static final Color EXACT = new Color(0xe4e7ec);
  private static final Color GROUND = Color.WHITE;

  private final PhaseDiagram diagram;
  private final List<String> head;
  private final List<String> foot;

  /// Prepares a picture.
  ///
  /// @param diagram what to draw
  /// @param origin where it comes from, in small print
  public PhasePicture(PhaseDiagram diagram, String origin) {
    this.diagram = diagram;
    int room = WIDTH - 2 * MARGIN;
    this.head =
        Sketch.wrapped(
            diagram.face().headline() + " " + diagram.panel().sizes() + ". " + diagram.how(),
            12.5,
            room);
    List<String> lines = new ArrayList<>();
    lines.addAll(Sketch.wrapped(diagram.face().key(), 12, room));
    lines.addAll(Sketch.wrapped(origin.replaceAll("\\p{Cntrl}", " "), 11, room));
    this.foot = lines;
  }

  /// Writes a bitmap of twice the nominal size.
  public void writePng(Path file) throws IOException {
    PictureFiles.png(file, WIDTH, height(), this::paint);
  }

  /// Writes a vector drawing of one page.
  public void writePdf(Path file) throws IOException {
    PictureFiles.pdf(file, WIDTH, height(), this::paint);
  }

  private int top() {
    return 44 + LINE * head.size() + 8;
  }

  private int bottom() {
    return top() + CELL_HEIGHT * diagram.errors().size();
  }

  private int legendLines() {
    return (diagram.mechanisms().size() + 1 + 2) / 3;
  }

  private int height() {
    return bottom() + 56 + 22 * legendLines() + LINE * foot.size() + MARGIN;
  }

  private void paint(Graphics2D g) {
    g.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
    g.setRenderingHint(
        RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    g.setRenderingHint(RenderingHints.KEY_STROKE_CONTROL, RenderingHints.VALUE_STROKE_PURE);
    g.setColor(GROUND);
    g.fillRect(0, 0, WIDTH, height());
    words(g, diagram.title(), MARGIN, 34, 19, true, INK);
    for (int i = 0; i < head.size(); i++) {
      words(g, head.get(i), MARGIN, 54 + LINE * i, 12.5, false, SOFT);
    }
    List<Double> errors = diagram.downward();
    double cellWidth = (WIDTH - 2.0 * MARGIN - LABELS) / diagram.lengths().size();
    for (int row = 0; row < errors.size(); row++) {
      double y = top() + row * CELL_HEIGHT;
      String label = diagram.face().level(errors.get(row));
      words(
          g,
          label,
          MARGIN + LABELS - 12 - width(g, label, 13),
          y + CELL_HEIGHT / 2.0 + 5,
          13,
          false,
          INK);
      List<Cell> cells = diagram.row(errors.get(row));
      for (int column = 0; column < cells.size(); column++) {
        cell(
            g,
            cells.get(column),
            new Rectangle2D.Double(
                MARGIN + LABELS + column * cellWidth + 1.5,
                y + 1.5,
                cellWidth - 3,
                CELL_HEIGHT - 3));
      }
    }
    for (int column = 0; column < diagram.lengths().size(); column++) {
      centred(
          g,
          Wording.length(diagram.lengths().get(column)),
          MARGIN + LABELS + (column + 0.5) * cellWidth,
          bottom() + 18,
          13,
          false,
          INK);
    }
    centred(
        g,
        "sequence length n",
        MARGIN + LABELS + (WIDTH - 2.0 * MARGIN - LABELS) / 2,
        bottom() + 37,
        12,
        false,
        SOFT);
    words(g, diagram.face().axis(), MARGIN, bottom() + 18, 12, false, SOFT);
    legend(g, bottom() + 62);
    for (int i = 0; i < foot.size(); i++) {
      words(g, foot.get(i), MARGIN, bottom() + 62 + 22 * legendLines() + LINE * i, 11, false, SOFT);
    }
  }

  private void cell(Graphics2D g, Cell cell, Rectangle2D box) {
    Entry best = cell.best();
    if (best == null) {
      boolean exact = cell.kind() == Frontier.Kind.EXACT;
      g.setColor(exact ? EXACT : GROUND);
      g.fill(box);
      if (!exact) {
        outline(g, box, EXACT, false);
      }
      String word =
          switch (cell.kind()) {
            case EXACT -> "exact";
            case NONE -> "none";
            case MISSING -> "–";
            case UNDECIDED, PERHAPS, TIE, FASTEST -> "?";
          };
      centred(g, word, box.getCenterX(), box.getCenterY() + 5, 13, false, SOFT);
      return;
    }
    Look look = Palette.look(best.mechanism(), 0);
    g.setColor(look.color());
    g.fill(box);
    Color second = second(cell);
    if (second != null) {
      stripes(g, box, second);
    }
    boolean wide = box.getWidth() >= WIDE;
    String factor = PhaseText.factor(best) + "×" + (cell.onlyWhereChosen() ? "*" : "");
    double size = 15;
    double textWidth = width(g, factor, size) + 16;
    double middle = wide ? box.getCenterY() - 2 : box.getCenterY() + 5;
    Color on = second == null ? contrast(look.color()) : INK;
    if (second != null) {
      double half = Math.max(textWidth, wide ? width(g, best.mechanism(), 11) : 0) / 2 + 6;
      g.setColor(GROUND);
      g.fill(
          new RoundRectangle2D.Double(
              box.getCenterX() - half, box.getY() + 6, 2 * half, box.getHeight() - 12, 10, 10));
    }
    double x = box.getCenterX() - textWidth / 2;
    g.setColor(second == null ? on : look.color());
    marker(g, look, x + 5, middle - 5, 10);
    words(g, factor, x + 16, middle, size, true, on);
    if (wide) {
      centred(g, best.mechanism(), box.getCenterX(), box.getCenterY() + 15, 11, false, on);
    }
    if (cell.onlyWhereChosen()) {
      outline(
          g,
          new Rectangle2D.Double(
              box.getX() + 3, box.getY() + 3, box.getWidth() - 6, box.getHeight() - 6),
          on,
          true);
    }
  }

  /// The other colour of a hatched cell; absent where intervals decide.
  private static @Nullable Color second(Cell cell) {
    return switch (cell.kind()) {
      case UNDECIDED -> EXACT;
      case PERHAPS -> GROUND;
      case TIE ->
          cell.runnerUp() == null ? EXACT : Palette.look(cell.runnerUp().mechanism(), 0).color();
      case FASTEST, EXACT, NONE, MISSING -> null;
    };
  }

  private static void stripes(Graphics2D g, Rectangle2D box, Color color) {
    Shape before = g.getClip();
    g.clip(box);
    g.setColor(color);
    g.setStroke(new BasicStroke(6, BasicStroke.CAP_BUTT, BasicStroke.JOIN_MITER));
    for (double x = box.getX() - box.getHeight(); x < box.getMaxX(); x += 17) {
      g.draw(new Line2D.Double(x, box.getMaxY() + 4, x + box.getHeight() + 8, box.getY() - 4));
    }
    g.setClip(before);
  }

  private static void outline(Graphics2D g, Rectangle2D box, Color color, boolean dashed) {
    g.setColor(color);
    g.setStroke(
        new BasicStroke(
            1.3f,
            BasicStroke.CAP_BUTT,
            BasicStroke.JOIN_MITER,
            10,
            dashed ? new float[] {4, 3} : null,
            0));
    g.draw(box);
  }

  private void legend(Graphics2D g, int y) {
    double column = (WIDTH - 2.0 * MARGIN) / 3;
    List<String> names = diagram.mechanisms();
    for (int i = 0; i <= names.size(); i++) {
      double x = MARGIN + column * (i % 3);
      int line = y + 22 * (i / 3);
      if (i == names.size()) {
        g.setColor(EXACT);
        g.fill(new Rectangle2D.Double(x, line - 11, 20, 14));
        words(g, "exact attention (tiled)", x + 28, line, 12.5, false, INK);
        continue;
      }
      Look look = Palette.look(names.get(i), 0);
      g.setColor(look.color());
      g.fill(new Rectangle2D.Double(x, line - 11, 20, 14));
      g.setColor(contrast(look.color()));
      marker(g, look, x + 10, line - 4, 9);
      words(g, names.get(i), x + 28, line, 12.5, false, INK);
    }
  }

  private static void marker(Graphics2D g, Look look, double x, double y, double size) {
    AffineTransform place = AffineTransform.getTranslateInstance(x, y);
    place.scale(size, size);
    g.fill(place.createTransformedShape(look.marker().unit()));
  }

  /// Ink or white, whichever is read better on a colour.
  static Color contrast(Color color) {
    return Palette.readsWhite(color) ? GROUND : INK;
  }

  private static double width(Graphics2D g, String text, double size) {
    FontMetrics metrics = g.getFontMetrics(Fonts.regular(size));
    return metrics.stringWidth(text);
  }

  private static void centred(
      Graphics2D g, String text, double x, double y, double size, boolean bold, Color color) {
    words(g, text, x - width(g, text, size) / 2, y, size, bold, color);
  }

  private static void words(
      Graphics2D g, String text, double x, double y, double size, boolean bold, Color color) {
    g.setFont(bold ? Fonts.bold(size) : Fonts.regular(size));
    g.setColor(color);
    g.drawString(text, (float) x, (float) y);
  }
}
