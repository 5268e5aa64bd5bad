// SPDX-License-Identifier: Apache-2.0
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
import java.util.stream.IntStream;

/// Norms of the difference between an output and exact attention, accumulated in double.
public final class ErrorStudy {
  private ErrorStudy() {}

  /// Exact attention of a problem in single precision, by the tiled baseline, where all rows are
  /// needed; errors of records are against [ExactRows].
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

  /// The norms of `approximate − exact` over all rows.
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
    int[] all = IntStream.range(0, exact.extent(2)).toArray();
    ErrorNorms norms = compare(approximate, ExactRows.of(exact, all));
    return new ErrorNorms(
        norms.relativeFrobenius(), norms.maxAbs(), norms.meanCosine(), norms.perHead());
  }

  /// The norms of `approximate − exact` over some rows, like the above.
  ///
  /// @param approximate `[batch, heads, nq, dv]`
  /// @param exact rows of the same problem
  /// @throws IllegalArgumentException if the rows are of another shape
  public static ErrorNorms compare(Tensor approximate, ExactRows exact) {
    int width = exact.width();
    int heads = exact.heads();
    int[] positions = exact.positions();
    int problems =
        positions.length == 0 || width == 0 ? 0 : exact.values().length / positions.length / width;
    if (approximate.rank() != 4
        || approximate.extent(1) != heads
        || approximate.extent(3) != width
        || problems != 0 && approximate.extent(0) * heads != problems) {
      throw new IllegalArgumentException(
          "approximate must have the heads and width of exact ("
              + heads
              + ", "
              + width
              + "), but was "
              + approximate);
    }
    double[] difference = new double[heads];
    double[] reference = new double[heads];
    double max = 0;
    double cosines = 0;
    for (int row = 0; row < problems * positions.length; row++) {
      int problem = row / positions.length;
      int at = (problem * approximate.extent(2) + positions[row % positions.length]) * width;
      double dot = 0;
      double own = 0;
      double other = 0;
      for (int x = 0; x < width; x++) {
        double a = approximate.data()[at + x];
        double e = exact.values()[row * width + x];
        double delta = a - e;
        difference[problem % heads] += delta * delta;
        max = Math.max(max, Math.abs(delta));
        dot += a * e;
        own += a * a;
        other += e * e;
      }
      reference[problem % heads] += other;
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
    int count = problems * positions.length;
    return new ErrorNorms(
        relative(allDifference, allReference),
        max,
        count == 0 ? 1 : cosines / count,
        List.copyOf(perHead),
        positions.length);
  }

  /// ‖approximate − exact‖ / ‖exact‖ over all elements, summed in double precision; 0 where they
  /// are equal.
  public static double relative(float[] approximate, float[] exact) {
    double difference = 0;
    double reference = 0;
    for (int i = 0; i < exact.length; i++) {
      double delta = (double) approximate[i] - exact[i];
      difference += delta * delta;
      reference += (double) exact[i] * exact[i];
    }
    return relative(difference, reference);
  }

  /// A relative error from its two sums of squares.
  static double relative(double squaredDifference, double squaredReference) {
    return squaredDifference == 0 ? 0 : Math.sqrt(squaredDifference / squaredReference);
  }
}
