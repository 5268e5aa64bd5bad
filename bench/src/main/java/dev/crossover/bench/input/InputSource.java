// SPDX-License-Identifier: Apache-2.0
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
///
/// | label | queries and keys | parameters |
/// |---|---|---|
/// | `captured` | two heads of a trained model | `heads`, `repeat=1` |
/// | `gaussian` | independent normal elements | `scale=1` |
/// | `low_rank` | in a random subspace | `rank=8,scale=1` |
/// | `clustered` | positions in clusters that prefer their own | `clusters=16,spread=0.3,scale=1` |
/// | `heavy_tailed` | Student's t elements | `dof=3,scale=1` |
/// | `needle` | one key far away takes most of every row | `depth=0.1,mass=0.9,scale=1` |
/// | `sinks` | the first keys take much of every row | `count=4,mass=0.5,value=0.1,scale=1` |
/// | `model` | a layer of a trained language model reading a text | `layer=0`, `text`, `heads`, `weights=builtin` |
/// | `file` | a user's tensors | `path`, `q`, `k`, `v`, `layer`, `heads`, `layout` |
///
/// `scale` is the standard deviation of the scores q·k/√d that are not planted or clustered.
public sealed interface InputSource permits GeneratedInput, FileInput, ModelInput {
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

  /// Why the source may not have been read as it was meant, one line; empty when nothing seems odd.
  ///
  /// @throws IOException if a file cannot be read
  default String doubt() throws IOException {
    return "";
  }

  /// Makes a source from its label.
  ///
  /// @throws IllegalArgumentException naming what is unknown, with the nearest name
  static InputSource parse(String label) {
    int colon = label.indexOf(':');
    String name = colon < 0 ? label : label.substring(0, colon);
    Map<String, String> values = colon < 0 ? Map.of() : values(label, label.substring(colon + 1));
    return switch (name) {
      case CAPTURED -> {
        requireKnown(name, values, List.of("heads", "repeat"));
        yield FileInput.captured(values.getOrDefault("heads", ""), whole("repeat", values, 1));
      }
      case "model" -> {
        requireKnown(name, values, List.of("layer", "text", "heads", "weights"));
        yield ModelInput.of(values);
      }
      case "gaussian" -> {
        requireKnown(name, values, List.of("scale"));
        yield new GaussianInput(number("scale", values, 1));
      }
      case "low_rank" -> {
        requireKnown(name, values, List.of("rank", "scale"));
        yield new LowRankInput(whole("rank", values, 8), number("scale", values, 1));
      }
      case "clustered" -> {
        requireKnown(name, values, List.of("clusters", "spread", "scale"));
        yield new ClusteredInput(
            whole("clusters", values, 16),
            number("spread", values, 0.3),
            number("scale", values, 1));
      }
      case "heavy_tailed" -> {
        requireKnown(name, values, List.of("dof", "scale"));
        yield new HeavyTailedInput(number("dof", values, 3), number("scale", values, 1));
      }
      case "needle" -> {
        requireKnown(name, values, List.of("depth", "mass", "scale"));
        yield PlantedInput.needle(
            number("depth", values, 0.1), number("mass", values, 0.9), number("scale", values, 1));
      }
      case "sinks" -> {
        requireKnown(name, values, List.of("count", "mass", "value", "scale"));
        yield PlantedInput.sinks(
            whole("count", values, 4),
            number("mass", values, 0.5),
            number("value", values, 0.1),
            number("scale", values, 1));
      }
      case "file" -> {
        requireKnown(name, values, List.of("path", "q", "k", "v", "layer", "heads", "layout"));
        yield FileInput.of(values);
      }
      default -> {
        List<String> names =
            List.of(
                CAPTURED,
                "model",
                "gaussian",
                "low_rank",
                "clustered",
                "heavy_tailed",
                "needle",
                "sinks",
                "file");
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

  private static double number(String name, Map<String, String> values, double standard) {
    String text = values.get(name);
    if (text == null) {
      return standard;
    }
    try {
      return Double.parseDouble(text);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "input " + name + " must be a number, but was '" + text + "'", e);
    }
  }

  private static int whole(String name, Map<String, String> values, int standard) {
    double number = number(name, values, standard);
    if (number != Math.rint(number) || Math.abs(number) > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          "input " + name + " must be a whole number, but was '" + values.get(name) + "'");
    }
    return (int) number;
  }
}
