// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.input.AttentionRows;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.peak.PeakMeter;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.Counted;
import dev.crossover.bench.result.ResultRecord.Environment;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Input;
import dev.crossover.bench.result.ResultRecord.Memory;
import dev.crossover.bench.result.ResultRecord.Peak;
import dev.crossover.bench.result.ResultRecord.PeakRange;
import dev.crossover.bench.result.ResultRecord.Shape;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.result.ResultRecord.Time;
import dev.crossover.bench.result.SampleStatistics;
import dev.crossover.models.layer.LayerCatalogue;
import java.io.IOException;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// Makes result records out of problems and the outcomes of forks.
final class Records {
  private final Machine machine;
  private final String commit;
  private final String kernels;
  private final @Nullable String command;

  /// What is known about inputs, so that only one fork needs to look.
  private final Map<String, Input> inputs = new HashMap<>();

  /// For the machine and build at hand.
  ///
  /// @param command the command that measures, as it was typed
  Records(@Nullable String command) {
    this(Machine.current(), Commit.current(), Kernels.get().description(), command);
  }

  Records(Machine machine, String commit, String kernels) {
    this(machine, commit, kernels, null);
  }

  private Records(Machine machine, String commit, String kernels, @Nullable String command) {
    this.command = command;
    this.machine = machine;
    this.commit = commit;
    this.kernels = kernels;
  }

  /// A point that was not attempted.
  ///
  /// @param problem the point made concrete; absent when that failed
  ResultRecord skipped(Point point, @Nullable Problem problem, String reason) {
    return record(point, problem, Status.SKIPPED, firstLine(reason), null, null, null, null, "");
  }

  /// A point whose process died; samples of earlier forks are kept.
  ResultRecord failed(Problem problem, @Nullable ResultRecord earlier, String reason) {
    return record(
        problem.point(),
        problem,
        Status.FAILED,
        firstLine(reason),
        earlier == null ? null : earlier.time(),
        earlier == null ? null : earlier.memory(),
        earlier == null ? null : earlier.error(),
        null,
        "");
  }

  /// Identity of a point's records, wherever they were measured.
  ///
  /// @throws IOException if the input cannot be read
  String pointKey(Point point, InputSource input) throws IOException {
    Problem problem;
    try {
      problem = Problem.of(point, input);
    } catch (IllegalArgumentException e) {
      problem = null;
    }
    return skipped(point, problem, "").pointKey();
  }

  /// A point after one more fork.
  ResultRecord measured(
      Problem problem,
      @Nullable ResultRecord earlier,
      Forks.Measured fork,
      @Nullable Peak peak,
      int plannedForks) {
    List<List<Double>> samples = new ArrayList<>();
    if (earlier != null && earlier.time() != null) {
      samples.addAll(earlier.time().samples());
    }
    samples.add(List.copyOf(fork.samples()));
    Forks.Facts facts = fork.facts();
    if (facts.rows() != null) {
      AttentionRows rows = facts.rows();
      inputs.put(
          inputKey(problem),
          new Input(
              problem.point().input(),
              rows.entropy(),
              rows.uniformEntropy(),
              rows.effectiveRank(),
              rows.topMass()));
    }
    ErrorNorms error = facts.error() != null || earlier == null ? facts.error() : earlier.error();
    List<Conditions> all = conditions(earlier, samples.size() - 1, facts.conditions());
    return record(
        problem.point(),
        problem,
        Status.OK,
        null,
        time(problem, samples, plannedForks, all),
        memory(facts, earlier),
        error,
        peak(peak, all),
        facts.jvmFlags());
  }

  /// The same record without the forks that never became steady, and, where points are measured
  /// alone, without those that were not; nothing when none is left.
  @Nullable ResultRecord usable(ResultRecord record, boolean alone) {
    Time time = record.time();
    if (time == null || time.conditions() == null) {
      return alone && time != null ? null : record;
    }
    List<List<Double>> samples = new ArrayList<>();
    List<Conditions> conditions = new ArrayList<>();
    for (int fork = 0; fork < time.samples().size(); fork++) {
      Conditions seen = time.conditions().get(fork);
      boolean together = seen.lengths() == null || seen.lengths() != 1;
      if (seen.unsteady() == null && !(alone && together)) {
        samples.add(time.samples().get(fork));
        conditions.add(seen);
      }
    }
    if (samples.size() == time.samples().size()) {
      return record;
    }
    return samples.isEmpty()
        ? null
        : withTime(record, time(record, samples, time.plannedForks(), conditions));
  }

  /// The same record when a sweep wants another number of forks.
  ResultRecord planned(ResultRecord record, int plannedForks) {
    Time time = record.time();
    if (time == null || time.plannedForks() == plannedForks) {
      return record;
    }
    return withTime(
        record,
        new Time(
            time.samples(),
            time.median(),
            time.low(),
            time.high(),
            plannedForks,
            time.tokensPerSecond(),
            time.conditions()));
  }

  private static ResultRecord withTime(ResultRecord record, Time time) {
    return new ResultRecord(
        record.schema(),
        record.study(),
        record.mechanism(),
        record.spec(),
        record.parameters(),
        record.approximates(),
        record.shape(),
        record.mask(),
        record.input(),
        record.threads(),
        record.seed(),
        record.status(),
        record.reason(),
        time,
        record.memory(),
        record.error(),
        record.counted(),
        record.peak(),
        record.environment());
  }

  /// Remembers what a record says about its input.
  void learn(ResultRecord record) {
    if (record.input().entropy() != null) {
      inputs.putIfAbsent(inputKey(record), record.input());
    }
  }

