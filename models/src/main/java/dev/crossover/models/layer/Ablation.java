// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.variants.Branches;
import java.util.ArrayList;
import java.util.List;

/// A mechanism of which branches are switched off, `nsa:block_size=16+off=window`; all of it where
/// nothing is.
///
/// @param mechanism without the branches that parameters switch off, as on the command line
/// @param zeroInputs its inputs that are zero: gates of the others
public record Ablation(String mechanism, List<String> zeroInputs) {
  private static final String OFF = "off=";

  /// Copies the list.
  public Ablation {
    zeroInputs = List.copyOf(zeroInputs);
  }

  /// Reads `name:param=value,…+off=BRANCH…`.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule: a branch that the
  ///     mechanism does not have, or that is off already
  public static Ablation parse(String text) {
    String[] parts = text.strip().split("\\+", -1);
    String mechanism = parts[0];
    Mechanisms.parse(mechanism);
    List<String> zero = new ArrayList<>();
    for (int i = 1; i < parts.length; i++) {
      if (!parts[i].startsWith(OFF)) {
        throw new IllegalArgumentException(
            "option must be off=BRANCH, but was '" + parts[i] + "' in " + text);
      }
      Branches.Without without = Branches.without(mechanism, parts[i].substring(OFF.length()));
      mechanism = without.spec();
      if (!without.zeroInput().isEmpty()) {
        zero.add(without.zeroInput());
      }
    }
    return new Ablation(mechanism, zero);
  }

  /// Whether a text switches a branch off.
  public static boolean isIn(String text) {
    return text.contains("+" + OFF);
  }

  /// A text with every branch of its mechanism switched off, one at a time.
  ///
  /// @param text `name:param=value,…` with options behind it
  public static List<String> each(String text) {
    String mechanism = text.split("\\+", -1)[0];
    return Branches.of(mechanism).stream().map(branch -> text + "+" + OFF + branch).toList();
  }

  /// The options with the gates of branches that are off at zero.
  public LayerOptions in(LayerOptions options) {
    return zeroInputs.isEmpty()
        ? options
        : options.with("zero_inputs", String.join("/", zeroInputs));
  }
}
