// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;

/// A problem of exact softmax attention: what an approximation is compared with.
///
/// @param shape sizes
/// @param mask which keys each query may see
/// @param query `[batch, heads, nq, d]`
/// @param key `[batch, kvHeads, nk, d]`
/// @param value `[batch, kvHeads, nk, dv]`
/// @param scale factor on the dot products
/// @param selfLast whether query i sees key i only if it sees no other key, as where queries and
///     keys are the same vectors (Kitaev et al., arXiv:2001.04451)
public record ExactTarget(
    AttentionShape shape,
    Mask mask,
    Tensor query,
    Tensor key,
    Tensor value,
    double scale,
    boolean selfLast) {

  /// Plain attention: a query sees its own key like any other.
  public ExactTarget(
      AttentionShape shape, Mask mask, Tensor query, Tensor key, Tensor value, double scale) {
    this(shape, mask, query, key, value, scale, false);
  }
}
