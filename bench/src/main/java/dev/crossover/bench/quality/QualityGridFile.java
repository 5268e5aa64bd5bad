// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.bench.yaml.YamlFile;
import dev.crossover.models.task.Tasks;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;

/// Reads grids of training runs from YAML text.
///
/// ```yaml
/// tasks: [mqar, 'mqar:n=128,pairs=8']
/// mixers:
///   - tiled
///   - deltanet: {beta_max: [1, 2], layers: 1}   # a grid: every combination
/// lr: [1e-3, 3e-3]
/// seeds: 3
/// options: {steps: 500}     # of all mixers
/// test_n: [128, 256]        # lengths beyond the task's own; data_seed: the samples'
/// ```
///
/// Every key but `seeds` and `data_seed` takes one value or a list; what is absent is as on the
/// command line. Several grids in one file are separated by `---`. A mistake is told as `file:line:
/// what must be, but was`.
public final class QualityGridFile extends YamlFile {
  /// Names of the built-in grids.
  public static final List<String> PRESETS = List.of("quick", "theory");

  private static final List<String> KEYS =
      List.of("tasks", "mixers", "lr", "seeds", "options", "test_n", "data_seed");

  private QualityGridFile(String name) {
    super(name);
  }

  /// Reads grids.
  ///
  /// @param name what to call the text in messages, usually the file's name
  /// @param text YAML
  /// @throws IllegalArgumentException `name:line: …` if the text is not a grid
  public static List<QualityGrid> read(String name, String text) {
    QualityGridFile file = new QualityGridFile(name);
    List<QualityGrid> grids = file.documents(text).stream().map(file::grid).toList();
    if (grids.isEmpty()) {
      throw new IllegalArgumentException(name + ":1: the file must hold a grid, but was empty");
    }
    return grids;
  }

  /// Text of a built-in grid.
  ///
  /// @param preset one of [#PRESETS]
  /// @throws IllegalArgumentException if there is none of this name
  public static String preset(String preset) {
    return preset(QualityGridFile.class, "grid", PRESETS, preset);
  }

  private QualityGrid grid(Node document) {
    if (!(document instanceof MappingNode mapping)) {
      throw error(document, "a grid must be written as key: value, but was " + words(document));
    }
    Map<String, Node> given = keys(mapping, KEYS);
    Node tasks = given.get("tasks");
    if (tasks == null) {
      throw error(document, "tasks must be given, but were absent");
    }
    QualityGrid grid =
        new QualityGrid(
            texts(tasks, "tasks"),
            mixers(given.get("mixers")),
            texts(given.get("lr"), "lr"),
            given.containsKey("seeds") ? positive(given.get("seeds"), "seeds") : 1,
            options(given.get("options")),
            numbers(given.get("test_n")),
            given.containsKey("data_seed") ? seed(given.get("data_seed")) : QualityGrid.DATA_SEED);
    for (Node task : items(tasks)) {
      check(task, () -> Tasks.parse(scalar(task, "tasks")));
    }
    check(document, grid::runs);
    return grid;
  }

  private List<String> texts(@Nullable Node node, String key) {
    return node == null ? List.of() : items(node).stream().map(item -> scalar(item, key)).toList();
  }

  private List<Integer> numbers(@Nullable Node node) {
    return node == null
        ? List.of()
        : items(node).stream().map(item -> positive(item, "test_n")).toList();
  }

  private long seed(Node node) {
    String text = scalar(node, "data_seed");
    try {
      return Long.parseLong(text);
    } catch (NumberFormatException e) {
      throw error(node, "data_seed must be a whole number, but was " + text);
    }
  }

  private Map<String, String> options(@Nullable Node node) {
    Map<String, String> options = new LinkedHashMap<>();
    if (node != null) {
      if (!(node instanceof MappingNode mapping)) {
        throw error(node, "options must be written as {key: value}, but was " + words(node));
      }
      for (NodeTuple entry : mapping.getValue()) {
        String key = scalar(entry.getKeyNode(), "an option");
        options.put(key, scalar(entry.getValueNode(), key));
      }
    }
    return options;
  }

  private List<String> mixers(@Nullable Node node) {
    List<String> mixers = new ArrayList<>();
    for (Node item : node == null ? List.<Node>of() : items(node)) {
      if (item instanceof MappingNode mapping) {
        for (NodeTuple entry : mapping.getValue()) {
          mixers.addAll(combinations(entry.getKeyNode(), entry.getValueNode()));
        }
      } else {
        mixers.add(scalar(item, "mixers"));
      }
    }
    return mixers;
  }

  /// Every combination of a mixer's options.
  private List<String> combinations(Node nameNode, Node options) {
    String base = scalar(nameNode, "mixers");
    if (!(options instanceof MappingNode mapping)) {
      throw error(
          options, base + " must be followed by {option: value}, but was " + words(options));
    }
    List<String> mixers = List.of(base);
    for (NodeTuple entry : mapping.getValue()) {
      String key = scalar(entry.getKeyNode(), "an option");
      List<String> longer = new ArrayList<>();
      for (String mixer : mixers) {
        for (Node value : items(entry.getValueNode())) {
          longer.add(mixer + "+" + key + "=" + scalar(value, key));
        }
      }
      mixers = longer;
    }
    return mixers;
  }
}
