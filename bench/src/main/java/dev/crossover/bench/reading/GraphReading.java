// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// The causal graph of some tokens, read from their attention rows; or the reason why there is
/// none.
///
/// @param graph what was learned; empty where the rows do not allow it
/// @param refusal why not, naming tokens or ranks; empty where there is a graph
/// @param rank number of independent rows
/// @param tests distinct tests by size of the set conditioned on
/// @param decisionMargin smallest `|p − significance| / significance` of the tests
/// @param equalRows pairs of tokens with equal rows: their tests are degenerate
public record GraphReading(
    Optional<CausalGraph.Learned> graph,
    String refusal,
    int rank,
    List<Integer> tests,
    double decisionMargin,
    List<List<Integer>> equalRows) {
  /// Smallest singular value, as a share of the largest, of rows computed in float32.
  public static final double FLOAT_RANK = 1e-6;

  /// The same of rows computed in double precision.
  public static final double DOUBLE_RANK = 1e-12;

  /// How to read.
  ///
  /// @param samples samples from which the weights are thought to be estimated: a choice
  /// @param significance tokens are independent when `p` is larger
  /// @param options how the graph is learned
  public record Settings(int samples, double significance, CausalGraph.Options options) {

    /// The smallest correlation of two tokens that counts as dependence.
    public double threshold() {
      if (samples <= 3) {
        return 0;
      }
      double quantile =
          new org.apache.commons.math3.distribution.NormalDistribution()
              .inverseCumulativeProbability(1 - significance / 2);
      return Math.tanh(quantile / Math.sqrt(samples - 3));
    }
  }

  /// Reads the graph of all given rows.
  ///
  /// Low-rank mechanisms make the covariance of many tokens singular. Tests that condition on too
  /// many tokens then mean nothing: there is no graph, unless the largest order asked for stays
  /// below what the rank allows.
  ///
  /// @param rows a row of weights for each token
  /// @param names of the tokens, for the refusal
  /// @param rankShare [#FLOAT_RANK] or [#DOUBLE_RANK]
  public static GraphReading of(
      double[][] rows, List<String> names, Settings settings, double rankShare) {
    int n = rows.length;
    double[][] correlation;
    try {
      correlation = Correlations.of(rows);
    } catch (IllegalArgumentException e) {
      return refused(0, String.valueOf(e.getMessage()), List.of());
    }
    List<List<Integer>> equal =
        Correlations.equalPairs(correlation).stream()
            .map(pair -> Arrays.stream(pair).boxed().toList())
            .toList();
    int rank = Correlations.rank(rows, rankShare);
    int most = settings.options.maxOrder();
    if (rank < n && (most < 0 || most > rank - 2)) {
      String message = String.valueOf(new SingularRowsException(n, rank).getMessage());
      return refused(rank, message, equal);
    }
    PartialCorrelationTest test =
        new PartialCorrelationTest(correlation, settings.samples, settings.significance);
    try {
      CausalGraph.Learned learned = CausalGraph.learn(n, test, settings.options);
      List<Integer> tests = Arrays.stream(test.tests()).boxed().toList();
      return new GraphReading(Optional.of(learned), "", rank, tests, test.decisionMargin(), equal);
    } catch (SingularRowsException e) {
      return refused(rank, e.message(names), equal);
    }
  }

  private static GraphReading refused(int rank, String message, List<List<Integer>> equal) {
    return new GraphReading(
        Optional.empty(), message, rank, List.of(), Double.POSITIVE_INFINITY, equal);
  }
}
