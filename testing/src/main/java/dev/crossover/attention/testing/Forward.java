// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// Runs a mechanism once into an output filled with NaN, and compares outputs.
public final class Forward {
  private Forward() {}

  /// The output of one forward pass; the shape is read from the inputs.
  public static Tensor of(Attention attention, Mask mask, Tensors inputs) {
    AttentionShape shape = attention.shapeOf(inputs);
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    Arrays.fill(out.data(), Float.NaN);
    attention.plan(shape, mask, 1).forward(inputs, out);
    return out;
  }

  /// Largest absolute difference; NaN if either holds NaN.
  public static double maxDifference(Tensor a, Tensor b) {
    double[] expected = new double[a.size()];
    for (int i = 0; i < expected.length; i++) {
      expected[i] = a.data()[i];
    }
    return maxDifference(expected, b);
  }

  /// Largest absolute difference; NaN if either holds NaN.
  public static double maxDifference(double[] expected, Tensor actual) {
    if (expected.length != actual.size()) {
      throw new AssertionError("sizes " + expected.length + " and " + actual.size());
    }
    double largest = 0;
    for (int i = 0; i < expected.length; i++) {
      double difference = Math.abs(expected[i] - actual.data()[i]);
      if (!(difference <= largest)) {
        largest = difference;
      }
    }
    return largest;
  }
}
