package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.mechanism.RecordType;
import java.util.List;
import java.util.Map;

/// The built-in cache policies by name.
public final class CachePolicies {
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

  /// The policy of a name with some parameters.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static CachePolicy create(String name, Map<String, String> parameters) {
    return type(name).create(parameters);
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
