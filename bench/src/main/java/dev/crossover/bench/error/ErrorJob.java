// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.bench.jobs.PointJob;
import dev.crossover.bench.jobs.Recent;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.RecordJson;
import java.io.IOException;
import java.util.OptionalDouble;

/// Computes [ErrorPoint]s to [ErrorRecord]s.
///
/// The last few problems stay in memory with their exact outputs, for the points that follow.
///
/// @param threads number of threads, at least 1; errors do not depend on it
/// @param commit of the code that asks, which is the same as here
public record ErrorJob(int threads, String commit) implements PointJob {
  private static final int MOST_PROBLEMS = 3;
  private static final Recent<String, ProblemErrors> RECENT = new Recent<>(MOST_PROBLEMS);

  private static final Machine HERE = Machine.current();

  @Override
  public String compute(String point) throws IOException {
    ErrorPoint asked = RecordJson.read(point, ErrorPoint.class);
    OptionalDouble error = errors(asked).of(asked.spec());
    return RecordJson.write(
        new ErrorRecord(
            ErrorRecord.KIND, asked, error.isPresent() ? error.getAsDouble() : null, HERE, commit));
  }

  /// The point's problem with what is known of it.
  private ProblemErrors errors(ErrorPoint asked) throws IOException {
    String name = asked.tensors() + " " + asked.causal() + " " + threads;
    return RECENT.get(name, () -> new ProblemErrors(problem(asked)));
  }

  private ErrorProblem problem(ErrorPoint asked) throws IOException {
    ErrorProblem problem =
        ErrorProblem.of(asked.input(), asked.n(), asked.causal(), asked.seed(), threads);
    String found = problem.digest();
    if (!found.equals(asked.tensors())) {
      throw new IOException(
          asked.input()
              + ": tensors must be those of the study ("
              + asked.tensors()
              + "), but here were "
              + found);
    }
    return problem;
  }
}
