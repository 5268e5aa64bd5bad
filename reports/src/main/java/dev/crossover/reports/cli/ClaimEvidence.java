// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.error.ErrorStudy;
import dev.crossover.bench.error.ExactRows;
import dev.crossover.bench.error.Spectrum;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import dev.crossover.reports.answer.Claim.Outcome;
import dev.crossover.reports.answer.ClaimRules;
import dev.crossover.reports.answer.QualityResults;
import dev.crossover.reports.answer.TrainedRules;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// What rules need that is computed rather than timed: errors, spectra, and training runs that were
/// given. Errors of a mechanism are computed once.
final class ClaimEvidence {
  private static final long SEED = Draws.DEFAULT_SEED;

  private final String input;
  private final int threads;
  private final List<QualityResults> trained;
  private final Map<String, List<double[]>> known = new HashMap<>();
  private final Map<Long, ExactRows> exact = new HashMap<>();

  /// @param input label of the tensors that errors are taken on
  /// @param threads number of threads; nothing depends on it
  /// @param trained results of training runs, none for none
  ClaimEvidence(String input, int threads, List<QualityResults> trained) {
    this.input = input;
    this.threads = threads;
    this.trained = List.copyOf(trained);
  }

  /// The verdict on a rule.
  Outcome of(ClaimRules.Computed computed) {
    return switch (computed) {
      case ClaimRules.Errors rule ->
          ClaimRules.Errors.outcome(errors(rule.better()), errors(rule.worse()));
      case ClaimRules.Spectra rule -> rule.outcome(shares(rule));
      case TrainedRules.Trained rule -> rule.outcome(trained);
      case TrainedRules.Evaluated rule -> rule.outcome(trained);
    };
  }

  /// By layer, share of the singular values' sum in the largest quarter of them, one a head.
  private List<double[]> shares(ClaimRules.Spectra rule) {
    List<double[]> layers = new ArrayList<>();
    for (String layer : rule.layers()) {
      try {
        ErrorProblem problem = ErrorProblem.of(layer, rule.n(), true, SEED, threads);
        layers.add(
            Spectrum.of(problem).stream()
                .mapToDouble(spectrum -> spectrum.share(spectrum.cumulative().size() / 4))
                .toArray());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
    return layers;
  }

  /// Squared relative errors, one array for each number of features, in the order of the seeds.
  ///
  /// @param spec a mechanism that approximates softmax attention on the given tensors
  List<double[]> errors(String spec) {
    return known.computeIfAbsent(spec, this::computed);
  }

  private List<double[]> computed(String spec) {
    List<double[]> errors = new ArrayList<>();
    for (int features : ClaimRules.Errors.FEATURES) {
      double[] ofSeeds = new double[ClaimRules.Errors.SEEDS];
      for (int seed = 0; seed < ofSeeds.length; seed++) {
        String wide = ErrorProblem.with(spec, "num_features", Integer.toString(features));
        double error = error(ErrorProblem.with(wide, "seed", Integer.toString(seed)), seed);
        ofSeeds[seed] = error * error;
      }
      errors.add(ofSeeds);
    }
    return errors;
  }

  private double error(String spec, long seed) {
    Point point =
        new Point(
            Study.FORWARD,
            spec,
            ClaimRules.Errors.N,
            ClaimRules.Errors.DIM,
            1,
            1,
            "none",
            threads,
            input,
            seed);
    try {
      Problem problem = Problem.of(point);
      Tensors inputs = problem.load();
      return ErrorStudy.compare(
              forward(problem, inputs, threads),
              exact.computeIfAbsent(seed, s -> exactRows(problem, inputs)))
          .relativeFrobenius();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// Exact attention on the tensors of a seed, which are the same for every mechanism.
  private ExactRows exactRows(Problem problem, Tensors inputs) {
    return ExactRows.of(
        problem.attention().exactTarget(problem.shape(), problem.mask(), inputs),
        ExactRows.positions(problem.shape()),
        threads);
  }

  /// The relative error of one forward pass; NaN of a mechanism that approximates nothing.
  static double relative(Problem problem, int threads) throws IOException {
    Tensors inputs = problem.load();
    ErrorNorms error = problem.error(inputs, forward(problem, inputs, threads));
    return error == null ? Double.NaN : error.relativeFrobenius();
  }

  private static Tensor forward(Problem problem, Tensors inputs, int threads) {
    Tensor output = problem.newOutput();
    AttentionPlan plan = problem.attention().plan(problem.shape(), problem.mask(), threads);
    plan.forward(inputs, output);
    return output;
  }
}
