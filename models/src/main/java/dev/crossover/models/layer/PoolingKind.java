// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

/// How a classifier makes one row of a sequence, over tokens that are not padding.
public enum PoolingKind {
  /// Their mean.
  MEAN,
  /// Position 0.
  FIRST,
  /// The last of them.
  LAST
}
