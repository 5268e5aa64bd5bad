// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.bench.input.Inputs;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.models.layer.LayerCatalogue;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.TaskInfo;
import dev.crossover.models.task.Tasks;
import dev.crossover.reports.answer.Chart;
import dev.crossover.reports.answer.Metric;
import dev.crossover.reports.answer.Metrics;
import dev.crossover.reports.answer.StudyView;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Supplier;

/// What is declared once beside mechanisms, as `crossover list` prints it: inputs, tasks, layers,
/// metrics and studies. An entry holds texts, and lists of texts or of parameters.
final class Catalogues {
  private static final Map<String, Supplier<List<Map<String, Object>>>> BY_NAME = byName();

  private Catalogues() {}

  private static Map<String, Supplier<List<Map<String, Object>>>> byName() {
    Map<String, Supplier<List<Map<String, Object>>>> all = new LinkedHashMap<>();
    all.put("inputs", Catalogues::inputs);
    all.put("tasks", Catalogues::tasks);
    all.put("layers", Catalogues::layers);
    all.put("metrics", Catalogues::metrics);
    all.put("studies", Catalogues::studies);
    return all;
  }

  /// Their names on the command line.
  static List<String> names() {
    return List.copyOf(BY_NAME.keySet());
  }

  /// The entries of a catalogue that [#names] has.
  static List<Map<String, Object>> of(String name) {
    Supplier<List<Map<String, Object>>> entries = BY_NAME.get(name);
    if (entries == null) {
      throw new IllegalArgumentException(
          "catalogue must be one of " + names() + ", but was " + name);
    }
    return entries.get();
  }

  private static List<Map<String, Object>> layers() {
    List<Map<String, Object>> all = new ArrayList<>();
    for (MechanismType type : LayerCatalogue.named()) {
      Map<String, Object> one = entry("layer/" + type.name(), type.mechanism().title());
      one.put("parameter", parameters(type.parameters()));
      all.add(one);
    }
    return all;
  }

  private static List<Map<String, Object>> inputs() {
    List<Map<String, Object>> all = new ArrayList<>();
    Inputs.all()
        .forEach(
            (name, type) -> {
              Map<String, Object> one = entry(name, Inputs.info(type.type()).title());
              one.put("parameter", parameters(type.parameters()));
              all.add(one);
            });
    return all;
  }

  private static List<Map<String, Object>> tasks() {
    List<Map<String, Object>> all = new ArrayList<>();
    for (RecordType<Task> type : Tasks.all()) {
      TaskInfo info = Tasks.info(type.type());
      Map<String, Object> one = entry(type.name(), info.title());
      one.put("asks", info.asks());
      one.put("chance", type.defaults().chance());
      one.put("source", info.source());
      one.put("parameter", parameters(type.parameters()));
      all.add(one);
    }
    return all;
  }

  private static List<Map<String, Object>> metrics() {
    List<Map<String, Object>> all = new ArrayList<>();
    for (Metric metric : Metrics.ALL) {
      Map<String, Object> one = entry(metric.key(), metric.title());
      one.put("unit", token(metric.unit()));
      one.put("better", token(metric.better()));
      all.add(one);
    }
    return all;
  }

  private static List<Map<String, Object>> studies() {
    List<Map<String, Object>> all = new ArrayList<>();
    for (Study study : Study.values()) {
      StudyView view = StudyView.of(study);
      Map<String, Object> one = entry(study.word(), view.title());
      one.put("unit", view.unit());
      one.put("chart", view.charts().stream().map(Chart::file).toList());
      all.add(one);
    }
    return all;
  }

  private static Map<String, Object> entry(String name, String title) {
    Map<String, Object> one = new LinkedHashMap<>();
    one.put("name", name);
    one.put("title", title);
    return one;
  }

  /// Parameters as JSON has them.
  static List<Map<String, Object>> parameters(List<RecordType.ParameterInfo> parameters) {
    List<Map<String, Object>> all = new ArrayList<>();
    for (RecordType.ParameterInfo parameter : parameters) {
      Map<String, Object> one = new LinkedHashMap<>();
      one.put("name", parameter.name());
      one.put("default", parameter.defaultValue());
      one.put("meaning", parameter.meaning());
      one.put("values", parameter.values());
      all.add(one);
    }
    return all;
  }

  /// Prints entries, a few lines each.
  static void print(PrintWriter out, List<Map<String, Object>> entries) {
    for (Map<String, Object> entry : entries) {
      out.println(entry.get("name") + " — " + entry.get("title"));
      entry.forEach(
          (key, value) -> {
            List<?> parts = value instanceof List<?> list ? list : List.of(value);
            if (!key.equals("name") && !key.equals("title")) {
              parts.forEach(
                  part -> out.println(String.format(Locale.ROOT, "  %-10s ", key) + words(part)));
            }
          });
    }
  }

  private static String words(Object part) {
    if (!(part instanceof Map<?, ?> parameter)) {
      return String.valueOf(part);
    }
    String value = String.valueOf(parameter.get("default"));
    return parameter.get("name")
        + " = "
        + (value.isEmpty() ? "(absent)" : value)
        + ": "
        + parameter.get("meaning");
  }

  private static String token(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }
}
