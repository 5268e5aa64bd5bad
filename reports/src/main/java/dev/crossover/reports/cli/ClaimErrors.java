// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import dev.crossover.reports.answer.ClaimRules;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Squared errors of mechanisms by number of features, one per seed of draws and inputs, each
/// computed once.
final class ClaimErrors {
  private final String input;
  private final int threads;
  private final Map<String, List<double[]>> known = new HashMap<>();

  ClaimErrors(String input, int threads) {
    this.input = input;
    this.threads = threads;
  }

  /// Squared relative errors, one array for each number of features, in the order of the seeds.
  ///
  /// @param spec a mechanism that approximates softmax attention on the given tensors
  List<double[]> of(String spec) {
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
      return relative(Problem.of(point), threads);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /// The relative error of one forward pass; NaN of a mechanism that approximates nothing.
  static double relative(Problem problem, int threads) throws IOException {
    Tensors inputs = problem.load();
    Tensor output = problem.newOutput();
    AttentionPlan plan = problem.attention().plan(problem.shape(), problem.mask(), threads);
    plan.forward(inputs, output);
    ErrorNorms error = problem.error(inputs, output);
    return error == null ? Double.NaN : error.relativeFrobenius();
  }
}
