// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.mechanism.RecordType;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.stream.Stream;

/// All tasks by name: built-in ones here, those of other jars through
/// [ServiceLoader] of [Provider].
public final class Tasks {

  /// Provides tasks from another jar.
  public interface Provider {
    /// Records annotated with [TaskInfo].
    List<Class<? extends Task>> tasks();
  }

  private static final List<Class<? extends Task>> BUILT_IN =
      List.of(
          Mqar.class,
          Recall.class,
          FuzzyRecall.class,
          SelectiveCopying.class,
          Compression.class,
          Memorisation.class,
          Induction.class,
          Repeat.class,
          Tape.class,
          StringCopy.class,
          Parity.class,
          First.class,
          CycleNavigation.class,
          ModularArithmetic.class,
          ModularBrackets.class,
          Dyck.class,
          DyckRecognition.class,
          WordProblem.class,
          ListOps.class,
          Needle.class,
          Bytes.class);

  private static final Map<String, RecordType<Task>> BY_NAME = byName();

  private Tasks() {}

  private static Map<String, RecordType<Task>> byName() {
    Map<String, RecordType<Task>> types = new LinkedHashMap<>();
    Stream<Class<? extends Task>> provided =
        ServiceLoader.load(Provider.class).stream()
            .flatMap(provider -> provider.get().tasks().stream());
    Stream.concat(BUILT_IN.stream(), provided)
        .forEach(type -> types.put(info(type).name(), new RecordType<>(type, info(type).name())));
    return types;
  }

  /// All tasks in a fixed order.
  public static List<RecordType<Task>> all() {
    return List.copyOf(BY_NAME.values());
  }

  /// What documentation says of a task.
  ///
  /// @throws IllegalArgumentException if the class is not annotated
  public static TaskInfo info(Class<? extends Task> type) {
    TaskInfo info = type.getAnnotation(TaskInfo.class);
    if (info == null) {
      throw new IllegalArgumentException(
          "task must be annotated with @TaskInfo, but was " + type.getName());
    }
    return info;
  }

  /// Name of a task.
  public static String nameOf(Task task) {
    return info(task.getClass()).name();
  }

  /// The shortest `name:param=value,…` that means a task.
  public static String describe(Task task) {
    return type(nameOf(task)).describe(task);
  }

  /// The task of `name` or `name:param=value,param=value`.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static Task parse(String text) {
    int colon = text.indexOf(':');
    String name = colon < 0 ? text : text.substring(0, colon);
    return create(name, colon < 0 ? "" : text.substring(colon + 1));
  }

  /// The task of a name with parameters `param=value,param=value`.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static Task create(String name, String parameters) {
    Map<String, String> values = new LinkedHashMap<>();
    for (String part : parameters.isEmpty() ? new String[0] : parameters.split(",", -1)) {
      int equals = part.indexOf('=');
      if (equals <= 0) {
        throw new IllegalArgumentException(
            name + ": parameters must read param=value, but were " + part);
      }
      values.put(part.substring(0, equals), part.substring(equals + 1));
    }
    return type(name).create(values);
  }

  private static RecordType<Task> type(String name) {
    RecordType<Task> type = BY_NAME.get(name);
    if (type == null) {
      List<String> names = List.copyOf(BY_NAME.keySet());
      throw new IllegalArgumentException(
          "task must be one of " + names + ", but was " + name + Nearest.hint(name, names));
    }
    return type;
  }
}
