// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

import dev.crossover.attention.mechanism.Nearest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/// Sizes of a fresh model and which optional tensors it has, as `key=value` texts with defaults.
///
/// | key | meaning | absent |
/// |-----|---------|--------|
/// | `vocabulary` | rows of the embedding | 256 |
/// | `target_vocabulary` | rows of a table of its own for the decoder; 0: one table serves both | 0 |
/// | `width` | D | 64 |
/// | `inner` | F of the feed-forward; 0: 4 D, or 8 D/3 rounded up to a multiple of 8 for swiglu | 0 |
/// | `classes` | rows of the head of a classifier | 2 |
/// | `max_length` | positions of learned tables, filters and projections | 1024 |
/// | `head_dim`, `value_dim` | d and dv; 0: D/heads and d | 0, 0 |
/// | `conv`, `conv_bias` | taps of the short convolution, 0: none; boolean | 0, false |
/// | `gate` | boolean: output gate | false |
/// | `decay_rank` | r of GLA's gates | 16 |
/// | `attention_bias`, `feed_forward_bias` | booleans | false, true |
/// | `packed` | boolean: one weight for query, key and value | false |
/// | `tied` | boolean: the head is the embedding | true |
/// | `head_bias` | boolean, for a head of its own | false |
/// | `initialisation` | `gpt`, `fan_in` | `gpt` |
public final class ModelSizes {
  private static final Map<String, String> DEFAULTS = defaults();

  private final Map<String, String> given;

  private ModelSizes(Map<String, String> given) {
    this.given = new TreeMap<>(given);
    for (String key : given.keySet()) {
      if (!isKey(key)) {
        List<String> keys = List.copyOf(DEFAULTS.keySet());
        throw new IllegalArgumentException(
            "size must be one of " + keys + ", but was " + key + Nearest.hint(key, keys));
      }
    }
    for (Map.Entry<String, String> entry : DEFAULTS.entrySet()) {
      switch (entry.getValue()) {
        case "true", "false" -> is(entry.getKey());
        case "gpt" -> isFanIn();
        default -> size(entry.getKey());
      }
    }
  }

  /// Sizes from texts by key.
  ///
  /// @throws IllegalArgumentException naming an unknown key or a value that breaks a rule
  public static ModelSizes of(Map<String, String> values) {
    return new ModelSizes(values);
  }

  /// Whether a key is one of this page's.
  public static boolean isKey(String key) {
    return DEFAULTS.containsKey(key);
  }

  /// These sizes with one changed.
  public ModelSizes with(String key, Object value) {
    Map<String, String> changed = new LinkedHashMap<>(given);
    changed.put(key, value.toString());
    return new ModelSizes(changed);
  }

  /// What was given, by key.
  public Map<String, String> toMap() {
    return new TreeMap<>(given);
  }

  private static Map<String, String> defaults() {
    Map<String, String> map = new LinkedHashMap<>();
    map.put("vocabulary", "256");
    map.put("target_vocabulary", "0");
    map.put("width", "64");
    map.put("inner", "0");
    map.put("classes", "2");
    map.put("max_length", "1024");
    map.put("head_dim", "0");
    map.put("value_dim", "0");
    map.put("conv", "0");
    map.put("conv_bias", "false");
    map.put("gate", "false");
    map.put("decay_rank", "16");
    map.put("attention_bias", "false");
    map.put("feed_forward_bias", "true");
    map.put("packed", "false");
    map.put("tied", "true");
    map.put("head_bias", "false");
    map.put("initialisation", "gpt");
    return map;
  }

  private String text(String key) {
    return given.getOrDefault(key, DEFAULTS.getOrDefault(key, ""));
  }

  /// A size.
  public int size(String key) {
    try {
      int value = Integer.parseInt(text(key));
      if (value >= 0) {
        return value;
      }
    } catch (NumberFormatException e) {
      // answered below, like a number that is negative
    }
    throw new IllegalArgumentException(key + " must be an integer >= 0, but was " + text(key));
  }

  /// Whether an option is on.
  public boolean is(String key) {
    String text = text(key);
    if (!text.equals("true") && !text.equals("false")) {
      throw new IllegalArgumentException(key + " must be true or false, but was " + text);
    }
    return text.equals("true");
  }

  /// Whether weights start as PyTorch's maps do (true) or as GPT's (false).
  public boolean isFanIn() {
    String text = text("initialisation");
    if (!text.equals("gpt") && !text.equals("fan_in")) {
      throw new IllegalArgumentException("initialisation must be gpt or fan_in, but was " + text);
    }
    return text.equals("fan_in");
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof ModelSizes that && given.equals(that.given);
  }

  @Override
  public int hashCode() {
    return given.hashCode();
  }

  @Override
  public String toString() {
    return given.toString();
  }
}
