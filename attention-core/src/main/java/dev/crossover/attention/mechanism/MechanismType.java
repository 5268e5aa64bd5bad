// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.mechanism;

import dev.crossover.attention.Attention;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/// A mechanism's class seen through its annotations: name, documentation, parameters, construction.
///
/// Parameters are those of its [RecordType].
public final class MechanismType {
  private static final String LEVEL = "level";

  private final RecordType<Attention> record;
  private final Mechanism mechanism;

  private MechanismType(Class<? extends Attention> type) {
    Mechanism annotation = type.getAnnotation(Mechanism.class);
    if (annotation == null || !type.isRecord()) {
      throw new IllegalArgumentException(
          "type must be a record annotated with @Mechanism, but was " + type.getName());
    }
    mechanism = annotation;
    record = new RecordType<>(type, annotation.name());
  }

  /// Reads a mechanism's annotations and checks that its defaults are valid.
  public static MechanismType of(Class<? extends Attention> type) {
    return new MechanismType(type);
  }

  /// The annotation.
  public Mechanism mechanism() {
    return mechanism;
  }

  /// Name on the command line.
  public String name() {
    return mechanism.name();
  }

  /// Name in golden files.
  public String goldenName() {
    return mechanism.golden().isEmpty() ? mechanism.name() : mechanism.golden();
  }

  /// Whether a golden file means this mechanism: by its name, and by the key `level` where a layer
  /// shares the name.
  ///
  /// @param golden the file's mechanism
  /// @param values the file's parameters
  public boolean isMeantBy(String golden, Map<String, String> values) {
    List<String> levels = goldenLevels();
    return golden.equals(goldenName())
        && (levels.isEmpty() || levels.contains(values.getOrDefault(LEVEL, "")));
  }

  /// What golden files say as `level` to mean this mechanism, see [Mechanism#goldenLevels]; empty
  /// where they need not.
  public List<String> goldenLevels() {
    return List.of(mechanism.goldenLevels());
  }

  /// The record class.
  public Class<? extends Attention> type() {
    return record.type();
  }

  /// The parameters in declaration order.
  public List<RecordType.ParameterInfo> parameters() {
    return record.parameters();
  }

  /// The parameters that trade accuracy for work, in declaration order.
  public List<RecordType.KnobInfo> knobs() {
    return record.knobs();
  }

  /// The branches that parameters switch off, in declaration order.
  public List<RecordType.BranchInfo> branches() {
    return record.branches();
  }

  /// The mechanism with all defaults.
  public Attention defaults() {
    return record.defaults();
  }

  /// The mechanism with some parameters set.
  ///
  /// @param values text per parameter name
  /// @throws IllegalArgumentException naming an unknown parameter (with the nearest name) or a
  ///     value that breaks a rule
  public Attention create(Map<String, String> values) {
    return record.create(values);
  }

  /// The mechanism a golden file means: parameters it does not give take [Parameter#goldenDefault].
  ///
  /// @param values text per parameter name; `level`, where that chooses the mechanism
  /// @throws IllegalArgumentException as [#create], and where `level` means another
  public Attention createGolden(Map<String, String> values) {
    if (goldenLevels().isEmpty()) {
      return record.createGolden(values);
    }
    Map<String, String> own = new LinkedHashMap<>(values);
    String level = Objects.requireNonNullElse(own.remove(LEVEL), "");
    if (!goldenLevels().contains(level)) {
      throw new IllegalArgumentException(
          name() + ": level must be one of " + goldenLevels() + ", but was '" + level + "'");
    }
    return record.createGolden(own);
  }

  /// All parameters of a value of this type as text, defaults included; absent ones are left out.
  public Map<String, String> parametersOf(Attention attention) {
    return record.parametersOf(attention);
  }

  /// The shortest `name:param=value,…` that creates a value: parameters at their default are left
  /// out.
  public String describe(Attention attention) {
    return record.describe(attention);
  }
}
