// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.bench.input.AttentionRows;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Peak;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Runs one point in a process of its own.
public interface Forks {

  /// How long a fork measures.
  ///
  /// @param warmups iterations that are thrown away
  /// @param iterations iterations that are kept, one sample each
  /// @param iterationMillis length of an iteration in milliseconds; a call that is longer makes an
  ///     iteration of its own
  record Settings(int warmups, int iterations, int iterationMillis) {}

  /// What a fork is asked for besides time.
  ///
  /// @param error whether to compare the output with exact attention
  /// @param rows whether to look at the rows of exact attention
  record Wish(boolean error, boolean rows) {}

  /// What became of a fork.
  sealed interface Outcome {}

  /// It was measured.
  ///
  /// @param samples seconds per call, one per iteration
  /// @param facts what the process said about itself
  record Measured(List<Double> samples, Facts facts) implements Outcome {}

  /// The mechanism refused the problem, by name.
  ///
  /// @param reason one line
  record Refused(String reason) implements Outcome {}

  /// The process died or threw.
  ///
  /// @param reason one line
  record Died(String reason) implements Outcome {}

  /// The user stopped the sweep; nothing is known about the point.
  record Interrupted() implements Outcome {}

  /// What a fork says about itself besides time.
  ///
  /// @param countedScratchBytes what the plan or session allocated
  /// @param parameterBytes parameters drawn from the seed
  /// @param stateBytes state of the decoding session
  /// @param allocatedBytesPerCall heap allocated by all threads per call in steady state; absent
  ///     where it cannot be known
  /// @param baselineResidentBytes resident set before the plan was built, of a fork with one length
  /// @param peakResidentBytes largest resident set until the measurement ended, likewise
  /// @param constructionBytes heap allocated while the plan or session was built
  /// @param firstCallBytes heap allocated by the first call
  /// @param keptBytes what the forward pass keeps for the backward pass; training only
  /// @param error difference from exact attention; absent when not asked for or meaningless
  /// @param rows how peaked exact attention is on this input; absent when not asked for
  /// @param kernels kernels in use
  /// @param jvmFlags flags of the process
  /// @param conditions under which it measured; absent where the process did not look
  record Facts(
      long countedScratchBytes,
      long parameterBytes,
      @Nullable Long stateBytes,
      @Nullable Double allocatedBytesPerCall,
      @Nullable Long baselineResidentBytes,
      @Nullable Long peakResidentBytes,
      @Nullable Long constructionBytes,
      @Nullable Long firstCallBytes,
      @Nullable Long keptBytes,
      @Nullable ErrorNorms error,
      @Nullable AttentionRows rows,
      String kernels,
      String jvmFlags,
      @Nullable Conditions conditions) {

    /// Without the resident set, what happens before the steady state, and conditions.
    public Facts(
        long countedScratchBytes,
        long parameterBytes,
        @Nullable Long stateBytes,
        @Nullable Double allocatedBytesPerCall,
        @Nullable ErrorNorms error,
        String kernels) {
      this(
          countedScratchBytes,
          parameterBytes,
          stateBytes,
          allocatedBytesPerCall,
          null,
          null,
          null,
          null,
          null,
          error,
          null,
          kernels,
          "",
          null);
    }

    /// The same from a process with other flags.
    public Facts withFlags(String flags) {
      return new Facts(
          countedScratchBytes,
          parameterBytes,
          stateBytes,
          allocatedBytesPerCall,
          baselineResidentBytes,
          peakResidentBytes,
          constructionBytes,
          firstCallBytes,
          keptBytes,
          error,
          rows,
          kernels,
          flags,
          conditions);
    }

    /// The same measured under other conditions.
    public Facts withConditions(Conditions others) {
      return new Facts(
          countedScratchBytes,
          parameterBytes,
          stateBytes,
          allocatedBytesPerCall,
          baselineResidentBytes,
          peakResidentBytes,
          constructionBytes,
          firstCallBytes,
          keptBytes,
          error,
          rows,
          kernels,
          jvmFlags,
          others);
    }
  }

  /// Measures one point in a fresh process.
  ///
  /// @param problem the point
  /// @param settings how long
  /// @param wish what else to find out, after the measurement
  Outcome run(Problem problem, Settings settings, Wish wish);

  /// Measures several lengths of one mechanism, in one fresh process where that can be had.
  ///
  /// Iterations take the lengths in turn, so that a drift of the machine falls on all alike, and
  /// the compiler's warm-up is paid once.
  ///
  /// @param problems points that differ in their length only, in the order in which they are warmed
  ///     up and measured
  /// @param settings how long, per length
  /// @param wishes what else to find out, one for each problem
  /// @return one outcome for each problem; fewer if the last is [Interrupted]
  default List<Outcome> run(List<Problem> problems, Settings settings, List<Wish> wishes) {
    List<Outcome> outcomes = new ArrayList<>();
    for (int i = 0; i < problems.size(); i++) {
      outcomes.add(run(problems.get(i), settings, wishes.get(i)));
      if (outcomes.getLast() instanceof Interrupted) {
        break;
      }
    }
    return outcomes;
  }

  /// Measures what the machine can do with a number of threads.
  ///
  /// @return absent if it could not be measured
  @Nullable Peak peak(int threads);
}
