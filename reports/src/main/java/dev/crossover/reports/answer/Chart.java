// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.ArrayList;
import java.util.List;

/// A chart of a [StudyView]: a figure, its numbers as a CSV file and, where it says so, a chart of
/// the page, all under one name.
public sealed interface Chart {

  /// End of the names of its files, and its name on the page.
  String file();

  /// Heading on the page.
  String title();

  /// How to read it on the page, one line.
  String how();

  /// Whether the page has it, too.
  boolean onPage();

  /// Keys of the columns of its CSV file.
  List<String> columns();

  /// A metric over lengths.
  ///
  /// @param metric what is drawn
  /// @param picture how
  record Lines(Metric metric, Picture picture) implements Chart {
    @Override
    public String file() {
      return picture.file();
    }

    @Override
    public String title() {
      return picture.title();
    }

    @Override
    public String how() {
      return picture.how();
    }

    @Override
    public boolean onPage() {
      return picture.onPage();
    }

    @Override
    public List<String> columns() {
      List<String> further = new ArrayList<>(List.of(metric.key()));
      picture.range().forEach(end -> further.add(end.key()));
      further.addAll(picture.beside());
      return Chart.withPoint(further.toArray(String[]::new));
    }
  }

  /// Error against a cost at one length.
  ///
  /// @param cost what is paid
  /// @param costTitle what it is called on the figure
  record Front(String file, String title, String how, boolean onPage, Metric cost, String costTitle)
      implements Chart {
    @Override
    public List<String> columns() {
      return Chart.withPoint(cost.key(), Metrics.ERROR.key(), "fronts");
    }
  }

  /// Counted work over measured time against what the machine can do, at one length.
  record Roof(String file, String title, String how, boolean onPage) implements Chart {
    @Override
    public List<String> columns() {
      return Chart.withPoint("intensity", "gflops", "share_of_peak", "roof_gflops");
    }
  }

  private static List<String> withPoint(String... keys) {
    List<String> columns = new ArrayList<>(List.of("mechanism", "spec", "n"));
    columns.addAll(List.of(keys));
    return List.copyOf(columns);
  }
}
