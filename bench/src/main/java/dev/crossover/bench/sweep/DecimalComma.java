// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Finds numbers written with a comma, as in `tiled:scale=0,5`, where commas separate settings.
public final class DecimalComma {
  private static final Pattern NUMBER =
      Pattern.compile("(\\w+)=(-?\\d+),(\\d+(?:[eE][-+]?\\d+)?)(?=,|$)");

  private DecimalComma() {}

  /// Refuses a text of names and settings that holds one.
  ///
  /// @throws IllegalArgumentException that shows the number with a point
  public static void refuse(String text) {
    Matcher matcher = NUMBER.matcher(text);
    if (matcher.find()) {
      throw new IllegalArgumentException(
          matcher.group(1)
              + " must be a number with a decimal point ("
              + matcher.group(2)
              + "."
              + matcher.group(3)
              + "), but was "
              + matcher.group(2)
              + ","
              + matcher.group(3));
    }
  }
}
