// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.commons.math3.special.Erf;

/// Fisher's test of partial correlations, two-sided: independent when `p > significance`.
///
/// `p = 2 (1 − Φ(√(N − s − 3) |atanh r|))` with the partial correlation r given s others and the
/// number N of samples from which the weights are thought to be estimated. N is a choice, not an
/// estimate: a model's width in the authors' notebook, while one head has the width of its own.
///
/// A correlation of one, and fewer degrees of freedom than none, count as dependent. Conditioning
/// on rows that are linearly dependent is refused by name. Answers are kept, so that a test is
/// counted once.
public final class PartialCorrelationTest implements IndependenceTest {
  /// Smallest share of a row that must be new to the rows before it.
  private static final double SMALLEST_PIVOT = 1e-13;

  private final double[][] r;
  private final int samples;
  private final double significance;
  private final Map<Question, Boolean> answers = new HashMap<>();
  private final int[] tests;
  private double margin = Double.POSITIVE_INFINITY;

  private record Question(int a, int b, List<Integer> given) {}

  /// A test on correlations of the nodes.
  ///
  /// @param correlation `[N, N]`
  /// @param samples N, at least 1
  /// @param significance between 0 and 1
  public PartialCorrelationTest(double[][] correlation, int samples, double significance) {
    if (samples < 1) {
      throw new IllegalArgumentException("samples must be >= 1, but was " + samples);
    }
    if (!(significance > 0 && significance < 1)) {
      throw new IllegalArgumentException(
          "significance must lie between 0 and 1, but was " + significance);
    }
    this.r = correlation;
    this.samples = samples;
    this.significance = significance;
    this.tests = new int[Math.max(1, correlation.length - 1)];
  }

  @Override
  public boolean independent(int a, int b, int[] given) {
    Question question =
        new Question(
            Math.min(a, b), Math.max(a, b), Arrays.stream(given).sorted().boxed().toList());
    Boolean known = answers.get(question);
    if (known == null) {
      double p = pValue(question.a, question.b, given);
      tests[given.length]++;
      if (!Double.isNaN(p)) {
        margin = Math.min(margin, Math.abs(p - significance) / significance);
      }
      known = p > significance;
      answers.put(question, known);
    }
    return known;
  }

  /// The probability of a partial correlation this large between independent tokens; NaN without
  /// degrees of freedom.
  public double pValue(int a, int b, int[] given) {
    int freedom = samples - given.length - 3;
    if (freedom < 0) {
      return Double.NaN;
    }
    double partial = partial(a, b, given);
    if (Math.abs(partial) >= 1) {
      return 0;
    }
    double atanh = (Math.log1p(partial) - Math.log1p(-partial)) / 2;
    return Erf.erfc(Math.sqrt(freedom) * Math.abs(atanh) / Math.sqrt(2));
  }

  /// The partial correlation of two nodes given others.
  ///
  /// @throws SingularRowsException if the rows conditioned on and the two are linearly dependent
  double partial(int a, int b, int[] given) {
    if (given.length == 0) {
      return r[a][b];
    }
    if (given.length == 1) {
      int k = given[0];
      if (r[a][k] >= 1 || r[b][k] >= 1) {
        return 1;
      }
      return (r[a][b] - r[a][k] * r[b][k])
          / Math.sqrt((1 - r[a][k] * r[a][k]) * (1 - r[b][k] * r[b][k]));
    }
    return conditioned(a, b, given);
  }

  /// From the Cholesky factor of R on (given, a, b): its last rows hold what of a and b the others
  /// leave unexplained.
  private double conditioned(int a, int b, int[] given) {
    int s = given.length;
    int[] order = Arrays.copyOf(given, s + 2);
    order[s] = a;
    order[s + 1] = b;
    double[][] l = new double[s + 2][s + 2];
    for (int i = 0; i < s + 2; i++) {
      for (int j = 0; j <= i; j++) {
        double sum = r[order[i]][order[j]];
        for (int k = 0; k < j; k++) {
          sum -= l[i][k] * l[j][k];
        }
        if (i > j) {
          l[i][j] = sum / l[j][j];
        } else if (sum > SMALLEST_PIVOT) {
          l[i][i] = Math.sqrt(sum);
        } else {
          throw new SingularRowsException(order, order[i]);
        }
      }
    }
    double left = l[s + 1][s];
    return left / Math.sqrt(left * left + l[s + 1][s + 1] * l[s + 1][s + 1]);
  }

  /// Number of distinct tests by size of the set conditioned on, from 0 to N − 2.
  public int[] tests() {
    return tests.clone();
  }

  /// Smallest `|p − significance| / significance` of the tests made: how near a decision came to
  /// the other side; infinite without a test.
  public double decisionMargin() {
    return margin;
  }
}
