package dev.crossover.bench.error;

import dev.crossover.attention.Attention;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.exact.TiledSelfLast;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;

/// Norms of the difference between an output and exact attention, accumulated in double.
public final class ErrorStudy {
  private ErrorStudy() {}

  /// Exact attention of a problem, by the tiled baseline.
  ///
  /// @param target queries, keys, values, mask and scale
  /// @param threads number of threads
  /// @return `[batch, heads, nq, dv]`, fresh
  public static Tensor exact(ExactTarget target, int threads) {
    var shape = target.shape();
    Tensor output =
        Tensor.zeros(shape.batchSize(), shape.numHeads(), shape.querySeqLen(), shape.valueDim());
    Mask mask = target.mask();
    Attention exact =
        target.selfLast()
            ? new TiledSelfLast(target.scale())
            : new Tiled(OptionalDouble.of(target.scale()));
    exact
        .plan(shape, mask, threads)
        .forward(Tensors.qkv(target.query(), target.key(), target.value()), output);
    return output;
  }

  /// The norms of `approximate − exact`.
  ///
  /// A row that is zero on one side only has cosine 0, on both sides 1. Elements that are not
  /// finite make the norms NaN or infinite.
  ///
  /// @param approximate `[batch, heads, nq, dv]`
  /// @param exact of the same shape
  /// @throws IllegalArgumentException if the shapes differ or are not of rank 4
  public static ErrorNorms compare(Tensor approximate, Tensor exact) {
    if (exact.rank() != 4 || !approximate.hasShape(exact.shape())) {
      throw new IllegalArgumentException(
          "approximate must have the shape of exact (" + exact + "), but was " + approximate);
    }
    int batch = exact.extent(0);
    int heads = exact.extent(1);
    int rows = exact.extent(2);
    int width = exact.extent(3);
    double[] difference = new double[heads];
    double[] reference = new double[heads];
    double max = 0;
    double cosines = 0;
    for (int row = 0; row < batch * heads * rows; row++) {
      int head = row / rows % heads;
      double dot = 0;
      double own = 0;
      double other = 0;
      for (int i = row * width; i < (row + 1) * width; i++) {
        double a = approximate.data()[i];
        double e = exact.data()[i];
        double delta = a - e;
        difference[head] += delta * delta;
        max = Math.max(max, Math.abs(delta));
        dot += a * e;
        own += a * a;
        other += e * e;
      }
      reference[head] += other;
      cosines += own == 0 || other == 0 ? (own == other ? 1 : 0) : dot / Math.sqrt(own * other);
    }
    List<Double> perHead = new ArrayList<>();
    double allDifference = 0;
    double allReference = 0;
    for (int h = 0; h < heads; h++) {
      perHead.add(relative(difference[h], reference[h]));
      allDifference += difference[h];
      allReference += reference[h];
    }
    int count = batch * heads * rows;
    return new ErrorNorms(
        relative(allDifference, allReference),
        max,
        count == 0 ? 1 : cosines / count,
        List.copyOf(perHead));
  }

  private static double relative(double squaredDifference, double squaredReference) {
    return squaredDifference == 0 ? 0 : Math.sqrt(squaredDifference / squaredReference);
  }
}
