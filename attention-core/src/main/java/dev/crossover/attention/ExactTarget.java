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
public record ExactTarget(
    AttentionShape shape, Mask mask, Tensor query, Tensor key, Tensor value, double scale) {}
