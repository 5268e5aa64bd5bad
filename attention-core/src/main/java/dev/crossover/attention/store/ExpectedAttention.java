// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Parameter;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Keeps the first positions and, of the others, those that queries to come are expected to look at
/// most, weighted by the length of their values (NVIDIA kvpress, Expected Attention).
///
/// ```
/// μ, C = mean and covariance of the unrotated prompt queries after the first ones
/// R = mean of the rotations at the next positions;   μ ← R μ;   C ← R C Rᵀ
/// z = k · μ / √d + kᵀ C k / (2 d);   e = softmax(z);   score = (mean of e over the group + ε) │v│
/// ```
///
/// @param budget positions kept
/// @param compressionRatio share of the prompt that goes, instead of `budget`
/// @param sinkTokens first positions, always kept
/// @param futurePositions positions over which rotations are averaged
/// @param useCovariance whether the covariance takes part
/// @param useValueNorm whether scores are multiplied by the length of the value
/// @param eps added before that
/// @param rope rotation of queries and keys
/// @param ropeBase its frequency base
/// @param ropeDim rotated features, all when absent
public record ExpectedAttention(
    @Parameter(value = "positions kept, 1024 where nothing is given", defaultValue = "")
        OptionalInt budget,
    @Parameter(value = "share of the prompt that goes, instead of budget", defaultValue = "")
        OptionalDouble compressionRatio,
    @Parameter(value = "first positions always kept, >= 0", defaultValue = "4", goldenDefault = "0")
        int sinkTokens,
    @Parameter(value = "positions over which rotations are averaged, >= 1", defaultValue = "512")
        int futurePositions,
    @Parameter(value = "whether the covariance takes part", defaultValue = "true")
        boolean useCovariance,
    @Parameter(value = "whether the length of the value counts", defaultValue = "true")
        boolean useValueNorm,
    @Parameter(value = "added before the value's length, >= 0", defaultValue = "0") double eps,
    @Parameter(value = "rotation of queries and keys", defaultValue = "none") Rope rope,
    @Parameter(value = "frequency base", defaultValue = "10000") double ropeBase,
    @Parameter(value = "rotated features, all when absent", defaultValue = "") OptionalInt ropeDim)
    implements CachePolicy {
  static final String NAME = "expected_attention";

  /// Rotation of queries and keys.
  public enum Rope {
    /// None.
    NONE,
    /// Pairs (a, a + r/2).
    HALF,
    /// Pairs (2a, 2a + 1).
    INTERLEAVED;

    /// First and second feature of pair a of r rotated features.
    int first(int a) {
      return this == INTERLEAVED ? 2 * a : a;
    }

    int second(int a, int rotated) {
      return this == INTERLEAVED ? 2 * a + 1 : a + rotated / 2;
    }
  }

  /// Validates the sizes.
  public ExpectedAttention {
    Budget.check(budget, compressionRatio);
    if (sinkTokens < 0) {
      throw new IllegalArgumentException("sink_tokens must be >= 0, but was " + sinkTokens);
    }
    if (futurePositions < 1) {
      throw new IllegalArgumentException(
          "future_positions must be >= 1, but was " + futurePositions);
    }
    if (!(eps >= 0)) {
      throw new IllegalArgumentException("eps must be >= 0, but was " + eps);
    }
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public boolean needsPrompt() {
    return true;
  }

  @Override
  public CacheWeights.Form supposes() {
    return CacheWeights.Form.SOFTMAX;
  }

  @Override
  public int budget(int prompt) {
    return Budget.of(budget, compressionRatio, prompt);
  }

  @Override
  public void score(CacheView view, int head, double[] scores) {
    int cached = view.cached();
    double[] expected = new double[cached];
    double[] rotation = meanRotation(view.dim(), view.prompt());
    for (int member = 0; member < view.group(); member++) {
      addExpected(view, head, member, rotation, expected);
    }
    float[] value = new float[view.valueDim()];
    for (int j = 0; j < cached; j++) {
      double score = expected[j] / view.group();
      if (useValueNorm) {
        view.value(head, j, value);
        score = (score + eps) * KeyNorm.norm(value);
      }
      scores[j] = j < sinkTokens ? Double.POSITIVE_INFINITY : score;
    }
  }

  /// Adds the expected weights of one query head.
  private void addExpected(
      CacheView view, int head, int member, double[] rotation, double[] expected) {
    int dim = view.dim();
    int rows = view.prompt() - sinkTokens;
    double[] mean = new double[dim];
    double[] covariance = new double[dim * dim];
    float[] row = new float[dim];
    for (int i = sinkTokens; i < view.prompt(); i++) {
      view.promptQuery(head, member, i, row);
      for (int c = 0; c < dim; c++) {
        mean[c] += row[c] / (double) rows;
      }
    }
    for (int i = sinkTokens; i < view.prompt() && useCovariance; i++) {
      view.promptQuery(head, member, i, row);
      for (int a = 0; a < dim; a++) {
        double centred = (row[a] - mean[a]) / rows;
        for (int b = 0; b < dim; b++) {
          covariance[a * dim + b] += centred * (row[b] - mean[b]);
        }
      }
    }
    mean = product(rotation, mean, dim, 1);
    if (useCovariance) {
      covariance = product(rotation, covariance, dim, dim);
      covariance = product(rotation, transposed(covariance, dim), dim, dim);
    }
    int cached = view.cached();
    double[] z = new double[cached];
    double largest = Double.NEGATIVE_INFINITY;
    for (int j = sinkTokens; j < cached; j++) {
      view.key(head, j, row);
      z[j] = logit(row, mean, covariance, dim);
      largest = Math.max(largest, z[j]);
    }
    double sum = 0;
    for (int j = sinkTokens; j < cached; j++) {
      z[j] = Math.exp(z[j] - largest);
      sum += z[j];
    }
    for (int j = sinkTokens; j < cached; j++) {
      expected[j] += z[j] / sum;
    }
  }

  private double logit(float[] key, double[] mean, double[] covariance, int dim) {
    double dot = 0;
    double form = 0;
    for (int a = 0; a < dim; a++) {
      dot += key[a] * mean[a];
      for (int b = 0; b < dim && useCovariance; b++) {
        form += key[a] * covariance[a * dim + b] * key[b];
      }
    }
    return dot / Math.sqrt(dim) + form / (2 * dim);
  }

  /// The mean of the rotation matrices at the positions to come.
  private double[] meanRotation(int dim, int prompt) {
    double[] mean = new double[dim * dim];
    int rotated = rope == Rope.NONE ? 0 : ropeDim.orElse(dim);
    for (int c = 0; c < dim; c++) {
      mean[c * dim + c] = 1;
    }
    for (int a = 0; a < rotated / 2; a++) {
      double frequency = Math.pow(ropeBase, -2.0 * a / rotated);
      double cosine = 0;
      double sine = 0;
      for (int t = 0; t < futurePositions; t++) {
        double angle = (prompt + t) * frequency;
        cosine += Math.cos(angle) / futurePositions;
        sine += Math.sin(angle) / futurePositions;
      }
      int u = rope.first(a);
      int w = rope.second(a, rotated);
      mean[u * dim + u] = cosine;
      mean[u * dim + w] = -sine;
      mean[w * dim + u] = sine;
      mean[w * dim + w] = cosine;
    }
    return mean;
  }

  private static double[] product(double[] a, double[] b, int dim, int columns) {
    double[] c = new double[dim * columns];
    for (int i = 0; i < dim; i++) {
      for (int l = 0; l < dim; l++) {
        for (int j = 0; j < columns && a[i * dim + l] != 0; j++) {
          c[i * columns + j] += a[i * dim + l] * b[l * columns + j];
        }
      }
    }
    return c;
  }

  private static double[] transposed(double[] a, int dim) {
    double[] t = new double[a.length];
    for (int i = 0; i < a.length; i++) {
      t[i % dim * dim + i / dim] = a[i];
    }
    return t;
  }
}
