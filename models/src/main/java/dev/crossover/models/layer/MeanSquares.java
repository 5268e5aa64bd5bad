// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import java.util.List;

/// factor · mean over all elements of (student − teacher)²; no gradient reaches the teacher.
public final class MeanSquares extends Operation {
  private final double factor;
  private final int heads;
  private final int dim;
  private final double[] sums;
  private final double[] squares;

  private MeanSquares(Graph graph, Value loss, Value student, Value teacher, double factor) {
    super(graph, loss, List.of(student, teacher));
    this.factor = factor;
    this.heads = student.heads();
    this.dim = student.dim();
    sums = graph.layout().doubles(student.rows().capacity());
    squares = graph.layout().doubles(student.rows().capacity());
  }

  /// Adds the loss of two values split into the same heads.
  static MeanSquares add(Graph graph, String name, Value student, Value teacher, double factor) {
    if (teacher.needsGradient()) {
      throw new IllegalArgumentException("teacher must be frozen, but " + teacher + " is trained");
    }
    Value loss =
        graph.value(name, student.rows(), 0, 1, List.of(student, teacher), List.of()).pin();
    MeanSquares squares = new MeanSquares(graph, loss, student, teacher, factor);
    graph.add(squares);
    return squares;
  }

  @Override
  protected long work() {
    return (long) heads * dim;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] student = input(0).data();
    float[] teacher = input(1).data();
    for (int r = from; r < to; r++) {
      double sum = 0;
      double square = 0;
      for (int h = 0; h < heads; h++) {
        int at = input(0).at(r, h);
        for (int c = 0; c < dim; c++) {
          double distance = (double) student[at + c] - teacher[at + c];
          sum += distance * distance;
          square += (double) teacher[at + c] * teacher[at + c];
        }
      }
      sums[r] = sum;
      squares[r] = square;
      output().data()[r] = (float) sum;
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] student = input(0).data();
    float[] teacher = input(1).data();
    float[] gradient = input(0).gradient();
    float twice = (float) (2 * factor / input(0).size());
    for (int r = from; r < to; r++) {
      for (int h = 0; h < heads; h++) {
        int at = input(0).at(r, h);
        for (int c = 0; c < dim; c++) {
          float d = twice * (student[at + c] - teacher[at + c]);
          gradient[at + c] = adds(0) ? gradient[at + c] + d : d;
        }
      }
    }
  }

  /// The loss of the last forward pass.
  public double loss() {
    return factor * total(sums) / input(0).size();
  }

  /// ‖student − teacher‖ / ‖teacher‖ of the last forward pass, all heads together.
  public double relativeError() {
    return Math.sqrt(total(sums) / total(squares));
  }

  private static double total(double[] rows) {
    double sum = 0;
    for (double row : rows) {
      sum += row;
    }
    return sum;
  }
}
