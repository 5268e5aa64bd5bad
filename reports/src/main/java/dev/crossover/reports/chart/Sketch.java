// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.geom.Ellipse2D;
import java.awt.geom.Path2D;
import java.awt.geom.QuadCurve2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/// A drawing of lines, circles, triangles and words, written as PNG, PDF or SVG.
///
/// In a page, SVG takes the page's colours of ink and ground, so that it follows dark schemes.
public final class Sketch {
  private final int width;
  private final int height;
  private final List<Shape> shapes = new ArrayList<>();

  /// Colours by meaning.
  enum Ink {
    /// Text and lines.
    INK("#16181d", "var(--ink,#16181d)"),
    /// Less important text and lines.
    SOFT("#6b7280", "var(--soft,#6b7280)"),
    /// What is behind everything.
    GROUND("#ffffff", "var(--ground,#ffffff)"),
    /// The inside of nodes.
    RAISED("#f1f3f6", "var(--raised,#f1f3f6)"),
    /// Something added.
    EXTRA("#d55e00", "#d55e00"),
    /// Something absent.
    MISSING("#0072b2", "#3a9fd1"),
    /// Something changed.
    CHANGED("#b0468f", "#c564a6");

    private final String paper;
    private final String page;

    Ink(String paper, String page) {
      this.paper = paper;
      this.page = page;
    }

    Color color() {
      return Color.decode(paper);
    }
  }

  /// Where words stand relative to their point.
  enum Anchor {
    /// They begin there.
    START("start"),
    /// They are centred there.
    MIDDLE("middle"),
    /// They end there.
    END("end");

    private final String svg;

    Anchor(String svg) {
      this.svg = svg;
    }
  }

  private sealed interface Shape {}

  /// A quadratic curve; straight where its control point lies between its ends.
  private record Line(
      double x1,
      double y1,
      double cx,
      double cy,
      double x2,
      double y2,
      Ink ink,
      double width,
      boolean dashed)
      implements Shape {}

  private record Circle(double x, double y, double radius, Ink fill, Ink line, double width)
      implements Shape {}

  private record Triangle(double[] x, double[] y, Ink fill) implements Shape {}

  private record Words(
      double x, double y, String text, double size, boolean bold, Anchor anchor, Ink ink)
      implements Shape {}

  /// An empty drawing.
  ///
  /// @param width in points
  /// @param height in points
  Sketch(int width, int height) {
    this.width = width;
    this.height = height;
  }

  void line(double x1, double y1, double x2, double y2, Ink ink, double lineWidth, boolean dashed) {
    curve(x1, y1, (x1 + x2) / 2, (y1 + y2) / 2, x2, y2, ink, lineWidth, dashed);
  }

  void curve(
      double x1,
      double y1,
      double cx,
      double cy,
      double x2,
      double y2,
      Ink ink,
      double lineWidth,
      boolean dashed) {
    shapes.add(new Line(x1, y1, cx, cy, x2, y2, ink, lineWidth, dashed));
  }

  void circle(double x, double y, double radius, Ink fill, Ink line, double lineWidth) {
    shapes.add(new Circle(x, y, radius, fill, line, lineWidth));
  }

  void triangle(double[] x, double[] y, Ink fill) {
    shapes.add(new Triangle(x, y, fill));
  }

  void words(double x, double y, String text, double size, boolean bold, Anchor anchor, Ink ink) {
    shapes.add(new Words(x, y, text, size, bold, anchor, ink));
  }

