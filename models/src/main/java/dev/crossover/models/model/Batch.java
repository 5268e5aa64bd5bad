// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

import org.jspecify.annotations.Nullable;

/// What a model reads in one step.
///
/// @param tokens `[batch, length]`
/// @param labels `[batch, length]`, or `[batch]` for a classifier; null where only logits are asked
/// @param real `[batch, length]`, true for real tokens; null: all are
/// @param source `[batch, source length]`, or null without an encoder
/// @param sourceReal `[batch, source length]`, or null: all are real
public record Batch(
    int[] tokens,
    int @Nullable [] labels,
    boolean @Nullable [] real,
    int @Nullable [] source,
    boolean @Nullable [] sourceReal) {

  /// Tokens and labels.
  public static Batch of(int[] tokens, int[] labels) {
    return new Batch(tokens, labels, null, null, null);
  }
}
