// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

/// Sizes that a model is planned for.
///
/// @param batch number of sequences
/// @param length tokens of each
/// @param sourceLength tokens of each source; 0 without an encoder
/// @param labelled the largest number of labelled rows of a batch
public record ModelShape(int batch, int length, int sourceLength, int labelled) {

  /// Checks the sizes.
  public ModelShape {
    if (batch < 1 || length < 1 || sourceLength < 0 || labelled < 1) {
      throw new IllegalArgumentException(
          "batch, length and labelled must be >= 1 and sourceLength >= 0, but were "
              + batch
              + ", "
              + length
              + ", "
              + labelled
              + ", "
              + sourceLength);
    }
  }

  /// Every token may be labelled, and there is no source.
  public static ModelShape of(int batch, int length) {
    return new ModelShape(batch, length, 0, batch * length);
  }

  /// The same with a source.
  public ModelShape withSource(int newSourceLength) {
    return new ModelShape(batch, length, newSourceLength, labelled);
  }

  /// The same with at most so many labelled rows.
  public ModelShape withLabelled(int newLabelled) {
    return new ModelShape(batch, length, sourceLength, newLabelled);
  }
}
