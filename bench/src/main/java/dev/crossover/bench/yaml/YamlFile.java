// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.yaml;

import dev.crossover.attention.mechanism.Nearest;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;

/// What readers of YAML texts share: every mistake is told as `file:line: what must be, but was`.
public abstract class YamlFile {
  private final String name;

  /// @param name what to call the text in messages, usually the file's name
  protected YamlFile(String name) {
    this.name = name;
  }

  /// The text of a built-in file, `PRESET.yaml` beside a class.
  ///
  /// @param what what a preset is called in messages
  /// @param known names of all
  /// @throws IllegalArgumentException if there is none of this name
  protected static String preset(Class<?> beside, String what, List<String> known, String preset) {
    if (!known.contains(preset)) {
      throw new IllegalArgumentException(
          what + " must be one of " + known + ", but was " + preset + Nearest.hint(preset, known));
    }
    try (InputStream stream =
        Objects.requireNonNull(beside.getResourceAsStream(preset + ".yaml"))) {
      return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// The documents of a text.
  ///
  /// @throws IllegalArgumentException `name:line: …` if the text is not YAML
  protected final List<Node> documents(String text) {
    try {
      List<Node> documents = new ArrayList<>();
      LoadSettings settings = LoadSettings.builder().setLabel(name).build();
      new Compose(settings).composeAllFromString(text).forEach(documents::add);
      return documents;
    } catch (MarkedYamlEngineException e) {
      int line = e.getProblemMark().map(mark -> mark.getLine() + 1).orElse(1);
      throw new IllegalArgumentException(
          name + ":" + line + ": the file must be YAML, but " + e.getProblem(), e);
    } catch (YamlEngineException e) {
      throw new IllegalArgumentException(
          name + ":1: the file must be YAML, but " + String.valueOf(e.getMessage()), e);
    }
  }

  /// The values of a mapping by key, each known and given once.
  protected final Map<String, Node> keys(MappingNode mapping, List<String> known) {
    Map<String, Node> given = new LinkedHashMap<>();
    for (NodeTuple entry : mapping.getValue()) {
      String key = scalar(entry.getKeyNode(), "a key");
      if (!known.contains(key)) {
        throw error(
            entry.getKeyNode(),
            "key must be one of " + known + ", but was " + key + Nearest.hint(key, known));
      }
      if (given.put(key, entry.getValueNode()) != null) {
        throw error(entry.getKeyNode(), key + " must be given once, but was given again");
      }
    }
    return given;
  }

  /// A word that must be one of those allowed.
  protected final String oneOf(Node node, String key, String... allowed) {
    String text = scalar(node, key);
    List<String> known = List.of(allowed);
    if (!known.contains(text)) {
      throw error(
          node, key + " must be one of " + known + ", but was " + text + Nearest.hint(text, known));
    }
    return text;
  }

  /// A whole number from 1.
  protected final int positive(Node node, String key) {
    return positive(node, key, scalar(node, key));
  }

  /// A whole number from 1, of a part of a scalar.
  protected final int positive(Node node, String key, String text) {
    try {
      int value = Integer.parseInt(text.strip());
      if (value >= 1) {
        return value;
      }
    } catch (NumberFormatException e) {
      // answered below, like a number that is too small
    }
    throw error(node, key + " must be whole numbers from 1, but was " + text);
  }

  /// A word or number.
  protected final String scalar(Node node, String what) {
    if (node instanceof ScalarNode scalar && !scalar.getValue().isBlank()) {
      return scalar.getValue().strip();
    }
    throw error(node, what + " must be a word or number, but was " + words(node));
  }

  /// Runs what reads a value; its refusal is told with the line.
  protected final void check(Node node, Runnable reading) {
    try {
      reading.run();
    } catch (IllegalArgumentException e) {
      throw error(node, String.valueOf(e.getMessage()));
    }
  }

  /// The items of a list; a single value is a list of itself.
  protected static List<Node> items(Node node) {
    return node instanceof SequenceNode list ? list.getValue() : List.of(node);
  }

  /// Whether a value is absent.
  protected static boolean isEmpty(Node node) {
    return node instanceof ScalarNode scalar && scalar.getValue().isBlank();
  }

  /// What a value is, in words.
  protected static String words(Node node) {
    return switch (node) {
      case MappingNode _ -> "key: value";
      case SequenceNode _ -> "a list";
      case ScalarNode scalar -> scalar.getValue().isBlank() ? "empty" : scalar.getValue();
      default -> "something else";
    };
  }

  /// The refusal of a value.
  protected final IllegalArgumentException error(Node node, String message) {
    int line = node.getStartMark().map(mark -> mark.getLine() + 1).orElse(1);
    return new IllegalArgumentException(name + ":" + line + ": " + message);
  }
}
