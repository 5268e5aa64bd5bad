// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.TokenSlices;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ErrorStudy;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import dev.crossover.bench.sweep.TrainingStep;
import dev.crossover.models.layer.LayerCatalogue;
import java.io.IOException;

/// Compares what is about to be timed with what the same mechanism gives in another way: a forward
/// pass and a training step's output and gradients with the scalar kernels', decoding with the
/// scalar kernels' causal forward pass or, over a cache that rounds or drops, with their decoding.
///
/// Mechanisms that approximate nothing have no other reference, and a mechanism that is timed while
/// it answers NaN would be the fastest of all. Long sequences are checked on their beginning; of
/// every length the whole output must be finite.
final class AnswerCheck {
  /// Positions that are compared.
  static final int POSITIONS = 256;

  /// Tokens that are decoded.
  static final int TOKENS = 16;

  /// Largest ‖a − b‖ / ‖b‖. Rounding alone gives less than a hundredth; the rest is for choices
  /// of keys and buckets, which are discrete, and of which rounding may turn one.
  static final double TOLERANCE = 2e-3;

  private AnswerCheck() {}

  /// Checks a mechanism before one of its points is timed.
  ///
  /// @throws IllegalStateException if its answers differ, by name
  /// @throws IOException if the input cannot be read
  static void of(Problem problem) throws IOException {
    Problem cut = beginning(problem);
    double difference = difference(cut);
    if (!(difference <= TOLERANCE)) {
      throw new IllegalStateException(
          cut.point().spec()
              + ": "
              + cut.point().study().phrase()
              + " must agree with the scalar kernels to "
              + TOLERANCE
              + ", but differed by "
              + difference
              + " at n = "
              + cut.point().n());
    }
  }

  /// ‖a − b‖ / ‖b‖ of what is timed, a, and what the scalar kernels give, b; the largest over the
  /// output and the gradients of a training step.
  static double difference(Problem problem) throws IOException {
    float[][] scalar = ScalarTwin.answers(problem.point());
    if (!problem.point().study().wholeSequence() && !LayerCatalogue.isCached(problem.attention())) {
      return decoded(problem, scalar[0]);
    }
    float[][] found = answers(problem);
    double largest = 0;
    for (int i = 0; i < scalar.length; i++) {
      // NaN stays
      largest = Math.max(largest, ErrorStudy.relative(found[i], scalar[i]));
    }
    return largest;
  }

  /// Checks that no element of an output is infinite or no number.
  ///
  /// @throws IllegalStateException if one is
  static void finite(Point point, float[] output) {
    for (int i = 0; i < output.length; i++) {
      if (!Float.isFinite(output[i])) {
        throw new IllegalStateException(
            point.spec()
                + ": output must be finite, but element "
                + i
                + " was "
                + output[i]
                + " at n = "
                + point.n());
      }
    }
  }

  /// The problem's first positions, where the mechanism runs on so few.
  private static Problem beginning(Problem problem) throws IOException {
    if (problem.point().n() <= POSITIONS) {
      return problem;
    }
    try {
      Problem named = Problem.of(problem.point().withLength(POSITIONS), problem.input());
      Problem cut =
          new Problem(
              named.point(),
              named.type(),
              problem.attention(),
              named.shape(),
              named.mask(),
              named.input());
      if (!LayerCatalogue.isCached(cut.attention())) {
        cut.attention().plan(cut.shape(), cut.mask(), 1);
      }
      return cut;
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      return problem; // it refuses short sequences
    }
  }

  /// What a problem's whole sequence gives: the output and, of training, every gradient; over a
  /// cache that rounds or drops, [#lastTokens].
  static float[][] answers(Problem problem) throws IOException {
    if (problem.point().study().kind().differentiates()) {
      TrainingStep step = new TrainingStep(problem);
      step.build();
      step.run();
      return step.answers().toArray(float[][]::new);
    }
    if (LayerCatalogue.isCached(problem.attention())) {
      return new float[][] {lastTokens(problem)};
    }
    Tensors inputs = problem.load();
    Tensor output = problem.newOutput();
    problem
        .attention()
        .plan(problem.shape(), problem.mask(), problem.point().threads())
        .forward(inputs, output);
    return new float[][] {output.data()};
  }

  private static double decoded(Problem problem, float[] whole) throws IOException {
    float[] found = lastTokens(problem);
    int[] one = problem.attention().outputShape(problem.shape().withSeqLens(1, 1));
    int width = one[one.length - 1];
    int heads = Tensor.sizeOf(one) / width;
    int n = problem.shape().keySeqLen();
    float[] expected = new float[found.length];
    for (int at = 0; at < found.length; at += width) {
      int t = n - found.length / (heads * width) + at / (heads * width);
      int head = at / width % heads;
      System.arraycopy(whole, (head * n + t) * width, expected, at, width);
    }
    return ErrorStudy.relative(found, expected);
  }

  /// Decodes the last tokens, as many as [#TOKENS] or all, after a prefix.
  ///
  /// @return `[tokens, heads, width]`
  static float[] lastTokens(Problem problem) throws IOException {
    TokenSlices slices = new TokenSlices(problem.attention(), problem.shape(), problem.load());
    int n = problem.shape().keySeqLen();
    int first = Math.max(0, n - TOKENS);
    Tensor one = Tensor.zeros(problem.attention().outputShape(problem.shape().withSeqLens(1, 1)));
    DecodeSession session = problem.attention().decode(problem.shape(), problem.point().threads());
    if (first > 0) {
      session.prefill(slices.range(0, first));
    }
    float[] outputs = new float[(n - first) * one.size()];
    for (int t = first; t < n; t++) {
      session.step(slices.range(t, t + 1), one);
      System.arraycopy(one.data(), 0, outputs, (t - first) * one.size(), one.size());
    }
    return outputs;
  }
}
