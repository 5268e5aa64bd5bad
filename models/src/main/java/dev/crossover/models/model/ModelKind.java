// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

import java.util.Locale;

/// What a model is for.
public enum ModelKind {
  /// Causal blocks, logits at every token.
  LANGUAGE_MODEL,
  /// Causal blocks; the last row alone, with a sinusoid for every position, goes through a decoder
  /// that does not mix positions: logits at every token.
  AUTOENCODER,
  /// Blocks without causal order, one row of logits per sequence.
  CLASSIFIER,
  /// An encoder over the source, a causal decoder that attends to it.
  ENCODER_DECODER;

  /// The kind of a name.
  ///
  /// @throws IllegalArgumentException if there is none
  public static ModelKind of(String name) {
    for (ModelKind kind : values()) {
      if (kind.label().equals(name)) {
        return kind;
      }
    }
    throw new IllegalArgumentException(
        "model must be language_model, autoencoder, classifier or encoder_decoder, but was "
            + name);
  }

  /// The name, in lower case.
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }
}
