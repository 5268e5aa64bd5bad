// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.bench.error.EffectiveWeights;
import dev.crossover.bench.error.ErrorProblem;
import java.util.ArrayList;
import java.util.List;

/// Golden files of the worked example and of implied weights.
final class WeightsReplay {
  private WeightsReplay() {}

  static void example(ReadingFile file, ExpectedTensors expected) throws TensorFileException {
    int[] q = file.shape("q", 4);
    List<double[][]> scores = new ArrayList<>();
    List<double[][]> weights = new ArrayList<>();
    List<double[][]> out = new ArrayList<>();
    List<double[][]> effective = new ArrayList<>();
    for (WorkedExample one : heads(file)) {
      scores.add(one.scores());
      weights.add(one.weights());
      out.add(one.out());
      effective.add(one.effective());
    }
    int nk = file.shape("k", 4)[2];
    int dv = file.shape("v", 4)[3];
    expected.compare("scores", ExpectedTensors.flat(scores), q[0], q[1], q[2], nk);
    expected.compare("weights", ExpectedTensors.flat(weights), q[0], q[1], q[2], nk);
    expected.compare("out", ExpectedTensors.flat(out), q[0], q[1], q[2], dv);
    expected.compare("effective", ExpectedTensors.flat(effective), q[0], q[1], q[2], nk);
  }

  /// Weights by the equations in double precision, and again by the mechanism itself, fed with unit
  /// vectors as values.
  static void implied(ReadingFile file, ExpectedTensors expected) throws TensorFileException {
    file.require("weights_of", List.of("linear_transformer"));
    double eps = file.number("eps");
    boolean causal = file.causal();
    double[][][] q = file.matrices("q", 4);
    double[][][] k = file.matrices("k", 4);
    double[][][] v = file.matrices("v", 4);
    List<WorkedExample> exact = heads(file);
    List<double[][]> weights = new ArrayList<>();
    List<double[][]> out = new ArrayList<>();
    List<double[][]> effective = new ArrayList<>();
    List<double[][]> effectiveExact = new ArrayList<>();
    List<double[][]> variation = new ArrayList<>();
    for (int h = 0; h < q.length; h++) {
      double[][] w = linear(q[h], k[h], eps, causal);
      weights.add(w);
      out.add(WorkedExample.mixed(w, v[h]));
      effective.add(EffectiveAttention.of(w, v[h]));
      effectiveExact.add(exact.get(h).effective());
      variation.add(new double[][] {ImpliedWeights.totalVariation(w, exact.get(h).weights())});
    }
    int[] shape = file.shape("q", 4);
    int nk = file.shape("k", 4)[2];
    int dv = file.shape("v", 4)[3];
    int b = shape[0];
    int heads = shape[1];
    int n = shape[2];
    expected.compare("weights", ExpectedTensors.flat(weights), b, heads, n, nk);
    if (file.holds("weights")) {
      expected.compare(
          "weights",
          "weights of the mechanism for unit values",
          ofMechanism(file, causal),
          value -> 2e-5 + 2e-5 * Math.abs(value),
          b,
          heads,
          n,
          nk);
    }
    expected.compare("out", ExpectedTensors.flat(out), b, heads, n, dv);
    expected.compare("effective", ExpectedTensors.flat(effective), b, heads, n, nk);
    expected.compare("effective_exact", ExpectedTensors.flat(effectiveExact), b, heads, n, nk);
    expected.compare("total_variation", ExpectedTensors.flat(variation), b, heads, n);
  }

  private static List<WorkedExample> heads(ReadingFile file) throws TensorFileException {
    boolean causal = file.causal();
    double[][][] q = file.matrices("q", 4);
    double[][][] k = file.matrices("k", 4);
    double[][][] v = file.matrices("v", 4);
    if (k.length != q.length || v.length != q.length) {
      throw file.fault("q, k and v must have equally many heads");
    }
    double scale = file.scale(file.shape("q", 4)[3]);
    List<WorkedExample> heads = new ArrayList<>();
    for (int h = 0; h < q.length; h++) {
      heads.add(WorkedExample.of(q[h], k[h], v[h], scale, causal));
    }
    return heads;
  }

  private static double[][] linear(double[][] q, double[][] k, double eps, boolean causal) {
    double[][] weights = new double[q.length][k.length];
    for (int i = 0; i < q.length; i++) {
      double sum = eps;
      int limit = causal ? Math.min(i + 1, k.length) : k.length;
      for (int j = 0; j < limit; j++) {
        for (int a = 0; a < q[i].length; a++) {
          weights[i][j] += feature(q[i][a]) * feature(k[j][a]);
        }
        sum += weights[i][j];
      }
      for (int j = 0; j < limit; j++) {
        weights[i][j] /= sum;
      }
    }
    return weights;
  }

  /// elu + 1.
  private static double feature(double x) {
    return x > 0 ? x + 1 : Math.exp(x);
  }

  private static double[] ofMechanism(ReadingFile file, boolean causal) throws TensorFileException {
    Tensor q = file.tensor("q");
    Tensor k = file.tensor("k");
    Tensor v = file.tensor("v");
    if (q.extent(0) != 1) {
      throw file.fault("q must have batch size 1, but was " + q.extent(0));
    }
    int width = q.extent(3);
    AttentionShape shape =
        new AttentionShape(
            1, q.extent(1), k.extent(1), q.extent(2), k.extent(2), width, width, v.extent(3));
    ErrorProblem problem =
        new ErrorProblem(
            "file", shape, causal ? Mask.causal() : Mask.none(), Tensors.qkv(q, k, v), 42, 1);
    ErrorProblem.Run run =
        problem
            .run("linear_transformer:eps=" + file.text("eps"))
            .orElseThrow(() -> file.fault("linear_transformer must accept the sizes"));
    EffectiveWeights weights = EffectiveWeights.of(problem, run);
    double[] all = new double[shape.numHeads() * weights.queries() * weights.keys()];
    int at = 0;
    for (float[] head : weights.heads()) {
      for (float weight : head) {
        all[at++] = weight;
      }
    }
    return all;
  }
}
