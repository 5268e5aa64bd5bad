// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import de.rototor.pdfbox.graphics2d.PdfBoxGraphics2D;
import dev.crossover.bench.result.NamedFiles;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.Consumer;
import javax.imageio.ImageIO;
import org.apache.pdfbox.pdmodel.PDDocument;
import org.apache.pdfbox.pdmodel.PDPage;
import org.apache.pdfbox.pdmodel.PDPageContentStream;
import org.apache.pdfbox.pdmodel.common.PDRectangle;

/// Writes what is painted once as a bitmap and as a vector drawing.
final class PictureFiles {
  private static final int SCALE = 2;

  private PictureFiles() {}

  /// A bitmap of twice the nominal size.
  static void png(Path file, int width, int height, Consumer<Graphics2D> painter)
      throws IOException {
    BufferedImage image =
        new BufferedImage(width * SCALE, height * SCALE, BufferedImage.TYPE_INT_RGB);
    Graphics2D g = image.createGraphics();
    g.scale(SCALE, SCALE);
    painter.accept(g);
    g.dispose();
    try (OutputStream out = Files.newOutputStream(file)) {
      ImageIO.write(image, "png", out);
    } catch (IOException e) {
      throw NamedFiles.named(file, e);
    }
  }

  /// A vector drawing of one page.
  static void pdf(Path file, int width, int height, Consumer<Graphics2D> painter)
      throws IOException {
    try (PDDocument document = new PDDocument();
        OutputStream out = Files.newOutputStream(file)) {
      PDPage page = new PDPage(new PDRectangle(width, height));
      document.addPage(page);
      PdfBoxGraphics2D g = new PdfBoxGraphics2D(document, width, height);
      painter.accept(g);
      g.dispose();
      try (PDPageContentStream content = new PDPageContentStream(document, page)) {
        content.drawForm(g.getXFormObject());
      }
      document.save(out);
    } catch (IOException e) {
      throw NamedFiles.named(file, e);
    }
  }
}
