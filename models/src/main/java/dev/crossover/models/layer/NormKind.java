// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

/// Norms of blocks.
public enum NormKind {
  /// Mean and variance of a token (Ba et al. 2016).
  LAYER,
  /// Mean square of a token (Zhang, Sennrich 2019).
  RMS,
  /// Mean and variance of a channel over the batch (Ioffe, Szegedy 2015).
  BATCH
}
