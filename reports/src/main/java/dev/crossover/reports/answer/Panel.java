// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Environment;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/// Records that may share one chart: one study, mask, input, shape apart from length, number of
/// threads, machine, JDK, kernels and commit.
///
/// @param key what the records share
/// @param series mechanisms in the catalogue's order, settings of one mechanism by their text
/// @param missing records of points that were skipped or failed
/// @param unsteady records of points of which a fork never became steady; no series holds them, so
///     that no answer rests on them
public record Panel(
    Key key, List<Series> series, List<ResultRecord> missing, List<ResultRecord> unsteady) {
  private static final String THROUGH_A_LAYER = " through multi-head layers";

  /// Copies the lists.
  public Panel {
    series = List.copyOf(series);
    missing = List.copyOf(missing);
    unsteady = List.copyOf(unsteady);
  }

  /// What all records of a panel share.
  ///
  /// @param study what was timed
  /// @param mask the mask's label
  /// @param input where the tensors came from; layers have panels of their own, so that a layer's
  ///     baseline is the layer around exact attention
  /// @param batch sequences
  /// @param heads query heads
  /// @param kvHeads key/value heads
  /// @param headDim width of queries and keys
  /// @param valueDim width of values
  /// @param crossLength key positions where they differ from query positions, otherwise zero
  /// @param threads number of threads
  /// @param environment machine, JDK, kernels and commit
  public record Key(
      Study study,
      String mask,
      String input,
      int batch,
      int heads,
      int kvHeads,
      int headDim,
      int valueDim,
      int crossLength,
      int threads,
      String environment) {

    static Key of(ResultRecord r) {
      ResultRecord.Shape shape = r.shape();
      boolean cross = r.study().wholeSequence() && shape.keySeqLen() != shape.n();
      return new Key(
          r.study(),
          r.mask(),
          Labels.isLayer(r) ? r.input().source() + THROUGH_A_LAYER : r.input().source(),
          shape.batch(),
          shape.heads(),
          shape.kvHeads(),
          shape.headDim(),
          shape.valueDim(),
          cross ? shape.keySeqLen() : 0,
          r.threads(),
          r.environment().key());
    }
  }

  /// Sorts records into panels, decoding with the errors of [DecodeErrors]; those with most
  /// measured series first, forward before decoding.
  public static List<Panel> of(List<ResultRecord> records) {
    Map<Key, List<ResultRecord>> groups = new LinkedHashMap<>();
    for (ResultRecord record : DecodeErrors.fill(records)) {
      groups.computeIfAbsent(Key.of(record), k -> new ArrayList<>()).add(record);
    }
    List<Panel> panels = new ArrayList<>();
    groups.forEach((key, group) -> panels.add(build(key, group)));
    panels.sort(
        Comparator.comparing((Panel p) -> p.key().study())
            .thenComparing(p -> -p.series().size())
            .thenComparing(p -> p.key().toString()));
    return List.copyOf(panels);
  }

  private static Panel build(Key key, List<ResultRecord> records) {
    Map<String, TreeMap<Integer, List<ResultRecord>>> bySpec = new TreeMap<>(Panel::compareSpecs);
    List<ResultRecord> missing = new ArrayList<>();
    List<ResultRecord> unsteady = new ArrayList<>();
    for (ResultRecord record : records) {
      if (record.unsteady()) {
        unsteady.add(record);
      } else if (record.status() == Status.OK) {
        bySpec
            .computeIfAbsent(record.spec(), s -> new TreeMap<>())
            .computeIfAbsent(record.shape().n(), n -> new ArrayList<>())
            .add(record);
      } else {
        missing.add(record);
      }
    }
    List<Series> series = new ArrayList<>();
    bySpec.forEach(
        (spec, byLength) -> {
          List<Point> points = new ArrayList<>();
          byLength.forEach((n, same) -> points.add(new Point(n, same)));
          ResultRecord any = points.getFirst().first();
          series.add(
              new Series(Labels.of(any), Labels.core(any), spec, any.approximates(), points));
        });
    series.sort(Comparator.comparingInt(s -> Labels.order(s.mechanism())));
    return new Panel(key, series, missing, unsteady);
  }

  /// Text order, except that runs of digits compare as numbers: `window=64` before `window=256`.
  private static int compareSpecs(String a, String b) {
    String[] left = a.split("(?<=\\D)(?=\\d)|(?<=\\d)(?=\\D)");
    String[] right = b.split("(?<=\\D)(?=\\d)|(?<=\\d)(?=\\D)");
    for (int i = 0; i < Math.min(left.length, right.length); i++) {
      boolean numbers = left[i].matches("\\d{1,18}") && right[i].matches("\\d{1,18}");
      int order =
          numbers
              ? Long.compare(Long.parseLong(left[i]), Long.parseLong(right[i]))
              : left[i].compareTo(right[i]);
      if (order != 0) {
        return order;
      }
    }
    int byLength = Integer.compare(left.length, right.length);
    return byLength != 0 ? byLength : a.compareTo(b);
  }

  /// Where the panel was measured.
  public Environment environment() {
    return anyRecord().environment();
  }

  /// Any record of the panel, for what all of them share.
  public ResultRecord anyRecord() {
    if (series.isEmpty()) {
      return missing.isEmpty() ? unsteady.getFirst() : missing.getFirst();
    }
    return series.getFirst().points().getFirst().first();
  }

  /// The series of a named exact baseline; with its default parameters where several were measured.
  /// Over a cache that rounds or drops it is none.
  public Optional<Series> baseline(String mechanism) {
    return series.stream()
        .filter(s -> s.mechanism().equals(mechanism) && s.approximates() == Approximates.EXACT)
        .min(Comparator.comparingInt(s -> s.spec().length()));
  }

  /// Every length measured in the panel, ascending.
  public List<Integer> lengths() {
    return series.stream()
        .flatMap(s -> s.points().stream())
        .map(Point::n)
        .distinct()
        .sorted()
        .toList();
  }

  /// What the panel's quantities are called.
  public StudyView view() {
    return StudyView.of(key.study());
  }

  /// Whether the panel is about decoding.
  public boolean decoding() {
    return !key.study().wholeSequence();
  }

  /// For example `Causal forward pass · captured`.
  public String title() {
    String mask =
        switch (key.mask()) {
          case "none" -> "without a mask";
          case "causal" -> "causal";
          case "key_padding" -> "with key padding";
          case "causal+key_padding" -> "causal, with key padding";
          default -> Labels.clean(key.mask());
        };
    return view().title(mask) + " · " + Labels.clean(key.input());
  }

  /// For example `batch 1, 8 heads × 64, 2 threads`.
  public String sizes() {
    StringBuilder text = new StringBuilder("batch ").append(key.batch()).append(", ");
    text.append(key.heads()).append(key.heads() == 1 ? " head × " : " heads × ");
    text.append(key.headDim());
    if (key.valueDim() != key.headDim()) {
      text.append(" (values ").append(key.valueDim()).append(')');
    }
    if (key.kvHeads() != key.heads()) {
      text.append(", ").append(key.kvHeads()).append(" key/value heads");
    }
    if (key.crossLength() > 0) {
      text.append(", ").append(key.crossLength()).append(" keys");
    }
    return text.append(", ")
        .append(key.threads())
        .append(key.threads() == 1 ? " thread" : " threads")
        .toString();
  }
}
