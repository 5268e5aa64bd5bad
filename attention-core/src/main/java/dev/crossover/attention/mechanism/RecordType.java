// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.mechanism;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Collectors;

/// A record class whose components are annotated with [Parameter], under a name: the common part of
/// mechanisms, tasks and other things that a command line writes as `name:param=value,param=value`.
///
/// [#create] turns such text into a value, [#describe] a value into the shortest such text.
///
/// @param <T> what the record is used as
public final class RecordType<T> {

  /// One parameter.
  ///
  /// @param name snake case
  /// @param meaning one line
  /// @param defaultValue as written on the command line; empty when absent by default
  /// @param values the allowed tokens; empty when not an enumeration
  /// @param kind `integer`, `number`, `boolean`, `token`, `list`, or with `optional ` in front
  public record ParameterInfo(
      String name, String meaning, String defaultValue, List<String> values, String kind) {}

  /// A parameter that trades accuracy for work.
  ///
  /// @param name of the parameter
  /// @param values sensible values, ascending
  /// @param accuracy which way accuracy goes as they grow
  /// @param costs what larger values cost
  public record KnobInfo(String name, List<Integer> values, Knob.Accuracy accuracy, String costs) {}

  /// A branch that a parameter switches off.
  ///
  /// @param name of the branch
  /// @param parameter its name
  /// @param off the value that does
  public record BranchInfo(String name, String parameter, String off) {}

  private final Class<? extends T> type;
  private final String name;
  private final RecordComponent[] components;
  private final List<ParameterInfo> parameters = new ArrayList<>();

  /// Reads a record's annotations and checks that its defaults are valid.
  ///
  /// @param type the record class
  /// @param name name on the command line
  /// @throws IllegalArgumentException if it is no record or a component has no [Parameter]
  public RecordType(Class<? extends T> type, String name) {
    if (!type.isRecord()) {
      throw new IllegalArgumentException("type must be a record, but was " + type.getName());
    }
    this.type = type;
    this.name = name;
    this.components = type.getRecordComponents();
    for (RecordComponent component : components) {
      parameters.add(infoOf(component));
    }
    defaults();
  }

  /// Name on the command line.
  public String name() {
    return name;
  }

  /// The record class.
  public Class<? extends T> type() {
    return type;
  }

  /// The parameters in declaration order.
  public List<ParameterInfo> parameters() {
    return List.copyOf(parameters);
  }

  /// The parameters that trade accuracy for work, in declaration order.
  public List<KnobInfo> knobs() {
    List<KnobInfo> knobs = new ArrayList<>();
    for (int i = 0; i < components.length; i++) {
      Knob knob = components[i].getAnnotation(Knob.class);
      if (knob != null) {
        List<Integer> values = Arrays.stream(knob.values()).boxed().toList();
        knobs.add(new KnobInfo(parameters.get(i).name(), values, knob.accuracy(), knob.costs()));
      }
    }
    return List.copyOf(knobs);
  }

  /// The branches that parameters switch off, in declaration order.
  public List<BranchInfo> branches() {
    List<BranchInfo> branches = new ArrayList<>();
    for (int i = 0; i < components.length; i++) {
      Branch branch = components[i].getAnnotation(Branch.class);
      if (branch != null) {
        branches.add(new BranchInfo(branch.value(), parameters.get(i).name(), branch.off()));
      }
    }
    return List.copyOf(branches);
  }

  /// The value with all defaults.
  public T defaults() {
    return create(Map.of());
  }

  /// The value with some parameters set.
  ///
  /// @param values text per parameter name
  /// @throws IllegalArgumentException naming an unknown parameter (with the nearest name) or a
  ///     value that breaks a rule
  public T create(Map<String, String> values) {
    for (String name : values.keySet()) {
      if (parameters.stream().noneMatch(p -> p.name().equals(name))) {
        List<String> names = parameters.stream().map(ParameterInfo::name).toList();
        throw new IllegalArgumentException(
            name
                + ": parameter must be one of "
                + names
                + ", but was "
                + name
                + Nearest.hint(name, names));
      }
    }
    Object[] arguments = new Object[components.length];
    for (int i = 0; i < components.length; i++) {
      ParameterInfo info = parameters.get(i);
      String text = values.getOrDefault(info.name(), info.defaultValue());
      arguments[i] = parse(info, components[i].getGenericType(), text);
    }
    Class<?>[] types =
        Arrays.stream(components).map(RecordComponent::getType).toArray(Class<?>[]::new);
    try {
      return type.getDeclaredConstructor(types).newInstance(arguments);
    } catch (InvocationTargetException e) {
      if (e.getCause() instanceof IllegalArgumentException bad) {
        throw new IllegalArgumentException(name + ": " + bad.getMessage(), bad);
      }
      throw new IllegalStateException(e);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(e);
    }
  }

  /// The value a golden file means: parameters it does not give take [Parameter#goldenDefault].
  ///
  /// @param values text per parameter name
  /// @throws IllegalArgumentException as [#create]
  public T createGolden(Map<String, String> values) {
    Map<String, String> all = new LinkedHashMap<>(values);
    for (int i = 0; i < components.length; i++) {
      Parameter parameter = components[i].getAnnotation(Parameter.class);
      if (parameter != null && !parameter.goldenDefault().isEmpty()) {
        all.putIfAbsent(parameters.get(i).name(), parameter.goldenDefault());
      }
    }
    return create(all);
  }

