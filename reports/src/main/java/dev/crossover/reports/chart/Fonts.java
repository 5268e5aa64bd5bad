// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.bench.result.NamedFiles;
import java.awt.Font;
import java.awt.FontFormatException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Properties;

/// Open Sans from the class path, the same on every machine.
///
/// AWT refuses to start on a machine without fontconfig or without any font, even when the program
/// brings its own. So the first use copies the fonts to a temporary folder and points AWT's font
/// configuration there, before anything else of AWT is touched.
final class Fonts {
  private static final String CONFIGURATION = "sun.awt.fontconfig";
  private static final Font REGULAR;
  private static final Font BOLD;

  static {
    System.setProperty("java.awt.headless", System.getProperty("java.awt.headless", "true"));
    try {
      Path folder = Files.createTempDirectory(NamedFiles.temporaryFolder(), "crossover-fonts");
      Path regular = copy(folder, "OpenSans-Regular.ttf");
      Path bold = copy(folder, "OpenSans-Bold.ttf");
      if (System.getProperty(CONFIGURATION) == null) {
        Path configuration = configure(folder, regular, bold);
        System.setProperty(CONFIGURATION, configuration.toString());
        configuration.toFile().deleteOnExit();
      }
      REGULAR = Font.createFont(Font.TRUETYPE_FONT, regular.toFile());
      BOLD = Font.createFont(Font.TRUETYPE_FONT, bold.toFile());
    } catch (IOException e) {
      throw new UncheckedIOException("fonts must be readable, but were not", e);
    } catch (FontFormatException e) {
      throw new IllegalStateException(e);
    }
  }

  private Fonts() {}

  /// Regular weight at a size in points.
  static Font regular(double size) {
    return REGULAR.deriveFont((float) size);
  }

  /// Bold weight at a size in points.
  static Font bold(double size) {
    return BOLD.deriveFont((float) size);
  }

  private static Path copy(Path folder, String name) throws IOException {
    Path target = folder.resolve(name);
    try (InputStream in = Fonts.class.getResourceAsStream(name)) {
      if (in == null) {
        throw new IOException(name + " is missing from the class path");
      }
      Files.copy(in, target, StandardCopyOption.REPLACE_EXISTING);
    }
    folder.toFile().deleteOnExit();
    target.toFile().deleteOnExit();
    return target;
  }

  /// The JDK's own font configuration format: logical fonts by X font names, X font names by file.
  private static Path configure(Path folder, Path regular, Path bold) throws IOException {
    String template = "-crossover-opensans-%s-r-normal--*-%%d-*-*-p-*-iso8859-1";
    String plainName = template.formatted("medium");
    String boldName = template.formatted("bold");
    Properties properties = new Properties();
    properties.setProperty("version", "1");
    properties.setProperty("sequence.allfonts", "latin-1");
    for (String family : List.of("serif", "sansserif", "monospaced", "dialog", "dialoginput")) {
      properties.setProperty(family + ".plain.latin-1", plainName);
      properties.setProperty(family + ".italic.latin-1", plainName);
      properties.setProperty(family + ".bold.latin-1", boldName);
      properties.setProperty(family + ".bolditalic.latin-1", boldName);
    }
    properties.setProperty("filename." + plainName, regular.toString());
    properties.setProperty("filename." + boldName, bold.toString());
    Path file = folder.resolve("fontconfig.properties");
    try (var out = Files.newOutputStream(file)) {
      properties.store(out, null);
    }
    return file;
  }
}
