// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/// How a [Metric] is drawn over lengths in one study: as a figure, and on the page.
///
/// @param file end of the names of its files, and its name on the page
/// @param title heading on the page
/// @param how how to read it on the page, one line
/// @param figureTitle heading of the figure
/// @param figureHow how to read the figure, one line
/// @param axis what the axis is called
/// @param onPage whether the page has it, too
/// @param range metrics of the lower and the upper end of an interval; empty without
/// @param beside keys of further metrics in its CSV file
/// @param growth the fitted growth that the legend tells, given a series' answers
/// @param inexactOnly whether series that are exact are left out
/// @param guide whether tiled attention's work at the measured peak is drawn, too
public record Picture(
    String file,
    String title,
    String how,
    String figureTitle,
    String figureHow,
    String axis,
    boolean onPage,
    List<Metric> range,
    List<String> beside,
    Function<SeriesAnswer, Optional<ScalingFit>> growth,
    boolean inexactOnly,
    boolean guide) {

  /// Copies the lists.
  public Picture {
    range = List.copyOf(range);
    beside = List.copyOf(beside);
  }

  /// The same on the page and as a figure, without an interval.
  static Picture of(String file, String title, String how, String axis) {
    return new Picture(
        file,
        title,
        how,
        title,
        how,
        axis,
        true,
        List.of(),
        List.of(),
        _ -> Optional.empty(),
        false,
        false);
  }

  /// With other words at the figure than on the page.
  Picture figure(String heading, String reading) {
    return new Picture(
        file,
        title,
        how,
        heading,
        reading,
        axis,
        onPage,
        range,
        beside,
        growth,
        inexactOnly,
        guide);
  }

  /// On the page only where it is wanted there.
  Picture onPage(boolean wanted) {
    return new Picture(
        file,
        title,
        how,
        figureTitle,
        figureHow,
        axis,
        wanted,
        range,
        beside,
        growth,
        inexactOnly,
        guide);
  }

  /// With an interval from one metric to another.
  Picture between(Metric low, Metric high) {
    return new Picture(
        file,
        title,
        how,
        figureTitle,
        figureHow,
        axis,
        onPage,
        List.of(low, high),
        beside,
        growth,
        inexactOnly,
        guide);
  }

  /// With further metrics in its CSV file, by key.
  Picture beside(String... keys) {
    return new Picture(
        file,
        title,
        how,
        figureTitle,
        figureHow,
        axis,
        onPage,
        range,
        List.of(keys),
        growth,
        inexactOnly,
        guide);
  }

  /// With fitted growth in the legend.
  Picture growing(Function<SeriesAnswer, Optional<ScalingFit>> fit) {
    return new Picture(
        file,
        title,
        how,
        figureTitle,
        figureHow,
        axis,
        onPage,
        range,
        beside,
        fit,
        inexactOnly,
        guide);
  }

  /// Of series that are not exact.
  Picture ofInexact() {
    return new Picture(
        file, title, how, figureTitle, figureHow, axis, onPage, range, beside, growth, true, guide);
  }

  /// With tiled attention's work at the measured peak.
  Picture guided() {
    return new Picture(
        file,
        title,
        how,
        figureTitle,
        figureHow,
        axis,
        onPage,
        range,
        beside,
        growth,
        inexactOnly,
        true);
  }
}
