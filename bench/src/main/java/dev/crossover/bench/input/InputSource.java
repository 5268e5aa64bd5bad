package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Nearest;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// A source of queries, keys and values, known by its label.
///
/// Labels read `name` or `name:param=value,param=value`; in values `%` is written `%25`, a comma
/// `%2C` and `=` `%3D`.
public sealed interface InputSource permits GaussianInput, FileInput {
  /// Label of the built-in tensors of a trained model.
  String CAPTURED = "captured";

  /// The label that makes this source again.
  String label();

  /// The sizes this source gives for a wish: generators follow it, files keep their heads and
  /// widths.
  ///
  /// @param wish sizes asked for; the sequence length is always followed
  /// @return sizes that [#load] accepts
  /// @throws IOException if a file cannot be read
  /// @throws IllegalArgumentException if the source does not hold that many positions
  AttentionShape shapeFor(AttentionShape wish) throws IOException;

  /// The tensors `q`, `k`, `v`, fresh.
  ///
  /// @param shape sizes as [#shapeFor] gave them
  /// @param seed seed of a generator; files ignore it
  /// @throws IOException if a file cannot be read
  Tensors load(AttentionShape shape, long seed) throws IOException;

  /// Largest sequence length the source holds.
  int maxSeqLen() throws IOException;

  /// Makes a source from its label.
  ///
  /// @throws IllegalArgumentException naming what is unknown, with the nearest name
  static InputSource parse(String label) {
    int colon = label.indexOf(':');
    String name = colon < 0 ? label : label.substring(0, colon);
    Map<String, String> values = colon < 0 ? Map.of() : values(label, label.substring(colon + 1));
    return switch (name) {
      case CAPTURED -> {
        requireKnown(name, values, List.of("heads"));
        yield FileInput.captured(values.getOrDefault("heads", ""));
      }
      case "gaussian" -> {
        requireKnown(name, values, List.of("scale"));
        yield new GaussianInput(number("scale", values.getOrDefault("scale", "1")));
      }
      case "file" -> {
        requireKnown(name, values, List.of("path", "q", "k", "v", "layer", "heads"));
        yield FileInput.of(values);
      }
      default -> {
        List<String> names = List.of(CAPTURED, "gaussian", "file");
        throw new IllegalArgumentException(
            "input must be one of " + names + ", but was " + name + Nearest.hint(name, names));
      }
    };
  }

  /// A value with the characters that separate values in a label written as escapes.
  static String escaped(String value) {
    return value.replace("%", "%25").replace(",", "%2C").replace("=", "%3D");
  }

  private static Map<String, String> values(String label, String text) {
    Map<String, String> values = new LinkedHashMap<>();
    for (String pair : text.split(",", -1)) {
      int equals = pair.indexOf('=');
      if (equals < 1) {
        throw new IllegalArgumentException(
            "input parameters must read name=value, but was '" + label + "'");
      }
      String value =
          pair.substring(equals + 1).replace("%2C", ",").replace("%3D", "=").replace("%25", "%");
      values.put(pair.substring(0, equals), value);
    }
    return values;
  }

  private static void requireKnown(String name, Map<String, String> values, List<String> known) {
    for (String given : values.keySet()) {
      if (!known.contains(given)) {
        throw new IllegalArgumentException(
            "input "
                + name
                + ": parameter must be one of "
                + known
                + ", but was "
                + given
                + Nearest.hint(given, known));
      }
    }
  }

  private static double number(String name, String text) {
    try {
      return Double.parseDouble(text);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "input " + name + " must be a number, but was '" + text + "'", e);
    }
  }
}
