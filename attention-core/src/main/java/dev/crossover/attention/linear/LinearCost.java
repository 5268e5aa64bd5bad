package dev.crossover.attention.linear;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;

/// Counted work and memory of a [LinearAttentionPlan], in terms of what its feature map costs.
///
/// @param shape sizes
/// @param mask which keys each query may see
/// @param threads number of threads
/// @param width number of features M
/// @param shifted whether the feature map has a key shift
/// @param pair operations of one weight φ(q)·φ(k) inside a causal chunk
/// @param keyWidth width of the keys that a chunk keeps beside their features, 0 if it does not
public record LinearCost(
    AttentionShape shape,
    Mask mask,
    int threads,
    int width,
    boolean shifted,
    double pair,
    int keyWidth) {

  /// Weights as products of features.
  public LinearCost(AttentionShape shape, Mask mask, int threads, int width, boolean shifted) {
    this(shape, mask, threads, width, shifted, 2.0 * width, 0);
  }

  /// A feature map without key shift.
  public LinearCost(AttentionShape shape, Mask mask, int threads, int width) {
    this(shape, mask, threads, width, false);
  }

  /// The cost where the map turns products q·k into weights, see [FeatureMap#weighsProducts].
  ///
  /// @param weight operations that make a weight of a product
  public LinearCost weighingProducts(double weight) {
    int d = shape.headDim();
    return new LinearCost(shape, mask, threads, width, shifted, 2.0 * d + weight, d);
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
        flops += scored * pair + visible * (2.0 * shape.valueDim() + 1);
      }
    }
    return flops;
  }

  private long scratchBytes() {
    int keyHeads = shape.batchSize() * shape.numKeyValueHeads();
    int states = LinearAttentionPlan.statesPerHead(Segments.ofKeys(shape, mask), mask.isCausal());
    long state = LinearState.bytes(width, shape.valueDim(), shifted, shape.keySeqLen());
    return keyHeads * states * state
        + threads * LinearChunk.bytes(width, shape.valueDim(), keyWidth);
  }
}
