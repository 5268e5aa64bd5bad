// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Problem;
import dev.crossover.bench.sweep.TrainingStep;
import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;

/// How long does one forward and one backward pass take, once their plan exists?
///
/// Expected: about the counted work of both over the forward pass's, times the forward pass's time,
/// and no allocation.
public class TrainingBenchmark extends SequenceBenchmark {
  @Override
  Study study() {
    return Study.TRAINING;
  }

  @Override
  SequenceCall call(Problem problem) throws IOException {
    return new Step(new TrainingStep(problem));
  }

  /// One forward and one backward pass.
  @Benchmark
  public @Nullable Object step() {
    return callOnce();
  }

  private record Step(TrainingStep step) implements SequenceCall {
    @Override
    public void build() {
      step.build();
    }

    @Override
    public void run() {
      step.run();
    }

    @Override
    public List<float[]> answers() {
      return step.answers();
    }

    @Override
    public long scratchBytes() {
      return step.plan().scratchBytes();
    }

    @Override
    public long parameterBytes() {
      return step.plan().parameterBytes();
    }

    @Override
    public @Nullable Long keptBytes() {
      return step.plan().keptBytes();
    }

    @Override
    public @Nullable ErrorNorms error() {
      return step.error();
    }
  }
}