  /// Length of a text in points.
  static double width(String text, double size) {
    BufferedImage probe = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB);
    Graphics2D g = probe.createGraphics();
    double width = g.getFontMetrics(Fonts.regular(size)).stringWidth(text);
    g.dispose();
    return width;
  }

  /// Breaks a text into lines of at most so many points.
  static List<String> wrapped(String text, double size, double most) {
    BufferedImage probe = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB);
    Graphics2D g = probe.createGraphics();
    FontMetrics metrics = g.getFontMetrics(Fonts.regular(size));
    List<String> lines = new ArrayList<>();
    StringBuilder line = new StringBuilder();
    for (String word : text.split(" +")) {
      if (!line.isEmpty() && metrics.stringWidth(line + " " + word) > most) {
        lines.add(line.toString());
        line.setLength(0);
      }
      line.append(line.isEmpty() ? "" : " ").append(word);
    }
    lines.add(line.toString());
    g.dispose();
    return lines;
  }

  /// Writes a bitmap of twice the nominal size.
  public void writePng(Path file) throws IOException {
    PictureFiles.png(file, width, height, this::paint);
  }

  /// Writes a vector drawing of one page.
  public void writePdf(Path file) throws IOException {
    PictureFiles.pdf(file, width, height, this::paint);
  }

  private void paint(Graphics2D g) {
    g.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
    g.setRenderingHint(
        RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    g.setRenderingHint(RenderingHints.KEY_STROKE_CONTROL, RenderingHints.VALUE_STROKE_PURE);
    g.setColor(Color.WHITE);
    g.fillRect(0, 0, width, height);
    for (Shape shape : shapes) {
      switch (shape) {
        case Line line -> paint(g, line);
        case Circle circle -> paint(g, circle);
        case Triangle triangle -> paint(g, triangle);
        case Words words -> paint(g, words);
      }
    }
  }

  private static void paint(Graphics2D g, Line line) {
    float[] dash = line.dashed ? new float[] {5, 4} : null;
    g.setStroke(
        new BasicStroke(
            (float) line.width, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 10, dash, 0));
    g.setColor(line.ink.color());
    g.draw(new QuadCurve2D.Double(line.x1, line.y1, line.cx, line.cy, line.x2, line.y2));
  }

  private static void paint(Graphics2D g, Circle circle) {
    Ellipse2D shape =
        new Ellipse2D.Double(
            circle.x - circle.radius,
            circle.y - circle.radius,
            2 * circle.radius,
            2 * circle.radius);
    g.setColor(circle.fill.color());
    g.fill(shape);
    g.setStroke(new BasicStroke((float) circle.width));
    g.setColor(circle.line.color());
    g.draw(shape);
  }

  private static void paint(Graphics2D g, Triangle triangle) {
    Path2D path = new Path2D.Double();
    path.moveTo(triangle.x[0], triangle.y[0]);
    path.lineTo(triangle.x[1], triangle.y[1]);
    path.lineTo(triangle.x[2], triangle.y[2]);
    path.closePath();
    g.setColor(triangle.fill.color());
    g.fill(path);
  }

  private static void paint(Graphics2D g, Words words) {
    g.setFont(words.bold ? Fonts.bold(words.size) : Fonts.regular(words.size));
    g.setColor(words.ink.color());
    double length = g.getFontMetrics().stringWidth(words.text);
    double from =
        switch (words.anchor) {
          case START -> words.x;
          case MIDDLE -> words.x - length / 2;
          case END -> words.x - length;
        };
    g.drawString(words.text, (float) from, (float) words.y);
  }

  /// The drawing as SVG.
  ///
  /// @param inPage whether colours and font are those of the page around it
  /// @param title what a reader hears who does not see it
  public String svg(boolean inPage, String title) {
    StringBuilder out = new StringBuilder();
    out.append("<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 ")
        .append(width)
        .append(' ')
        .append(height)
        .append("\" width=\"")
        .append(width)
        .append("\" font-family=\"Open Sans, sans-serif\"><title>")
        .append(escaped(title))
        .append("</title>\n");
    for (Shape shape : shapes) {
      out.append(
          switch (shape) {
            case Line l ->
                text(
                    "<path d=\"M%.2f %.2fQ%.2f %.2f %.2f %.2f\" style=\"fill:none;stroke:%s;"
                        + "stroke-width:%.1f%s\"/>",
                    l.x1,
                    l.y1,
                    l.cx,
                    l.cy,
                    l.x2,
                    l.y2,
                    colour(l.ink, inPage),
                    l.width,
                    l.dashed ? ";stroke-dasharray:5 4" : "");
            case Circle c ->
                text(
                    "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"%.2f\" style=\"fill:%s;stroke:%s;"
                        + "stroke-width:%.1f\"/>",
                    c.x, c.y, c.radius, colour(c.fill, inPage), colour(c.line, inPage), c.width);
            case Triangle t ->
                text(
                    "<path d=\"M%.2f %.2fL%.2f %.2fL%.2f %.2fZ\" style=\"fill:%s\"/>",
                    t.x[0], t.y[0], t.x[1], t.y[1], t.x[2], t.y[2], colour(t.fill, inPage));
            case Words w ->
                text(
                    "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%.1f\" text-anchor=\"%s\" style=\""
                        + "fill:%s%s\">%s</text>",
                    w.x,
                    w.y,
                    w.size,
                    w.anchor.svg,
                    colour(w.ink, inPage),
                    w.bold ? ";font-weight:600" : "",
                    escaped(w.text));
          });
      out.append('\n');
    }
    return out.append("</svg>").toString();
  }

  private static String text(String format, Object... values) {
    return String.format(Locale.ROOT, format, values);
  }

  private static String colour(Ink ink, boolean inPage) {
    return inPage ? ink.page : ink.paper;
  }

  private static String escaped(String text) {
    return text.replaceAll("\\p{Cntrl}", " ")
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&quot;");
  }
}
