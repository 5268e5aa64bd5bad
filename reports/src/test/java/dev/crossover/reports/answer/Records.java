// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.result.SampleStatistics;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/// Synthetic result records of known truth.
public final class Records {
  private Records() {}

  /// A machine's name and commit are all that tests vary.
  public static ResultRecord.Environment environment(String cpu) {
    return new ResultRecord.Environment(
        cpu,
        2,
        24L << 30,
        "Linux 6.1 amd64",
        "25.0.3 (Eclipse Adoptium)",
        "-Xms2g -Xmx2g --add-modules=jdk.incubator.vector",
        "vector, 512 bits: preferred species",
        "0123abc",
        "2026-01-01T00:00:00Z");
  }

  /// One measured point.
  ///
  /// @param seconds true time; forks scatter around it
  /// @param error relative error; NaN for none
  public static ResultRecord point(
      Study study,
      String spec,
      Approximates approximates,
      String mask,
      int n,
      double seconds,
      double bytes,
      double error,
      int forks,
      double noise,
      RandomGenerator random) {
    List<List<Double>> samples = new ArrayList<>();
    for (int fork = 0; fork < forks; fork++) {
      double centre = seconds * Math.exp(noise * random.nextGaussian());
      samples.add(List.of(centre * 0.998, centre, centre * 1.003));
    }
    SampleStatistics statistics = SampleStatistics.of(samples);
    String mechanism = spec.contains(":") ? spec.substring(0, spec.indexOf(':')) : spec;
    boolean decode = study == Study.DECODE;
    return new ResultRecord(
        ResultRecord.SCHEMA,
        study,
        mechanism,
        spec,
        Map.of("example", "1"),
        approximates,
        new ResultRecord.Shape(1, 8, 8, n, n, 64, 64),
        mask,
        new ResultRecord.Input("captured", 2.9, Math.log(n), 41.5, Map.of(1, 0.31, 8, 0.62)),
        2,
        7,
        Status.OK,
        null,
        new ResultRecord.Time(
            samples,
            statistics.median(),
            statistics.hasInterval() ? statistics.low() : null,
            statistics.hasInterval() ? statistics.high() : null,
            forks,
            decode ? 1 / statistics.median() : null),
        new ResultRecord.Memory(
            (long) bytes,
            0,
            decode ? (long) bytes : null,
            48.0,
            180L << 20,
            (180L << 20) + (long) bytes),
        Double.isNaN(error)
            ? null
            : new ResultRecord.ErrorNorms(error, 3 * error, 1 - error * error / 2, List.of(error)),
        new ResultRecord.Counted(seconds * 40e9, 4.0 * 8 * 4 * n * 64),
        new ResultRecord.Peak(110, 18),
        environment("Example CPU @ 2.5 GHz"));
  }

  /// The same point of training, its gradients' errors a half, one and one and a half times its
  /// error.
  public static ResultRecord withGradients(ResultRecord like, long keptBytes) {
    ResultRecord.Memory memory = like.memory();
    ResultRecord.ErrorNorms error = like.error();
    ResultRecord.Memory kept =
        new ResultRecord.Memory(
            memory.countedScratchBytes(),
            memory.parameterBytes(),
            null,
            memory.allocatedBytesPerCall(),
            null,
            null,
            null,
            null,
            keptBytes);
    ResultRecord.ErrorNorms gradients =
        error == null
            ? null
            : new ResultRecord.ErrorNorms(
                1.5 * error.relativeFrobenius(),
                error.maxAbs(),
                error.meanCosine(),
                error.perHead(),
                256,
                new ResultRecord.GradientNorms(
                    0.5 * error.relativeFrobenius(),
                    error.relativeFrobenius(),
                    1.5 * error.relativeFrobenius()));
    return copy(like, Study.TRAINING, like.time(), kept, gradients, like.environment());
  }

  /// The same point under conditions of the machine, one for each fork.
  public static ResultRecord under(
      ResultRecord like, @Nullable List<ResultRecord.Conditions> conditions) {
    ResultRecord.Time time = like.time();
    ResultRecord.Time disturbed =
        new ResultRecord.Time(
            time.samples(),
            time.median(),
            time.low(),
            time.high(),
            time.plannedForks(),
            time.tokensPerSecond(),
            conditions);
    return copy(like, like.study(), disturbed, like.memory(), like.error(), like.environment());
  }

  /// The same point with other samples.
  public static ResultRecord timed(ResultRecord like, ResultRecord.Time time) {
    return copy(like, like.study(), time, like.memory(), like.error(), like.environment());
  }

  /// A point that was not measured.
  public static ResultRecord missing(ResultRecord like, Status status, String reason) {
    return new ResultRecord(
        like.schema(),
        like.study(),
        like.mechanism(),
        like.spec(),
        like.parameters(),
        like.approximates(),
        like.shape(),
        like.mask(),
        like.input(),
        like.threads(),
        like.seed(),
        status,
        reason,
        null,
        null,
        null,
        null,
        null,
        like.environment());
  }

  /// The same point measured elsewhere.
  public static ResultRecord on(ResultRecord like, ResultRecord.Environment environment) {
    return copy(like, like.study(), like.time(), like.memory(), like.error(), environment);
  }

  private static ResultRecord copy(
      ResultRecord like,
      Study study,
      ResultRecord.@Nullable Time time,
      ResultRecord.@Nullable Memory memory,
      ResultRecord.@Nullable ErrorNorms error,
      ResultRecord.Environment environment) {
    return new ResultRecord(
        like.schema(),
        study,
        like.mechanism(),
        like.spec(),
        like.parameters(),
        like.approximates(),
        like.shape(),
        like.mask(),
        like.input(),
        like.threads(),
        like.seed(),
        like.status(),
        like.reason(),
        time,
        memory,
        error,
        like.counted(),
        like.peak(),
        environment);
  }
}
