// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// Runs and comparisons that the claims of this package share.
public final class SparseRuns {
  /// Two orders of summing float32 softmax attention over a few hundred standard normal rows differ
  /// by a few hundred roundings of 6e-8 at values of order 1.
  private static final double TOLERANCE = 2e-5;

  private SparseRuns() {}

  /// The output of a fresh plan, from storage filled with NaN.
  public static Tensor run(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    Arrays.fill(out.data(), Float.NaN);
    attention.plan(shape, mask, 2).forward(inputs, out);
    return out;
  }

  /// Fails unless two outputs agree as closely as orders of summation allow.
  public static void requireClose(Tensor expected, Tensor actual, String what) {
    double difference = largestDifference(expected, actual);
    if (!(difference <= TOLERANCE)) {
      throw new AssertionError(what + ": largest difference is " + difference);
    }
  }

  /// Fails unless an output agrees with a double-precision expectation.
  public static void requireClose(double[] expected, Tensor actual, String what) {
    for (int e = 0; e < expected.length; e++) {
      if (!(Math.abs(expected[e] - actual.data()[e]) <= TOLERANCE)) {
        throw new AssertionError(
            what + " [" + e + "] must be " + expected[e] + ", but was " + actual.data()[e]);
      }
    }
  }

  /// The largest absolute difference; NaN if there is one anywhere.
  public static double largestDifference(Tensor expected, Tensor actual) {
    double largest = 0;
    for (int e = 0; e < expected.size(); e++) {
      double difference = Math.abs((double) expected.data()[e] - actual.data()[e]);
      if (!(difference <= largest)) {
        largest = difference;
      }
    }
    return largest;
  }
}
