// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.attention.tensor.Tensor;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.concurrent.ConcurrentHashMap;

/// Errors of mechanisms on one problem; what they are compared with is computed once.
public final class ProblemErrors {
  private final ErrorProblem problem;

  /// Exact outputs, by whether a query attends to itself last only.
  private final Map<Boolean, Tensor> exact = new ConcurrentHashMap<>();

  /// @param problem tensors and mask
  public ProblemErrors(ErrorProblem problem) {
    this.problem = problem;
  }

  /// Relative Frobenius error of a mechanism's output; empty when it cannot honour the mask or
  /// refuses the sizes.
  ///
  /// @throws IllegalArgumentException if the spec itself is not valid
  public OptionalDouble of(String spec) {
    return problem
        .run(spec)
        .map(run -> OptionalDouble.of(error(run)))
        .orElse(OptionalDouble.empty());
  }

  private double error(ErrorProblem.Run run) {
    Tensor reference = exact.computeIfAbsent(run.target().selfLast(), _ -> problem.exact(run));
    return ErrorStudy.compare(problem.output(run), reference).relativeFrobenius();
  }
}
