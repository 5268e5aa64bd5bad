package dev.crossover.bench.jmh;

import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;

/// Compares what is about to be timed with what the same mechanism gives in another way: a forward
/// pass with the scalar kernels, decoding with the scalar kernels' causal forward pass.
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
              + (cut.point().study() == Study.DECODE ? "decoding" : "a forward pass")
              + " must agree with the scalar kernels to "
              + TOLERANCE
              + ", but differed by "
              + difference
              + " at n = "
              + cut.point().n());
    }
  }

  /// ‖a − b‖ / ‖b‖ of what is timed, a, and the scalar kernels' forward pass, b.
  static double difference(Problem problem) throws IOException {
    float[] scalar = ScalarTwin.output(problem.point());
    return problem.point().study() == Study.DECODE
        ? decoded(problem, scalar)
        : forward(problem, scalar);
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
      cut.attention().plan(cut.shape(), cut.mask(), 1);
      return cut;
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      return problem; // it refuses short sequences
    }
  }

  private static double forward(Problem problem, float[] expected) throws IOException {
    Tensors inputs = problem.load();
    Tensor output = problem.newOutput();
    problem
        .attention()
        .plan(problem.shape(), problem.mask(), problem.point().threads())
        .forward(inputs, output);
    double squares = 0;
    double all = 0;
    for (int i = 0; i < expected.length; i++) {
      double delta = (double) output.data()[i] - expected[i];
      squares += delta * delta;
      all += (double) expected[i] * expected[i];
    }
    return squares == 0 ? 0 : Math.sqrt(squares / all);
  }

  private static double decoded(Problem problem, float[] expected) throws IOException {
    TokenSlices slices = new TokenSlices(problem.attention(), problem.shape(), problem.load());
    int n = problem.shape().keySeqLen();
    int first = Math.max(0, n - TOKENS);
    Tensor one = Tensor.zeros(problem.attention().outputShape(problem.shape().withSeqLens(1, 1)));
    DecodeSession session = problem.attention().decode(problem.shape(), problem.point().threads());
    if (first > 0) {
      session.prefill(slices.range(0, first));
    }
    int width = one.extent(one.rank() - 1);
    int heads = one.data().length / width;
    double squares = 0;
    double all = 0;
    for (int t = first; t < n; t++) {
      session.step(slices.range(t, t + 1), one);
      for (int head = 0; head < heads; head++) {
        for (int x = 0; x < width; x++) {
          double e = expected[(head * n + t) * width + x];
          double delta = one.data()[head * width + x] - e;
          squares += delta * delta;
          all += e * e;
        }
      }
    }
    return squares == 0 ? 0 : Math.sqrt(squares / all);
  }
}
