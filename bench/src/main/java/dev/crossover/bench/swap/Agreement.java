// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.random.Draws;
import java.util.Arrays;
import org.apache.commons.math3.stat.correlation.SpearmansCorrelation;
import org.apache.commons.math3.stat.ranking.NaNStrategy;
import org.apache.commons.math3.stat.ranking.NaturalRanking;
import org.apache.commons.math3.stat.ranking.TiesStrategy;
import org.apache.commons.rng.UniformRandomProvider;

/// How well two sets of embeddings of the same texts agree.
public final class Agreement {
  private static final double NORMAL = 1.959963984540054;
  private static final double TAIL = 0.025;
  private static final int RESAMPLES = 2000;

  private Agreement() {}

  /// The cosine of every text's two embeddings, which have length 1.
  public static double[] cosines(double[][] one, double[][] other) {
    double[] cosines = new double[one.length];
    Arrays.setAll(cosines, t -> dot(one[t], other[t]));
    return cosines;
  }

  /// Spearman's correlation, average ranks for ties, of the similarities of all pairs of texts;
  /// NaN where all similarities of one side are equal.
  public static double rank(double[][] one, double[][] other) {
    return spearman(similarities(one), similarities(other));
  }

  /// Spearman's correlation with average ranks for ties.
  ///
  /// @param x at least two numbers
  public static double spearman(double[] x, double[] y) {
    return new SpearmansCorrelation(new NaturalRanking(NaNStrategy.FAILED, TiesStrategy.AVERAGE))
        .correlation(x, y);
  }

  /// The 95 % interval of Spearman's correlation after Bonett and Wright (Psychometrika 2000):
  /// Fisher's transform with the variance (1 + r²/2)/(n − 3).
  ///
  /// @param n number of pairs, above 3
  /// @return low, high
  public static double[] interval(double correlation, int n) {
    if (n <= 3) {
      return new double[] {Double.NaN, Double.NaN};
    }
    double half = NORMAL * Math.sqrt((1 + correlation * correlation / 2) / (n - 3));
    double z = 0.5 * Math.log((1 + correlation) / (1 - correlation));
    return new double[] {Math.tanh(z - half), Math.tanh(z + half)};
  }

  /// The 95 % interval of Spearman's correlation by the bootstrap: the middle 95 of 100
  /// correlations of as many pairs drawn with replacement; NaN for fewer than four pairs.
  ///
  /// @param seed same seed, same draws
  /// @return low, high
  public static double[] bootstrap(double[] x, double[] y, long seed) {
    int n = x.length;
    if (n <= 3) {
      return new double[] {Double.NaN, Double.NaN};
    }
    UniformRandomProvider random = Draws.generator(seed);
    double[] correlations = new double[RESAMPLES];
    double[] drawnX = new double[n];
    double[] drawnY = new double[n];
    for (int r = 0; r < RESAMPLES; r++) {
      for (int i = 0; i < n; i++) {
        int pair = random.nextInt(n);
        drawnX[i] = x[pair];
        drawnY[i] = y[pair];
      }
      correlations[r] = spearman(drawnX, drawnY);
    }
    // draws of one pair alone have no correlation
    double[] sorted = Arrays.stream(correlations).filter(c -> !Double.isNaN(c)).sorted().toArray();
    int tail = (int) (TAIL * sorted.length);
    return sorted.length == 0
        ? new double[] {Double.NaN, Double.NaN}
        : new double[] {sorted[tail], sorted[sorted.length - 1 - tail]};
  }

  /// The share of texts whose most similar other text is the same on both sides; the first of equal
  /// ones counts.
  public static double nearest(double[][] one, double[][] other) {
    int same = 0;
    for (int t = 0; t < one.length; t++) {
      same += nearest(one, t) == nearest(other, t) ? 1 : 0;
    }
    return (double) same / one.length;
  }

  private static int nearest(double[][] embeddings, int t) {
    int best = -1;
    double most = Double.NEGATIVE_INFINITY;
    for (int u = 0; u < embeddings.length; u++) {
      double similarity = u == t ? Double.NEGATIVE_INFINITY : dot(embeddings[t], embeddings[u]);
      if (similarity > most) {
        best = u;
        most = similarity;
      }
    }
    return best;
  }

  private static double[] similarities(double[][] embeddings) {
    int n = embeddings.length;
    double[] similarities = new double[n * (n - 1) / 2];
    int at = 0;
    for (int a = 0; a < n; a++) {
      for (int b = a + 1; b < n; b++) {
        similarities[at++] = dot(embeddings[a], embeddings[b]);
      }
    }
    return similarities;
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int c = 0; c < a.length; c++) {
      sum += a[c] * b[c];
    }
    return sum;
  }
}