  /// All parameters of a value of this type as text, defaults included; absent ones are left out.
  public Map<String, String> parametersOf(T value) {
    Map<String, String> values = new LinkedHashMap<>();
    for (int i = 0; i < components.length; i++) {
      try {
        String text = format(components[i].getAccessor().invoke(value));
        if (!text.isEmpty()) {
          values.put(parameters.get(i).name(), text);
        }
      } catch (ReflectiveOperationException e) {
        throw new IllegalStateException(e);
      }
    }
    return values;
  }

  /// The shortest `name:param=value,…` that creates a value: parameters at their default are left
  /// out.
  public String describe(T value) {
    String changed =
        changedParametersOf(value).entrySet().stream()
            .map(e -> e.getKey() + "=" + e.getValue())
            .collect(Collectors.joining(","));
    return changed.isEmpty() ? name : name + ":" + changed;
  }

  /// The parameters of a value that are not at their default, as text.
  public Map<String, String> changedParametersOf(T value) {
    Map<String, String> changed = parametersOf(value);
    changed.entrySet().removeAll(parametersOf(defaults()).entrySet());
    return changed;
  }

  private static ParameterInfo infoOf(RecordComponent component) {
    Parameter parameter = component.getAnnotation(Parameter.class);
    if (parameter == null) {
      throw new IllegalArgumentException(
          component.getDeclaringRecord().getSimpleName()
              + "."
              + component.getName()
              + " must be annotated with @Parameter");
    }
    String name = parameter.name().isEmpty() ? snakeCase(component.getName()) : parameter.name();
    Type type = component.getGenericType();
    return new ParameterInfo(
        name, parameter.value(), parameter.defaultValue(), tokensOf(type), kindOf(type));
  }

  private static String kindOf(Type type) {
    if (type == int.class || type == long.class) {
      return "integer";
    }
    if (type == double.class) {
      return "number";
    }
    if (type == boolean.class) {
      return "boolean";
    }
    if (type == String.class) {
      return "text";
    }
    if (type == OptionalInt.class) {
      return "optional integer";
    }
    if (type == OptionalDouble.class) {
      return "optional number";
    }
    if (type instanceof ParameterizedType list && list.getRawType() == List.class) {
      return "list";
    }
    if (type instanceof Class<?> token && token.isEnum()) {
      return "token";
    }
    throw new IllegalArgumentException("parameter type is not supported: " + type);
  }

  private static List<String> tokensOf(Type type) {
    Type element = type instanceof ParameterizedType list ? list.getActualTypeArguments()[0] : type;
    if (element instanceof Class<?> token && token.isEnum()) {
      return Arrays.stream(token.getEnumConstants()).map(RecordType::format).toList();
    }
    return List.of();
  }

  private Object parse(ParameterInfo info, Type type, String text) {
    if (type == OptionalInt.class) {
      return text.isEmpty() ? OptionalInt.empty() : OptionalInt.of(integer(info, text));
    }
    if (type == OptionalDouble.class) {
      return text.isEmpty() ? OptionalDouble.empty() : OptionalDouble.of(number(info, text));
    }
    if (type instanceof ParameterizedType list) {
      Type element = list.getActualTypeArguments()[0];
      List<Object> items = new ArrayList<>();
      if (!text.isEmpty()) {
        for (String item : text.split("/", -1)) {
          items.add(element == Integer.class ? integer(info, item) : token(info, element, item));
        }
      }
      return List.copyOf(items);
    }
    if (type == int.class) {
      return integer(info, text);
    }
    if (type == long.class) {
      return longInteger(info, text);
    }
    if (type == double.class) {
      return number(info, text);
    }
    if (type == boolean.class) {
      if (!text.equals("true") && !text.equals("false")) {
        throw bad(info, "true or false", text);
      }
      return text.equals("true");
    }
    return type == String.class ? text : token(info, type, text);
  }

  private Object token(ParameterInfo info, Type type, String text) {
    for (Object constant : ((Class<?>) type).getEnumConstants()) {
      if (format(constant).equalsIgnoreCase(text)) {
        return constant;
      }
    }
    throw new IllegalArgumentException(
        bad(info, "one of " + info.values(), text).getMessage()
            + Nearest.hint(text, info.values()));
  }

  private int integer(ParameterInfo info, String text) {
    try {
      return Integer.parseInt(text);
    } catch (NumberFormatException e) {
      throw bad(info, "an integer", text);
    }
  }

  private long longInteger(ParameterInfo info, String text) {
    try {
      return Long.parseLong(text);
    } catch (NumberFormatException e) {
      throw bad(info, "an integer", text);
    }
  }

  private double number(ParameterInfo info, String text) {
    try {
      double number = Double.parseDouble(text);
      if (Double.isFinite(number)) {
        return number;
      }
    } catch (NumberFormatException e) {
      // answered below, like a number that is not finite
    }
    throw bad(info, "a finite number", text);
  }

  private IllegalArgumentException bad(ParameterInfo info, String rule, String text) {
    return new IllegalArgumentException(
        name + ": " + info.name + " must be " + rule + ", but was '" + text + "'");
  }

  private static String format(Object value) {
    return switch (value) {
      case OptionalInt some -> some.isPresent() ? Integer.toString(some.getAsInt()) : "";
      case OptionalDouble some -> some.isPresent() ? number(some.getAsDouble()) : "";
      case Double some -> number(some);
      case List<?> items -> items.stream().map(RecordType::format).collect(Collectors.joining("/"));
      case Enum<?> token -> token.name().toLowerCase(Locale.ROOT);
      default -> value.toString();
    };
  }

  private static String number(double value) {
    return value == Math.rint(value) && Math.abs(value) < 1e7
        ? Long.toString((long) value)
        : Double.toString(value);
  }

  private static String snakeCase(String camel) {
    return camel.replaceAll("([A-Z])", "_$1").toLowerCase(Locale.ROOT);
  }
}
