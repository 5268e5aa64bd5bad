// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

/// How a model knows where a token stands.
public enum Positions {
  /// Not at all, or through decay, gates, convolutions or the causal mask.
  NONE,
  /// Sines and cosines added to the embedding (Vaswani et al. 2017, 3.5).
  SINUSOIDAL,
  /// A trained table added to the embedding.
  LEARNED,
  /// Rotation of queries and keys, pairs half a head apart (Su et al. 2021; NeoX, LLaMA).
  ROPE,
  /// Rotation of queries and keys, neighbouring pairs (Su et al. 2021; GPT-J).
  ROPE_INTERLEAVED,
  /// A penalty on the distance added to the scores (Press et al. 2022).
  ALIBI;

  /// Whether queries and keys are rotated.
  public boolean isRope() {
    return this == ROPE || this == ROPE_INTERLEAVED;
  }
}
