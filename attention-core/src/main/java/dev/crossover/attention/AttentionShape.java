// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

/// Sizes of one attention problem.
///
/// | tensor | shape                                             |
/// |--------|---------------------------------------------------|
/// | query  | `[batchSize, numHeads, querySeqLen, headDim]`     |
/// | key    | `[batchSize, numKeyValueHeads, keySeqLen, keyDim]`|
/// | value  | `[batchSize, numKeyValueHeads, keySeqLen, valueDim]` |
/// | output | `[batchSize, numHeads, querySeqLen, valueDim]`    |
///
/// Consecutive groups of `numHeads / numKeyValueHeads` query heads share one key/value head
/// (Ainslie et al., arXiv:2305.13245): equal numbers are multi-head, one key/value head is
/// multi-query.
///
/// @param batchSize number of sequences, at least 1
/// @param numHeads query heads, at least 1
/// @param numKeyValueHeads key/value heads, at least 1, a divisor of `numHeads`
/// @param querySeqLen query positions nq, at least 0
/// @param keySeqLen key positions nk, at least 0
/// @param headDim width d of a query row, at least 1
/// @param keyDim width of a key row, at least 1; equal to `headDim` but for additive scores
/// @param valueDim width dv of a value and output row, at least 1
public record AttentionShape(
    int batchSize,
    int numHeads,
    int numKeyValueHeads,
    int querySeqLen,
    int keySeqLen,
    int headDim,
    int keyDim,
    int valueDim) {

  /// Validates every size and that the tensors stay below 2³¹ elements.
  public AttentionShape {
    requireAtLeast("batchSize", batchSize, 1);
    requireAtLeast("numHeads", numHeads, 1);
    requireAtLeast("numKeyValueHeads", numKeyValueHeads, 1);
    requireAtLeast("querySeqLen", querySeqLen, 0);
    requireAtLeast("keySeqLen", keySeqLen, 0);
    requireAtLeast("headDim", headDim, 1);
    requireAtLeast("keyDim", keyDim, 1);
    requireAtLeast("valueDim", valueDim, 1);
    if (numHeads % numKeyValueHeads != 0) {
      throw new IllegalArgumentException(
          "numKeyValueHeads must divide numHeads (" + numHeads + "), but was " + numKeyValueHeads);
    }
    requireSize("query", batchSize, numHeads, querySeqLen, headDim);
    requireSize("key", batchSize, numKeyValueHeads, keySeqLen, keyDim);
    requireSize("value", batchSize, numKeyValueHeads, keySeqLen, valueDim);
    requireSize("output", batchSize, numHeads, querySeqLen, valueDim);
  }

  /// Self-attention with one width everywhere: nq = nk = `seqLen`, d = dv = `headDim`.
  ///
  /// @param batchSize sequences, at least 1
  /// @param numHeads heads of queries, keys and values, at least 1
  /// @param seqLen positions, at least 0
  /// @param headDim width of queries, keys and values, at least 1
  /// @throws IllegalArgumentException if a size is too small, or a tensor too large for an array
  public static AttentionShape of(int batchSize, int numHeads, int seqLen, int headDim) {
    return new AttentionShape(
        batchSize, numHeads, numHeads, seqLen, seqLen, headDim, headDim, headDim);
  }

  /// The same problem with other lengths.
  ///
  /// @param newQuerySeqLen positions of queries, at least 0
  /// @param newKeySeqLen positions of keys and values, at least 0
  public AttentionShape withSeqLens(int newQuerySeqLen, int newKeySeqLen) {
    return new AttentionShape(
        batchSize,
        numHeads,
        numKeyValueHeads,
        newQuerySeqLen,
        newKeySeqLen,
        headDim,
        keyDim,
        valueDim);
  }

  /// The same problem with another width of queries and keys.
  ///
  /// @param newHeadDim width of queries and keys, at least 1; values keep theirs
  public AttentionShape withHeadDim(int newHeadDim) {
    return new AttentionShape(
        batchSize,
        numHeads,
        numKeyValueHeads,
        querySeqLen,
        keySeqLen,
        newHeadDim,
        newHeadDim,
        valueDim);
  }

  /// The same problem with another value width.
  ///
  /// @param newValueDim width of values and outputs, at least 1
  public AttentionShape withValueDim(int newValueDim) {
    return new AttentionShape(
        batchSize,
        numHeads,
        numKeyValueHeads,
        querySeqLen,
        keySeqLen,
        headDim,
        keyDim,
        newValueDim);
  }

  /// The same problem with another number of key/value heads.
  ///
  /// @param newNumKeyValueHeads heads of keys and values; they must divide those of queries
  public AttentionShape withKeyValueHeads(int newNumKeyValueHeads) {
    return new AttentionShape(
        batchSize,
        numHeads,
        newNumKeyValueHeads,
        querySeqLen,
        keySeqLen,
        headDim,
        keyDim,
        valueDim);
  }

  /// The same problem with another batch size and number of query heads (key/value heads follow).
  ///
  /// @param newBatchSize sequences, at least 1
  /// @param newNumHeads heads of queries; as many of them as before share a head of keys
  public AttentionShape withBatchAndHeads(int newBatchSize, int newNumHeads) {
    int group = numHeads / numKeyValueHeads;
    return new AttentionShape(
        newBatchSize,
        newNumHeads,
        Math.max(1, newNumHeads / group),
        querySeqLen,
        keySeqLen,
        headDim,
        keyDim,
        valueDim);
  }

  /// Number of query heads that share one key/value head.
  public int groupSize() {
    return numHeads / numKeyValueHeads;
  }

  /// Number of (batch entry, query head) pairs.
  public int problems() {
    return batchSize * numHeads;
  }

  /// First element of a query head's block in the query tensor.
  ///
  /// @param batch entry of the batch, from 0
  /// @param head query head, from 0
  /// @return index into `[batch, heads, query, head_dim]`
  public int queryOffset(int batch, int head) {
    return (batch * numHeads + head) * querySeqLen * headDim;
  }

  /// First element, in the key tensor, of the block that a *query* head reads.
  ///
  /// @param batch entry of the batch, from 0
  /// @param head query head, from 0
  /// @return index into `[batch, key_value_heads, key, key_dim]`
  public int keyOffset(int batch, int head) {
    return (batch * numKeyValueHeads + head / groupSize()) * keySeqLen * keyDim;
  }

  /// First element, in the value tensor, of the block that a *query* head reads.
  ///
  /// @param batch entry of the batch, from 0
  /// @param head query head, from 0
  /// @return index into `[batch, key_value_heads, key, value_dim]`
  public int valueOffset(int batch, int head) {
    return (batch * numKeyValueHeads + head / groupSize()) * keySeqLen * valueDim;
  }

  /// First element of a query head's block in the output tensor.
  ///
  /// @param batch entry of the batch, from 0
  /// @param head query head, from 0
  /// @return index into `[batch, heads, query, value_dim]`
  public int outputOffset(int batch, int head) {
    return (batch * numHeads + head) * querySeqLen * valueDim;
  }

  private static void requireAtLeast(String name, int value, int least) {
    if (value < least) {
      throw new IllegalArgumentException(name + " must be >= " + least + ", but was " + value);
    }
  }

  private static void requireSize(String tensor, int a, int b, int c, int d) {
    double rows = (double) a * b * c; // exact where it matters, and never wraps
    if (rows > Integer.MAX_VALUE || rows * d > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          tensor
              + " must hold at most 2^31 - 1 elements, but was ["
              + a
              + ", "
              + b
              + ", "
              + c
              + ", "
              + d
              + "]");
    }
  }

  /// The answer to sizes of which some product exceeds what an array can hold.
  ///
  /// @param name the mechanism
  /// @param cause the overflow
  public IllegalArgumentException tooLarge(String name, ArithmeticException cause) {
    return new IllegalArgumentException(
        name
            + ": every array must hold at most 2147483647 elements, but sizes were batch "
            + batchSize
            + ", heads "
            + numHeads
            + ", n "
            + (querySeqLen == keySeqLen ? keySeqLen : querySeqLen + " and " + keySeqLen)
            + ", dim "
            + headDim
            + (valueDim == headDim ? "" : ", value dim " + valueDim),
        cause);
  }
}
