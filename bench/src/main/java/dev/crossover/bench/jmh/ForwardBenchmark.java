// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;

/// How long does one forward pass take, once its plan exists?
///
/// Expected: time proportional to the counted work, at a share of the peak that depends on the
/// mechanism, and no allocation.
public class ForwardBenchmark extends SequenceBenchmark {
  @Override
  Study study() {
    return Study.FORWARD;
  }

  @Override
  SequenceCall call(Problem problem) throws IOException {
    return new Forward(problem);
  }

  /// One forward pass.
  @Benchmark
  public @Nullable Object forward() {
    return callOnce();
  }

  private static final class Forward implements SequenceCall {
    private final Problem problem;
    private final Tensors inputs;
    private final Tensor output;
    private @Nullable AttentionPlan plan;

    Forward(Problem problem) throws IOException {
      this.problem = problem;
      inputs = problem.load();
      output = problem.newOutput();
    }

    @Override
    public void build() {
      plan = problem.attention().plan(problem.shape(), problem.mask(), problem.point().threads());
    }

    private AttentionPlan plan() {
      return Objects.requireNonNull(plan, "build comes first");
    }

    @Override
    public void run() {
      plan().forward(inputs, output);
    }

    @Override
    public List<float[]> answers() {
      return List.of(output.data());
    }

    @Override
    public long scratchBytes() {
      return plan().scratchBytes();
    }

    @Override
    public long parameterBytes() {
      return plan().parameterBytes();
    }

    @Override
    public @Nullable Long keptBytes() {
      return null;
    }

    @Override
    public @Nullable ErrorNorms error() {
      return problem.error(inputs, output);
    }
  }
}
