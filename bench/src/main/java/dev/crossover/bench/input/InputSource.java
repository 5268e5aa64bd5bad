// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import java.io.IOException;

/// A source of queries, keys and values, known by its label.
///
/// Labels read `name` or `name:param=value,param=value`; in values `%` is written `%25`, a comma
/// `%2C` and `=` `%3D`.
///
/// [Inputs] has all names with their parameters; `crossover list inputs` prints them.
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
    return Inputs.parse(label);
  }

  /// A value with the characters that separate values in a label written as escapes.
  static String escaped(String value) {
    return value.replace("%", "%25").replace(",", "%2C").replace("=", "%3D");
  }
}