  /// Whether the input's attention rows have been looked at, at this length and under this mask.
  boolean knowsRows(Problem problem) {
    return inputs.containsKey(inputKey(problem));
  }

  private ResultRecord record(
      Point point,
      @Nullable Problem problem,
      Status status,
      @Nullable String reason,
      @Nullable Time time,
      @Nullable Memory memory,
      @Nullable ErrorNorms error,
      @Nullable Peak peak,
      String jvmFlags) {
    Attention attention = LayerCatalogue.parse(point.spec());
    Approximates approximates = LayerCatalogue.approximates(attention);
    return new ResultRecord(
        ResultRecord.SCHEMA,
        point.study(),
        attention.name(),
        point.spec(),
        LayerCatalogue.parametersOf(attention),
        approximates,
        problem == null ? wished(point) : shape(problem.shape()),
        problem == null ? point.mask() : problem.mask().label(),
        problem == null
            ? new Input(point.input(), null, null, null, null)
            : inputs.getOrDefault(
                inputKey(problem), new Input(point.input(), null, null, null, null)),
        point.threads(),
        point.seed(),
        status,
        reason,
        time,
        memory,
        approximates == Approximates.NONE ? null : error,
        counted(point, problem, status),
        peak,
        new Environment(
            machine.cpu(),
            machine.cores(),
            machine.memoryBytes(),
            machine.os(),
            machine.jdk(),
            jvmFlags,
            kernels,
            commit,
            Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(),
            command));
  }

  private static @Nullable Counted counted(Point point, @Nullable Problem problem, Status status) {
    if (problem == null || !point.study().wholeSequence() || status != Status.OK) {
      return null;
    }
    return new Counted(problem.callFlops(), problem.callBytes());
  }

  /// Conditions of all forks; of earlier ones that kept none, nothing is known.
  private static List<Conditions> conditions(
      @Nullable ResultRecord earlier, int forks, @Nullable Conditions latest) {
    List<Conditions> all = new ArrayList<>();
    if (earlier != null && earlier.time() != null && earlier.time().conditions() != null) {
      all.addAll(earlier.time().conditions());
    }
    while (all.size() < forks) {
      all.add(new Conditions(null, null));
    }
    all.add(latest == null ? new Conditions(null, null) : latest);
    return List.copyOf(all);
  }

  /// The machine's peak, its arithmetic as the forks found it between their samples.
  private static @Nullable Peak peak(@Nullable Peak before, List<Conditions> forks) {
    List<Double> medians =
        forks.stream()
            .map(Conditions::peak)
            .filter(Objects::nonNull)
            .map(PeakRange::median)
            .toList();
    if (medians.isEmpty()) {
      return before;
    }
    double bandwidth = before == null ? 0 : before.bandwidthGBs();
    return new Peak(PeakMeter.range(medians).median(), bandwidth);
  }

  private static Time time(
      Problem problem, List<List<Double>> samples, int plannedForks, List<Conditions> conditions) {
    return time(
        problem.point().study(), problem.shape().batchSize(), samples, plannedForks, conditions);
  }

  private static Time time(
      ResultRecord record,
      List<List<Double>> samples,
      int plannedForks,
      List<Conditions> conditions) {
    return time(record.study(), record.shape().batch(), samples, plannedForks, conditions);
  }

  private static Time time(
      Study study,
      int batch,
      List<List<Double>> samples,
      int plannedForks,
      List<Conditions> conditions) {
    SampleStatistics statistics = SampleStatistics.of(samples);
    return new Time(
        List.copyOf(samples),
        statistics.median(),
        statistics.hasInterval() ? statistics.low() : null,
        statistics.hasInterval() ? statistics.high() : null,
        plannedForks,
        study.wholeSequence() ? null : batch / statistics.median(),
        List.copyOf(conditions));
  }

  private static Memory memory(Forks.Facts facts, @Nullable ResultRecord earlier) {
    Memory before = earlier == null ? null : earlier.memory();
    return new Memory(
        facts.countedScratchBytes(),
        facts.parameterBytes(),
        facts.stateBytes(),
        facts.allocatedBytesPerCall(),
        facts.baselineResidentBytes(),
        larger(facts.peakResidentBytes(), before == null ? null : before.peakResidentBytes()),
        facts.constructionBytes(),
        facts.firstCallBytes(),
        facts.keptBytes());
  }

  private static @Nullable Long larger(@Nullable Long a, @Nullable Long b) {
    if (a == null || b == null) {
      return a == null ? b : a;
    }
    return Math.max(a, b);
  }

  private static Shape shape(AttentionShape s) {
    return new Shape(
        s.batchSize(),
        s.numHeads(),
        s.numKeyValueHeads(),
        s.querySeqLen(),
        s.keySeqLen(),
        s.headDim(),
        s.valueDim());
  }

  private static Shape wished(Point p) {
    return new Shape(p.batch(), p.heads(), p.heads(), p.n(), p.n(), p.dim(), p.dim());
  }

  private static String inputKey(Problem problem) {
    return String.join(
        "|",
        problem.isLayer() ? "layer" : "core",
        problem.point().input(),
        shape(problem.shape()).toString(),
        problem.mask().label(),
        Long.toString(problem.point().seed()));
  }

  private static String inputKey(ResultRecord record) {
    return String.join(
        "|",
        record.mechanism().startsWith("layer/") ? "layer" : "core",
        record.input().source(),
        record.shape().toString(),
        record.mask(),
        Long.toString(record.seed()));
  }

  private static String firstLine(String text) {
    return text.lines().findFirst().orElse("");
  }
}
