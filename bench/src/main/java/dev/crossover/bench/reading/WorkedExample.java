// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

/// Softmax attention of one head in double precision, every step kept, and the example of three
/// tokens that can be followed by hand.
///
/// @param scores scaled products of queries and keys, before the mask
/// @param weights their softmax over the keys that a query sees; a query that sees none has zeros
/// @param out weighted sums of the values
/// @param effective the weights of least norm with the same outputs
public record WorkedExample(
    double[][] scores, double[][] weights, double[][] out, double[][] effective) {
  private static final double LN2 = Math.log(2);

  /// Queries of the example: `2 ln 2` times whole numbers, so that the exponentials are 1, 2 and 4.
  public static final double[][] QUERIES = {
    {0, 2 * LN2, 4 * LN2, 0}, {4 * LN2, 2 * LN2, 0, 0}, {2 * LN2, 2 * LN2, 2 * LN2, 0}
  };

  /// Keys of the example: unit vectors.
  public static final double[][] KEYS = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}};

  /// Values of the example.
  public static final double[][] VALUES = {{21, 0}, {0, 21}, {42, 21}};

  /// The example.
  ///
  /// @param causal whether query i sees keys up to i only
  public static WorkedExample ofThreeTokens(boolean causal) {
    return of(QUERIES, KEYS, VALUES, 0.5, causal);
  }

  /// Attention of one head.
  ///
  /// @param q `[nq][d]`
  /// @param k `[nk][d]`
  /// @param v `[nk][dv]`
  /// @param scale factor on the products
  /// @param causal whether query i sees keys up to i only
  public static WorkedExample of(
      double[][] q, double[][] k, double[][] v, double scale, boolean causal) {
    double[][] scores = scores(q, k, scale);
    double[][] weights = softmax(scores, causal);
    double[][] out = mixed(weights, v);
    return new WorkedExample(scores, weights, out, EffectiveAttention.of(weights, v));
  }

  static double[][] scores(double[][] q, double[][] k, double scale) {
    double[][] scores = new double[q.length][k.length];
    for (int i = 0; i < q.length; i++) {
      for (int j = 0; j < k.length; j++) {
        double sum = 0;
        for (int a = 0; a < q[i].length; a++) {
          sum += q[i][a] * k[j][a];
        }
        scores[i][j] = scale * sum;
      }
    }
    return scores;
  }

  static double[][] softmax(double[][] scores, boolean causal) {
    double[][] weights = new double[scores.length][];
    for (int i = 0; i < scores.length; i++) {
      int limit = causal ? Math.min(i + 1, scores[i].length) : scores[i].length;
      weights[i] = new double[scores[i].length];
      double largest = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < limit; j++) {
        largest = Math.max(largest, scores[i][j]);
      }
      double sum = 0;
      for (int j = 0; j < limit; j++) {
        weights[i][j] = Math.exp(scores[i][j] - largest);
        sum += weights[i][j];
      }
      for (int j = 0; j < limit; j++) {
        weights[i][j] /= sum;
      }
    }
    return weights;
  }

  static double[][] mixed(double[][] weights, double[][] v) {
    int width = v.length == 0 ? 0 : v[0].length;
    double[][] out = new double[weights.length][width];
    for (int i = 0; i < weights.length; i++) {
      for (int j = 0; j < v.length; j++) {
        for (int c = 0; c < width; c++) {
          out[i][c] += weights[i][j] * v[j][c];
        }
      }
    }
    return out;
  }
}
