// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.mechanism.RecordType.ParameterInfo;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Sweep.Effort;
import dev.crossover.bench.yaml.YamlFile;
import dev.crossover.models.layer.LayerCatalogue;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;

/// Reads a sweep from YAML text.
///
/// ```yaml
/// mechanisms:
///   - tiled
///   - longformer:window=128
///   - performer: {num_features: [64, 256]}   # a grid: every combination
/// lengths: 512..8192                         # doubles from the first, ends with the last
/// masks: [none, causal]
/// effort: standard
/// ```
///
/// Every key takes one value or a list; what is absent is that of the default sweep. Several sweeps
/// in one file are separated by `---`; their points are measured as one sweep, with the effort of
/// the first. A mistake is told as `file:line: what must be, but was`.
public final class SweepFile extends YamlFile {
  /// Names of the built-in sweeps.
  public static final List<String> PRESETS =
      List.of("quick", "standard", "full", "learned", "decode-stores");

  private static final List<String> KEYS =
      List.of(
          "mechanisms",
          "lengths",
          "d",
          "heads",
          "batch",
          "masks",
          "threads",
          "inputs",
          "seeds",
          "studies",
          "effort",
          "forks");

  private final Sweep usual;
  private @Nullable Effort effort;

  private SweepFile(String name, int threads) {
    super(name);
    this.usual = Sweep.defaults(threads);
  }

  /// Reads a sweep.
  ///
  /// @param name what to call the text in messages, usually the file's name
  /// @param text YAML
  /// @param threads threads where the text says nothing or `all`
  /// @throws IllegalArgumentException `name:line: …` if the text is not a sweep
  public static SweepPlan read(String name, String text, int threads) {
    SweepFile file = new SweepFile(name, threads);
    List<Sweep> parts = new ArrayList<>();
    for (Node document : file.documents(text)) {
      parts.add(file.sweep(document, parts.isEmpty()));
    }
    if (parts.isEmpty()) {
      throw new IllegalArgumentException(name + ":1: the file must hold a sweep, but was empty");
    }
    return new SweepPlan(parts, file.effort == null ? Effort.QUICK : file.effort, 0, 1);
  }

  /// Text of a built-in sweep.
  ///
  /// @param preset one of [#PRESETS]
  /// @throws IllegalArgumentException if there is none of this name
  public static String preset(String preset) {
    return preset(SweepFile.class, "preset", PRESETS, preset);
  }

  private Sweep sweep(Node document, boolean first) {
    if (!(document instanceof MappingNode mapping)) {
      throw error(document, "a sweep must be written as key: value, but was " + words(document));
    }
    Map<String, Node> given = keys(mapping, KEYS);
    effort(given, first);
    return new Sweep(
        values(given, "studies", usual.studies(), this::study),
        given.containsKey("mechanisms") ? mechanisms(given.get("mechanisms")) : usual.specs(),
        lengths(given.get("lengths")),
        values(given, "d", usual.dims(), node -> positive(node, "d")),
        values(given, "heads", usual.heads(), node -> positive(node, "heads")),
        values(given, "batch", usual.batches(), node -> positive(node, "batch")),
        values(given, "masks", usual.masks(), node -> oneOf(node, "masks", "none", "causal")),
        values(given, "threads", usual.threads(), this::threads),
        values(given, "inputs", usual.inputs(), this::input),
        values(given, "seeds", usual.seeds(), this::seed),
        Effort.QUICK,
        0,
        1);
  }

  private void effort(Map<String, Node> given, boolean first) {
    for (String key : List.of("effort", "forks")) {
      Node node = given.get(key);
      if (node != null && !first) {
        throw error(node, key + " must be in the first sweep of the file, but was in a later one");
      }
    }
    Effort chosen = Effort.QUICK;
    Node effortNode = given.get("effort");
    if (effortNode != null) {
      chosen = Effort.of(oneOf(effortNode, "effort", "quick", "standard", "full"));
    }
    Node forksNode = given.get("forks");
    if (first) {
      effort = forksNode == null ? chosen : chosen.withForks(positive(forksNode, "forks"));
    }
  }

  private List<String> mechanisms(Node node) {
    List<String> specs = new ArrayList<>();
    if (node instanceof MappingNode mapping) {
      for (NodeTuple entry : mapping.getValue()) {
        specs.addAll(grid(entry.getKeyNode(), entry.getValueNode()));
      }
    } else {
      for (Node item : items(node)) {
        specs.addAll(
            item instanceof MappingNode mapping ? mechanisms(mapping) : List.of(spec(item)));
      }
    }
    if (specs.isEmpty()) {
      throw error(node, "mechanisms must name a mechanism, but were none");
    }
    return specs;
  }

