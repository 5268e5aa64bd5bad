// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.mechanism.RecordType;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The built-in cache policies by name.
public final class CachePolicies {
  private static final String BUDGET = "budget";
  private static final List<RecordType<CachePolicy>> ALL =
      List.of(
          new RecordType<>(StreamingLlm.class, StreamingLlm.NAME),
          new RecordType<>(H2o.class, H2o.NAME),
          new RecordType<>(ObservedAttention.class, ObservedAttention.NAME),
          new RecordType<>(Tova.class, Tova.NAME),
          new RecordType<>(SnapKv.class, SnapKv.NAME),
          new RecordType<>(PyramidKv.class, PyramidKv.NAME),
          new RecordType<>(KeyNorm.class, KeyNorm.NAME),
          new RecordType<>(KeyDiff.class, KeyDiff.NAME),
          new RecordType<>(ExpectedAttention.class, ExpectedAttention.NAME),
          new RecordType<>(Quest.class, Quest.NAME));

  private CachePolicies() {}

  /// All policies.
  public static List<RecordType<CachePolicy>> all() {
    return ALL;
  }

  /// The policy of a name with some parameters. A `budget` of `h2o` is halved, as in its paper's
  /// experiments: one half for heavy hitters, one for the newest positions.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static CachePolicy create(String name, Map<String, String> parameters) {
    if (!name.equals(H2o.NAME) || !parameters.containsKey(BUDGET)) {
      return type(name).create(parameters);
    }
    Map<String, String> halves = new LinkedHashMap<>(parameters);
    String text = halves.remove(BUDGET);
    if (halves.containsKey("heavy_budget") || halves.containsKey("recent_budget")) {
      throw new IllegalArgumentException(
          "budget must be absent where heavy_budget or recent_budget is given, but was " + text);
    }
    try {
      int budget = Integer.parseInt(text);
      halves.put("heavy_budget", Integer.toString(budget / 2));
      halves.put("recent_budget", Integer.toString(budget - budget / 2));
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException("budget must be an integer, but was '" + text + "'", e);
    }
    return type(name).create(halves);
  }

  /// Whether a policy of a name has a parameter; `budget` is understood by all of them.
  ///
  /// @throws IllegalArgumentException if there is no such policy
  public static boolean has(String name, String parameter) {
    return parameter.equals(BUDGET)
        || type(name).parameters().stream().anyMatch(p -> p.name().equals(parameter));
  }

  /// The policy type of a name.
  ///
  /// @throws IllegalArgumentException if there is none
  static RecordType<CachePolicy> type(String name) {
    for (RecordType<CachePolicy> type : ALL) {
      if (type.name().equals(name)) {
        return type;
      }
    }
    List<String> names = ALL.stream().map(RecordType::name).toList();
    throw new IllegalArgumentException(
        "policy must be one of " + names + ", but was " + name + Nearest.hint(name, names));
  }
}
