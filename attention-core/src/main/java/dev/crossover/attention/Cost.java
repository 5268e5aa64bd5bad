// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

/// Work and memory of one implementation for one shape, as counted by its formulas.
///
/// @param flops floating-point operations of one `forward`, a multiply-add counted as two and an
///     exponential as one
/// @param bytesMoved bytes that must cross the memory bus at least once: inputs, output and scratch
///     that does not fit a cache
/// @param scratchBytes bytes a plan allocates, exactly
public record Cost(double flops, double bytesMoved, long scratchBytes) {

  /// Bytes of q, k, v and the output, each moved once.
  public static double tensorBytes(AttentionShape shape) {
    double queries = (double) shape.batchSize() * shape.numHeads() * shape.querySeqLen();
    double keys = (double) shape.batchSize() * shape.numKeyValueHeads() * shape.keySeqLen();
    return Float.BYTES
        * (queries * (shape.headDim() + shape.valueDim())
            + keys * (shape.keyDim() + shape.valueDim()));
  }

  /// Number of (query, key) pairs per (batch entry, head) that causal order allows; nq · nk without
  /// it.
  public static double pairs(AttentionShape shape, Mask mask) {
    if (!mask.isCausal()) {
      return (double) shape.querySeqLen() * shape.keySeqLen();
    }
    double pairs = 0;
    for (int i = 0; i < shape.querySeqLen(); i++) {
      pairs += mask.causalLimit(i, shape.querySeqLen(), shape.keySeqLen());
    }
    return pairs;
  }
}
