package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;

/// Independent Gaussian queries, keys and values whose scores have a chosen standard deviation.
///
/// With elements of q and k drawn from N(0, σ²), a score q·k/√d has standard deviation σ²; σ =
/// √scale. Values are N(0, 1). A scale of 1 is near-uniform attention, 4 and more is peaked.
///
/// @param scale standard deviation of the scores, above 0
public record GaussianInput(double scale) implements InputSource {

  /// Validates the scale.
  public GaussianInput {
    if (!(scale > 0 && scale <= 1e6)) {
      throw new IllegalArgumentException(
          "gaussian scale must be above 0 and at most 1e6, but was " + scale);
    }
  }

  @Override
  public String label() {
    String text = scale == Math.rint(scale) ? Long.toString((long) scale) : Double.toString(scale);
    return "gaussian:scale=" + text;
  }

  @Override
  public AttentionShape shapeFor(AttentionShape wish) {
    return wish;
  }

  @Override
  public Tensors load(AttentionShape s, long seed) {
    double deviation = Math.sqrt(scale);
    return Tensors.qkv(
        Draws.gaussian(
            Draws.seedFor(seed, "q"),
            deviation,
            s.batchSize(),
            s.numHeads(),
            s.querySeqLen(),
            s.headDim()),
        Draws.gaussian(
            Draws.seedFor(seed, "k"),
            deviation,
            s.batchSize(),
            s.numKeyValueHeads(),
            s.keySeqLen(),
            s.keyDim()),
        Draws.gaussian(
            Draws.seedFor(seed, "v"),
            s.batchSize(),
            s.numKeyValueHeads(),
            s.keySeqLen(),
            s.valueDim()));
  }

  @Override
  public int maxSeqLen() {
    return Integer.MAX_VALUE;
  }
}
