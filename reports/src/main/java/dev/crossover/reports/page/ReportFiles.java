// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.result.NamedFiles;
import dev.crossover.reports.chart.Figure;
import dev.crossover.reports.chart.HeatMap;
import dev.crossover.reports.chart.PhasePicture;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Supplier;

/// Where a report puts its pictures and CSV files: into `figures/` and `csv/` of a folder, or
/// nowhere, when its words alone are wanted. Then nothing is drawn.
sealed interface ReportFiles {

  /// Into a folder, whose subfolders are created.
  static ReportFiles in(Path directory) throws IOException {
    return new Folder(
        Files.createDirectories(directory.resolve("figures")),
        Files.createDirectories(directory.resolve("csv")));
  }

  /// Nowhere.
  static ReportFiles none() {
    return new Nowhere();
  }

  /// Whether there will be pictures.
  boolean draws();

  /// Writes a table.
  ///
  /// @param name name of the file without extension
  void csv(String name, Table table) throws IOException;

  /// Draws figures and writes them.
  ///
  /// @return the figures; none where nothing is drawn
  List<Figure> figures(Supplier<List<Figure>> figures) throws IOException;

  /// Draws a phase diagram.
  void phase(String name, Supplier<PhasePicture> picture) throws IOException;

  /// Draws weights, and writes their numbers.
  ///
  /// @return the picture, PNG; empty where nothing is drawn
  byte[] map(String name, int positions, HeatMap.Weights weights) throws IOException;

  /// Pictures and tables as files.
  ///
  /// @param figures folder of pictures
  /// @param csv folder of tables
  record Folder(Path figures, Path csv) implements ReportFiles {
    @Override
    public boolean draws() {
      return true;
    }

    @Override
    public void csv(String name, Table table) throws IOException {
      NamedFiles.write(csv.resolve(name + ".csv"), table.csv());
    }

    @Override
    public List<Figure> figures(Supplier<List<Figure>> drawn) throws IOException {
      List<Figure> all = drawn.get();
      try {
        all.parallelStream().forEach(this::write);
      } catch (UncheckedIOException e) {
        throw e.getCause();
      }
      return all;
    }

    private void write(Figure figure) {
      try {
        figure.write(figures);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    @Override
    public void phase(String name, Supplier<PhasePicture> picture) throws IOException {
      PhasePicture drawn = picture.get();
      drawn.writePng(figures.resolve(name + ".png"));
      drawn.writePdf(figures.resolve(name + ".pdf"));
    }

    @Override
    public byte[] map(String name, int positions, HeatMap.Weights weights) throws IOException {
      byte[] png = HeatMap.png(positions, weights);
      NamedFiles.write(figures.resolve(name + ".png"), png);
      NamedFiles.write(csv.resolve(name + ".csv"), HeatMap.csv(positions, weights));
      return png;
    }
  }

  /// No files at all.
  record Nowhere() implements ReportFiles {
    @Override
    public boolean draws() {
      return false;
    }

    @Override
    public void csv(String name, Table table) {
      // its words alone are wanted
    }

    @Override
    public List<Figure> figures(Supplier<List<Figure>> figures) {
      return List.of();
    }

    @Override
    public void phase(String name, Supplier<PhasePicture> picture) {
      // its words alone are wanted
    }

    @Override
    public byte[] map(String name, int positions, HeatMap.Weights weights) {
      return new byte[0];
    }
  }
}
