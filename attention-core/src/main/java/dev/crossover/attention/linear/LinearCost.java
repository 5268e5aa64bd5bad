// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;

/// Counted work and memory of a [LinearAttentionPlan], in terms of what its feature map costs.
///
/// @param shape sizes
/// @param mask which keys each query may see
/// @param threads number of threads
/// @param width number of features M
/// @param shifted whether the feature map has a key shift
/// @param scaled whether the scale of key features runs along the sequence
/// @param pair operations of one weight φ(q)·φ(k) inside a causal chunk
/// @param keyWidth width of the keys that a chunk keeps beside their features, 0 if it does not
public record LinearCost(
    AttentionShape shape,
    Mask mask,
    int threads,
    int width,
    boolean shifted,
    boolean scaled,
    double pair,
    int keyWidth) {

  /// Weights as products of features, without key shift and scale.
  public LinearCost(AttentionShape shape, Mask mask, int threads, int width) {
    this(shape, mask, threads, width, false, false, 2.0 * width, 0);
  }

  /// The cost with a key shift or a scale of the key features.
  public LinearCost running(boolean shift, boolean scale) {
    return new LinearCost(shape, mask, threads, width, shift, scale, pair, keyWidth);
  }

  /// The cost where the map turns products q·k into weights, see [FeatureMap#weighsProducts].
  ///
  /// @param weight operations that make a weight of a product
  public LinearCost weighingProducts(double weight) {
    int d = shape.headDim();
    return new LinearCost(shape, mask, threads, width, shifted, scaled, 2.0 * d + weight, d);
  }

  /// The plan's cost.
  ///
  /// @param queryRow floating-point operations of φ_q for one row
  /// @param keyRow floating-point operations of φ_k for one row
  /// @param preparation operations of all preparations together
  /// @param mapScratch bytes the feature map allocates
  public Cost total(double queryRow, double keyRow, double preparation, long mapScratch) {
    Segments segments = Segments.ofKeys(shape, mask);
    double keyHeads = (double) shape.batchSize() * shape.numKeyValueHeads();
    double queries = (double) shape.problems() * shape.querySeqLen();
    double keys = keyHeads * keyRows(segments);
    double state = 2.0 * width * shape.valueDim();
    double merged = keyHeads * (segments.count() - 1) * state;
    double flops =
        preparation
            + merged
            + keys * (keyRow + state + width + state / 2 / Segments.CHUNK)
            + queries * (queryRow + state + 2.0 * width + shape.valueDim() + 1)
            + shape.problems() * withinChunks(segments);
    return new Cost(flops, Cost.tensorBytes(shape), scratchBytes() + mapScratch);
  }

  /// The backward pass's cost.
  ///
  /// @param queryRow floating-point operations of φ_q and of its gradient for one row
  /// @param keyRow floating-point operations of φ_k and of its gradient for one row
  /// @param mapScratch bytes the feature map allocates for both passes
  /// @param parameters floats of the gradients of one query head's and one key head's parameters,
  ///     see [FeatureMap#queryParameters]
  public GradientCost gradient(
      double queryRow, double keyRow, long mapScratch, Parameters parameters) {
    Segments segments = Segments.ofKeys(shape, mask);
    int dv = shape.valueDim();
    double keyHeads = (double) shape.batchSize() * shape.numKeyValueHeads();
    double queries = (double) shape.problems() * shape.querySeqLen();
    double keys = keyHeads * shape.keySeqLen();
    double state = 2.0 * width * (dv + 1);
    double flops =
        keys * (keyRow + 2 * state)
            + queries * (queryRow + 2 * state + 4.0 * dv)
            + shape.problems() * gradientWithinChunks(segments);
    if (mask.isCausal()) {
      double stride = LinearKept.stride(width);
      flops += keys * (stride - 1) / stride * (keyRow + state);
      double later = Math.max(0, shape.querySeqLen() - segments.rows());
      flops += shape.problems() * later * (queryRow + state);
    }
    int querySegments = (mask.isCausal() ? segments : Segments.ofQueries(shape)).count();
    long parameterFloats =
        (long) shape.problems() * querySegments * parameters.query()
            + (long) keyHeads * segments.count() * parameters.key();
    return new GradientCost(
        flops,
        LinearKept.bytes(shape, mask, width, shifted),
        scratchBytes() + LinearBackward.bytes(this) + mapScratch + parameterFloats * Float.BYTES);
  }

  /// Floats that hold the gradients of one head's parameters of the feature maps.
  ///
  /// @param query of φ_q
  /// @param key of φ_k
  public record Parameters(int query, int key) {
    /// A map without parameters.
    public static final Parameters NONE = new Parameters(0, 0);
  }

  /// Work of the backward pass inside causal chunks, per query head: A and B, and what they are
  /// multiplied with.
  private double gradientWithinChunks(Segments segments) {
    double passed = keyWidth == 0 ? 4.0 * width : 4.0 * keyWidth + 2;
    double scored = pair + 2.0 * (shape.valueDim() + 1);
    return chunkPairs(segments, scored, passed + 2.0 * shape.valueDim());
  }

  /// Rows of K whose features are computed and added to a state, per head: each once, and under
  /// causal order once more for those before the last segment.
  private double keyRows(Segments segments) {
    int nk = shape.keySeqLen();
    if (!mask.isCausal()) {
      return nk;
    }
    return nk + Math.clamp(segments.start(segments.count() - 1), 0, nk);
  }

  /// Work inside causal chunks, per query head: the visible part of Q Kᵀ (all of it where queries
  /// stand ahead of the keys), times v, and its row sums.
  private double withinChunks(Segments segments) {
    return chunkPairs(segments, pair, 2.0 * shape.valueDim() + 1);
  }

  /// Pairs of a query and a key of the same causal chunk, each times its work.
  ///
  /// @param perScored work of every pair that is multiplied, visible or not
  /// @param perVisible work of every visible pair
  private double chunkPairs(Segments segments, double perScored, double perVisible) {
    if (!mask.isCausal()) {
      return 0;
    }
    int offset = Segments.offset(shape, mask);
    double flops = 0;
    for (int t = segments.from(); t < segments.to(); t += Segments.CHUNK) {
      int end = Math.min(segments.to(), t + Segments.CHUNK);
      int firstKey = Math.max(t, 0);
      int keys = Math.max(0, Math.min(end, shape.keySeqLen()) - firstKey);
      int firstQuery = Math.max(t, offset);
      int queries = Math.min(end, offset + shape.querySeqLen()) - firstQuery;
      for (int i = 0; i < queries; i++) {
        int visible = Math.clamp(i + firstQuery - firstKey + 1, 0, keys);
        int scored = firstQuery > firstKey ? keys : Math.min(i + 1, keys);
        flops += scored * perScored + visible * perVisible;
      }
    }
    return flops;
  }

  private long scratchBytes() {
    int keyHeads = shape.batchSize() * shape.numKeyValueHeads();
    int states = LinearForward.statesPerHead(Segments.ofKeys(shape, mask), mask.isCausal());
    long state = LinearState.bytes(width, shape.valueDim(), shifted, shape.keySeqLen());
    return keyHeads * states * state
        + threads * LinearChunk.bytes(width, shape.valueDim(), keyWidth);
  }
}
