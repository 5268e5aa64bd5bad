// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.option;

import dev.crossover.attention.mechanism.Nearest;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;

/// Options as texts by key, with defaults; readers refuse a value by its key and rule.
public abstract class TextOptions {
  private final Map<String, String> given;
  private final Map<String, String> defaults;

  /// @param isKey which keys there are
  /// @throws IllegalArgumentException naming an unknown key
  protected TextOptions(
      Map<String, String> given, Map<String, String> defaults, Predicate<String> isKey) {
    this.given = new TreeMap<>(given);
    this.defaults = defaults;
    for (String key : this.given.keySet()) {
      if (!isKey.test(key)) {
        List<String> keys = List.copyOf(defaults.keySet());
        throw new IllegalArgumentException(
            "option must be one of " + keys + ", but was " + key + Nearest.hint(key, keys));
      }
    }
  }

  /// What was given, by key.
  public final Map<String, String> toMap() {
    return new TreeMap<>(given);
  }

  /// The text of a key; its default where none was given.
  protected final String text(String key) {
    return text(key, defaults.getOrDefault(key, ""));
  }

  /// The text of a key; another where none was given.
  protected final String text(String key, String otherwise) {
    return given.getOrDefault(key, otherwise);
  }

  /// One of some texts.
  protected final String choice(String key, List<String> values) {
    String text = text(key);
    if (!values.contains(text)) {
      throw new IllegalArgumentException(key + " must be one of " + values + ", but was " + text);
    }
    return text;
  }

  /// A constant by its name in small letters.
  protected final <E extends Enum<E>> E token(String key, Class<E> type) {
    E[] constants = type.getEnumConstants();
    List<String> names =
        Arrays.stream(constants).map(each -> each.name().toLowerCase(Locale.ROOT)).toList();
    return constants[names.indexOf(choice(key, names))];
  }

  /// `true` or `false`.
  protected final boolean bool(String key) {
    return choice(key, List.of("true", "false")).equals("true");
  }

  /// An integer of at least 1.
  protected final int positive(String key) {
    int value = integer(key);
    if (value < 1) {
      throw new IllegalArgumentException(key + " must be >= 1, but was " + value);
    }
    return value;
  }

  /// An integer.
  protected final int integer(String key) {
    try {
      return Integer.parseInt(text(key));
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(key + " must be an integer, but was " + text(key), e);
    }
  }

  /// A finite number that is not negative.
  protected final double number(String key) {
    try {
      double value = Double.parseDouble(text(key));
      if (value >= 0 && Double.isFinite(value)) {
        return value;
      }
    } catch (NumberFormatException e) {
      // answered below, like a number that is negative or not finite
    }
    throw new IllegalArgumentException(key + " must be a finite number >= 0, but was " + text(key));
  }

  @Override
  public final boolean equals(Object other) {
    return other instanceof TextOptions that
        && getClass() == that.getClass()
        && given.equals(that.given);
  }

  @Override
  public final int hashCode() {
    return given.hashCode();
  }

  @Override
  public final String toString() {
    return given.toString();
  }
}
