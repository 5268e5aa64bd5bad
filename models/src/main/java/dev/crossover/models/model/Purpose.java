// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

/// What a plan of a model is for.
public enum Purpose {
  /// Loss at the labelled rows, and gradients.
  TRAIN,
  /// Loss at the labelled rows.
  EVALUATE,
  /// Logits at every row.
  LOGITS,
  /// What the mechanism of every block reads and gives; no logits.
  HEADS
}
