// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.bench.sweep.DecimalComma;
import dev.crossover.models.layer.LayerCatalogue;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/// Reads lists, and the words in them, of the command line.
final class Lists {
  private Lists() {}

  /// Splits `a,b:x=1,y=2,c+z=3` into `a`, `b:x=1,y=2`, `c+z=3`: a piece with `=` but no name
  /// belongs to the one before it, because names never hold `=`.
  ///
  /// @throws IllegalArgumentException if a number is written with a decimal comma
  static List<String> specs(String text) {
    DecimalComma.refuse(text);
    List<String> specs = new ArrayList<>();
    for (String piece : text.split(",", -1)) {
      int equals = piece.indexOf('=');
      int colon = piece.indexOf(':');
      int plus = piece.indexOf('+');
      boolean named = (colon >= 0 && colon < equals) || (plus >= 0 && plus < equals);
      boolean continues = equals >= 0 && !named && !specs.isEmpty();
      if (continues) {
        specs.set(specs.size() - 1, specs.getLast() + "," + piece);
      } else {
        specs.add(piece);
      }
    }
    return List.copyOf(specs);
  }

  /// Reads `256,1000,2048..8192`: numbers, and ranges that double from the first and end with the
  /// last.
  static List<Integer> lengths(String name, String text) {
    List<Integer> lengths = new ArrayList<>();
    for (String piece : text.split(",", -1)) {
      int dots = piece.indexOf("..");
      if (dots < 0) {
        lengths.add(integer(name, piece));
        continue;
      }
      int first = integer(name, piece.substring(0, dots));
      int last = integer(name, piece.substring(dots + 2));
      if (last < first) {
        throw new IllegalArgumentException(name + " ranges must grow, but was '" + piece + "'");
      }
      for (long n = first; n < last; n *= 2) {
        lengths.add((int) n);
      }
      lengths.add(last);
    }
    return List.copyOf(lengths);
  }

  /// Reads numbers of at least 1 joined by commas.
  static List<Integer> integers(String name, String text) {
    return pieces(text, piece -> integer(name, piece));
  }

  /// Reads whole numbers joined by commas.
  static List<Long> longs(String name, String text) {
    return pieces(
        text,
        piece -> {
          try {
            return Long.parseLong(piece);
          } catch (NumberFormatException e) {
            throw new IllegalArgumentException(
                name + " must be whole numbers, but was '" + piece + "'", e);
          }
        });
  }

  /// Reads words joined by commas.
  static <T> List<T> pieces(String text, Function<String, T> read) {
    List<T> values = new ArrayList<>();
    for (String piece : text.split(",", -1)) {
      values.add(read.apply(piece.strip()));
    }
    return List.copyOf(values);
  }

  /// Refuses what is no mechanism, and layers, which project their inputs: their weights are no
  /// weights of the tensors at hand.
  static void requireMechanism(String text) {
    LayerCatalogue.parse(text);
    if (text.startsWith("layer/")) {
      throw new IllegalArgumentException("mechanisms must not be layers, but was " + text);
    }
  }

  /// The name of a mask.
  static String mask(String name) {
    List<String> known = List.of("causal", "none");
    if (!known.contains(name)) {
      throw new IllegalArgumentException(
          "mask must be one of " + known + ", but was " + name + Nearest.hint(name, known));
    }
    return name;
  }

  /// Whether the mask of a name is the causal one.
  static boolean causal(String mask) {
    return mask(mask).equals("causal");
  }

  private static int integer(String name, String text) {
    try {
      int value = Integer.parseInt(text.strip());
      if (value >= 1) {
        return value;
      }
    } catch (NumberFormatException e) {
      // answered below, like a number that is too small
    }
    throw new IllegalArgumentException(
        name + " must be whole numbers from 1, but was '" + text + "'");
  }
}
