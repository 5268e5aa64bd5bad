// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.SyntheticStudy;
import dev.crossover.variants.Catalogue;
import java.awt.image.BufferedImage;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import javax.imageio.ImageIO;
import org.apache.pdfbox.Loader;
import org.apache.pdfbox.pdmodel.PDDocument;
import org.apache.pdfbox.rendering.PDFRenderer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FiguresTest {

  @Test
  void everyPanelOfAStudyIsDrawnAsPngAndPdf(@TempDir Path folder) throws Exception {
    String kept = System.getProperty("crossover.figures");
    Path target = kept == null ? folder : Files.createDirectories(Path.of(kept));
    int number = 0;
    for (Panel panel : Panel.of(SyntheticStudy.records(1))) {
      number++;
      List<Figure> figures =
          Figures.of(PanelAnswer.of(panel), "panel-" + number, "crossover sweep · Example CPU");
      assertTrue(figures.size() >= 4, "figures " + figures.size());
      for (Figure figure : figures) {
        Path png = target.resolve(figure.name() + ".png");
        Path pdf = target.resolve(figure.name() + ".pdf");
        figure.writePng(png);
        figure.writePdf(pdf);
        BufferedImage image = ImageIO.read(png.toFile());
        assertEquals(2 * LogPlot.WIDTH, image.getWidth());
        assertTrue(colours(image) > 20, "nothing was drawn in " + figure.name());
        try (PDDocument document = Loader.loadPDF(pdf.toFile())) {
          BufferedImage page = new PDFRenderer(document).renderImage(0);
          assertTrue(colours(page) > 20, "the page is empty in " + figure.name());
        }
      }
    }
  }

  /// A chart's place in the catalogue decides its looks, so no two of the first ninety may share
  /// them.
  @Test
  void mechanismsOfTheCatalogueDifferInLooks() {
    Set<String> seen = new HashSet<>();
    for (MechanismType type : Catalogue.all()) {
      Palette.Look look = Palette.look(type.name(), 0);
      assertTrue(seen.add(look.light() + look.marker()), type.name());
      assertEquals(look, Palette.look(type.name(), 0));
    }
  }

  @Test
  void settingsOfOneMechanismShareTheirMarkerAndDifferInShade() {
    Palette.Look first = Palette.look("longformer", 0);
    Palette.Look second = Palette.look("longformer", 1);
    assertEquals(first.marker(), second.marker());
    assertTrue(!first.light().equals(second.light()) && !first.dash().equals(second.dash()));
  }

  private static int colours(BufferedImage image) {
    Set<Integer> seen = new HashSet<>();
    for (int y = 0; y < image.getHeight(); y += 2) {
      for (int x = 0; x < image.getWidth(); x += 2) {
        seen.add(image.getRGB(x, y));
      }
    }
    return seen.size();
  }
}
