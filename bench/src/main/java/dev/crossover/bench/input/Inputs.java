// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.mechanism.RecordType;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/// All inputs by name. To add one, write its record in a file of its own and name it here.
public final class Inputs {
  private static final List<Class<? extends InputRecord>> ALL =
      List.of(
          FileInput.Captured.class,
          ModelInput.class,
          GaussianInput.class,
          LowRankInput.class,
          ClusteredInput.class,
          HeavyTailedInput.class,
          NeedleInput.class,
          SinksInput.class,
          FileInput.OfUser.class);

  private static final Map<String, RecordType<InputRecord>> BY_NAME = byName();

  private Inputs() {}

  private static Map<String, RecordType<InputRecord>> byName() {
    Map<String, RecordType<InputRecord>> types = new LinkedHashMap<>();
    ALL.forEach(
        type -> types.put(info(type).name(), new RecordType<>(type, "input " + info(type).name())));
    return types;
  }

  /// All inputs by name, in a fixed order.
  public static Map<String, RecordType<InputRecord>> all() {
    return new LinkedHashMap<>(BY_NAME);
  }

  /// What documentation says of an input.
  ///
  /// @throws IllegalArgumentException if the class is not annotated
  public static InputInfo info(Class<? extends InputRecord> type) {
    InputInfo info = type.getAnnotation(InputInfo.class);
    if (info == null) {
      throw new IllegalArgumentException(
          "input must be annotated with @InputInfo, but was " + type.getName());
    }
    return info;
  }

  /// The source of a label, `name` or `name:param=value,param=value`.
  ///
  /// @throws IllegalArgumentException naming what is unknown, with the nearest name, or breaks a
  ///     rule
  static InputSource parse(String label) {
    int colon = label.indexOf(':');
    String name = colon < 0 ? label : label.substring(0, colon);
    RecordType<InputRecord> type = BY_NAME.get(name);
    if (type == null) {
      List<String> names = List.copyOf(BY_NAME.keySet());
      throw new IllegalArgumentException(
          "input must be one of " + names + ", but was " + name + Nearest.hint(name, names));
    }
    Map<String, String> values = new LinkedHashMap<>();
    for (String pair : colon < 0 ? new String[0] : label.substring(colon + 1).split(",", -1)) {
      int equals = pair.indexOf('=');
      if (equals < 1) {
        throw new IllegalArgumentException(
            "input parameters must read name=value, but was '" + label + "'");
      }
      values.put(pair.substring(0, equals), unescaped(pair.substring(equals + 1)));
    }
    return type.create(values).source();
  }

  /// The label of an input with all its parameters, so that records stay what they were when a
  /// default changes.
  static String label(InputRecord input) {
    String name = info(input.getClass()).name();
    RecordType<InputRecord> type = BY_NAME.get(name);
    if (type == null) {
      throw new IllegalArgumentException("input must be one of all inputs, but was " + name);
    }
    return name
        + type.parametersOf(input).entrySet().stream()
            .map(e -> e.getKey() + "=" + InputSource.escaped(e.getValue()))
            .collect(Collectors.joining(",", ":", ""));
  }

  private static String unescaped(String value) {
    return value.replace("%2C", ",").replace("%3D", "=").replace("%25", "%");
  }
}
