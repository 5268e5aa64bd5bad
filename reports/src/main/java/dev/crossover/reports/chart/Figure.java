// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import java.awt.Color;
import java.awt.Font;
import java.awt.FontMetrics;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.knowm.xchart.XYChart;

/// A chart with its title above and its origin below, ready to be written.
public final class Figure {
  private static final int HEADER = 62;
  private static final int FOOTER_LINE = 16;
  private static final int MARGIN = 20;
  private static final int LEGEND_ROOM = 10;
  private static final Color INK = new Color(0x16181d);
  private static final Color SOFT = new Color(0x6b7280);

  private final String name;
  private final String title;
  private final String subtitle;
  private final List<String> origin;
  private final XYChart chart;
  private final int chartHeight;

  Figure(String name, String title, String subtitle, String origin, LogPlot plot) {
    this.name = name;
    this.title = title;
    this.subtitle = subtitle;
    this.chart = plot.finish();
    this.chartHeight = plot.height();
    this.origin = wrap(origin, Fonts.regular(11), LogPlot.WIDTH - 2 * MARGIN);
  }

  /// File name without its extension: lower-case letters, digits and hyphens.
  public String name() {
    return name;
  }

  /// The title.
  public String title() {
    return title;
  }

  /// Writes `NAME.png` and `NAME.pdf` into a folder.
  public void write(Path folder) throws IOException {
    writePng(folder.resolve(name + ".png"));
    writePdf(folder.resolve(name + ".pdf"));
  }

  /// Writes a bitmap of twice the nominal size.
  public void writePng(Path file) throws IOException {
    PictureFiles.png(file, LogPlot.WIDTH, height(), this::paint);
  }

  /// Writes a vector drawing of one page.
  public void writePdf(Path file) throws IOException {
    PictureFiles.pdf(file, LogPlot.WIDTH, height(), this::paint);
  }

  private int height() {
    return HEADER + chartHeight + FOOTER_LINE * origin.size() + MARGIN;
  }

  private void paint(Graphics2D g) {
    g.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
    g.setRenderingHint(
        RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
    g.setRenderingHint(RenderingHints.KEY_STROKE_CONTROL, RenderingHints.VALUE_STROKE_PURE);
    g.setColor(Color.WHITE);
    g.fillRect(0, 0, LogPlot.WIDTH, height());
    text(g, title, Fonts.bold(19), INK, 34);
    text(g, subtitle, Fonts.regular(13), SOFT, 56);
    g.translate(0, HEADER);
    // XChart measures legends a little short
    chart.paint(g, LogPlot.WIDTH - LEGEND_ROOM, chartHeight);
    g.translate(0, -HEADER);
    for (int i = 0; i < origin.size(); i++) {
      text(
          g,
          origin.get(i),
          Fonts.regular(11),
          SOFT,
          HEADER + chartHeight + FOOTER_LINE * (i + 1) - 3);
    }
  }

  private static void text(Graphics2D g, String text, Font font, Color color, int baseline) {
    g.setFont(font);
    g.setColor(color);
    g.drawString(text, MARGIN, baseline);
  }

  private static List<String> wrap(String text, Font font, int width) {
    BufferedImage probe = new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB);
    Graphics2D g = probe.createGraphics();
    FontMetrics metrics = g.getFontMetrics(font);
    List<String> lines = new ArrayList<>();
    StringBuilder line = new StringBuilder();
    for (String word : text.replaceAll("\\p{Cntrl}", " ").split(" +")) {
      if (!line.isEmpty() && metrics.stringWidth(line + " " + word) > width) {
        lines.add(line.toString());
        line.setLength(0);
      }
      line.append(line.isEmpty() ? "" : " ").append(word);
    }
    lines.add(line.toString());
    g.dispose();
    return lines.size() <= 4 ? lines : lines.subList(0, 4);
  }
}
