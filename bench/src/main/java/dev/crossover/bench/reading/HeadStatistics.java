// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

/// Numbers of one head (Clark, Khandelwal, Levy, Manning, 2019, arXiv:1906.04341, as their program
/// has them; entropy without smoothing and distance are ours).
///
/// @param entropy mean over queries of `−Σ s ln s` with `s = 0.9999 a + 0.0001 / m`, in nats; puts
///     mass on the future of causal heads
/// @param entropyExact the same of the weights themselves, `0 ln 0 = 0`
/// @param meanDistance mean over queries of `Σ a_ij |i − j|`, in tokens
/// @param toPrevious sum of the weights of the token before, divided by the number of queries
/// @param toSelf the same of the token itself
/// @param toNext the same of the token after
/// @param toFirst the same of token 0
public record HeadStatistics(
    double entropy,
    double entropyExact,
    double meanDistance,
    double toPrevious,
    double toSelf,
    double toNext,
    double toFirst) {
  private static final double SMOOTHING = 1e-4;
  private static final double JS_SMOOTHING = 1e-3;

  /// Measures the weights of one head; they must not be negative for entropies to mean anything.
  ///
  /// @param weights `[n][m]`, query i at position i
  public static HeadStatistics of(double[][] weights) {
    int n = weights.length;
    double entropy = 0;
    double exact = 0;
    double distance = 0;
    double previous = 0;
    double self = 0;
    double following = 0;
    double first = 0;
    for (int i = 0; i < n; i++) {
      int m = weights[i].length;
      for (int j = 0; j < m; j++) {
        double a = weights[i][j];
        entropy += surprise((1 - SMOOTHING) * a + SMOOTHING / m);
        exact += surprise(a);
        distance += a * Math.abs(i - j);
      }
      previous += i >= 1 && i - 1 < m ? weights[i][i - 1] : 0;
      self += i < m ? weights[i][i] : 0;
      following += i + 1 < m ? weights[i][i + 1] : 0;
      first += weights[i][0];
    }
    return new HeadStatistics(
        entropy / n, exact / n, distance / n, previous / n, self / n, following / n, first / n);
  }

  private static double surprise(double p) {
    return p > 0 ? -p * Math.log(p) : 0;
  }

  /// What the thresholds of Clark et al. call this head; empty if nothing.
  public String name() {
    if (toPrevious > 0.5) {
      return "previous token";
    }
    if (toNext > 0.5) {
      return "next token";
    }
    return entropy > 3.8 ? "broad" : "";
  }

  /// Jensen-Shannon divergence of two heads, summed over queries, in nats; of weights smoothed by
  /// 0.001. It grows with the number of queries.
  public static double divergence(double[][] one, double[][] other) {
    double sum = 0;
    for (int i = 0; i < one.length; i++) {
      int m = one[i].length;
      double row = 0;
      for (int j = 0; j < m; j++) {
        double p = (1 - JS_SMOOTHING) * one[i][j] + JS_SMOOTHING / m;
        double q = (1 - JS_SMOOTHING) * other[i][j] + JS_SMOOTHING / m;
        double middle = (p + q) / 2;
        row += p * Math.log(p / middle) + q * Math.log(q / middle);
      }
      sum += row / 2;
    }
    return sum;
  }
}