  private String spec(Node node) {
    String text = scalar(node, "a mechanism");
    check(node, () -> DecimalComma.refuse(text));
    check(node, () -> LayerCatalogue.parse(text));
    return text;
  }

  /// Every combination of a mechanism's parameter values.
  private List<String> grid(Node nameNode, Node parameters) {
    String base = spec(nameNode);
    if (isEmpty(parameters)) {
      return List.of(base);
    }
    if (!(parameters instanceof MappingNode mapping)) {
      throw error(
          parameters,
          base + " must be followed by {parameter: value}, but was " + words(parameters));
    }
    MechanismType type = LayerCatalogue.typeOf(LayerCatalogue.parse(base));
    List<String> known = type.parameters().stream().map(ParameterInfo::name).toList();
    boolean caches = CachingAttention.class.isAssignableFrom(type.type());
    List<String> ofCache = caches ? CacheOptions.parameters() : List.of();
    List<String> specs = new ArrayList<>(List.of(base));
    for (NodeTuple entry : mapping.getValue()) {
      String parameter = scalar(entry.getKeyNode(), "a parameter");
      if (!known.contains(parameter) && !ofCache.contains(parameter)) {
        throw error(
            entry.getKeyNode(),
            type.name()
                + ": parameter must be one of "
                + known
                + ", but was "
                + parameter
                + Nearest.hint(parameter, known));
      }
      List<String> longer = new ArrayList<>();
      for (String spec : specs) {
        for (Node value : items(entry.getValueNode())) {
          longer.add(ErrorProblem.with(spec, parameter, scalar(value, parameter)));
        }
      }
      specs = longer;
    }
    for (String spec : specs) {
      check(faultyValue(base, mapping, nameNode), () -> LayerCatalogue.parse(spec));
    }
    return specs;
  }

  /// The value that is wrong on its own, or else the mechanism's name.
  private static Node faultyValue(String base, MappingNode mapping, Node nameNode) {
    for (NodeTuple entry : mapping.getValue()) {
      for (Node value : items(entry.getValueNode())) {
        if (entry.getKeyNode() instanceof ScalarNode key && value instanceof ScalarNode scalar) {
          try {
            LayerCatalogue.parse(ErrorProblem.with(base, key.getValue(), scalar.getValue()));
          } catch (IllegalArgumentException e) {
            return value;
          }
        }
      }
    }
    return nameNode;
  }

  private List<Integer> lengths(@Nullable Node node) {
    if (node == null) {
      return usual.lengths();
    }
    List<Integer> lengths = new ArrayList<>();
    for (Node item : items(node)) {
      String text = scalar(item, "lengths");
      int dots = text.indexOf("..");
      if (dots < 0) {
        lengths.add(positive(item, "lengths"));
        continue;
      }
      int first = positive(item, "lengths", text.substring(0, dots));
      int last = positive(item, "lengths", text.substring(dots + 2));
      if (last < first) {
        throw error(item, "lengths must grow, but were " + text);
      }
      for (long n = first; n < last; n *= 2) {
        lengths.add((int) n);
      }
      lengths.add(last);
    }
    if (lengths.isEmpty()) {
      throw error(node, "lengths must hold a value, but was empty");
    }
    return lengths;
  }

  private Study study(Node node) {
    return Study.of(oneOf(node, "studies", Study.words().toArray(String[]::new)));
  }

  private int threads(Node node) {
    return scalar(node, "threads").equals("all")
        ? usual.threads().getFirst()
        : positive(node, "threads");
  }

  private String input(Node node) {
    String label = scalar(node, "inputs");
    check(node, () -> DecimalComma.refuse(label));
    check(node, () -> InputSource.parse(label));
    return label;
  }

  private long seed(Node node) {
    String text = scalar(node, "seeds");
    try {
      return Long.parseLong(text);
    } catch (NumberFormatException e) {
      throw error(node, "seeds must be whole numbers, but was " + text);
    }
  }

  private <T> List<T> values(
      Map<String, Node> given, String key, List<T> absent, Function<Node, T> read) {
    Node node = given.get(key);
    if (node == null) {
      return absent;
    }
    List<T> values = items(node).stream().map(read).toList();
    if (values.isEmpty()) {
      throw error(node, key + " must hold a value, but was empty");
    }
    return values;
  }
}
