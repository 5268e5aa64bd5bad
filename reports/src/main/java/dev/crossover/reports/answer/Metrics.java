// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.GradientNorms;
import dev.crossover.bench.result.ResultRecord.Memory;
import dev.crossover.reports.answer.Metric.Better;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/// Every [Metric], in the order of columns. To add one, add a constant here and name it in [#ALL]:
/// tables, CSV files, the page's data, charts and `compare --json` follow.
public final class Metrics {
  /// Errors below this are rounding, and may move freely.
  private static final double VISIBLE_ERROR = 1e-4;

  private static final String NO_ERROR = "not applicable";

  /// Lower end of the interval of [#SECONDS].
  public static final Metric SECONDS_LOW =
      Metric.of("seconds_low", "low", Unit.SECONDS, Better.LOWER, Point::secondsLow).ofSamples();

  /// Upper end of the interval of [#SECONDS].
  public static final Metric SECONDS_HIGH =
      Metric.of("seconds_high", "high", Unit.SECONDS, Better.LOWER, Point::secondsHigh).ofSamples();

  /// Time of a call, of a token when decoding, of both passes when training: the median of the
  /// forks' medians.
  public static final Metric SECONDS =
      Metric.of("seconds", "time", Unit.SECONDS, Better.LOWER, Point::seconds)
          .ofSamples()
          .drawn(study -> Optional.of(time(study)));

  /// 99th percentile of all samples, by nearest rank. A sample is one iteration, the mean of its
  /// calls, so that a single slow call among fast ones shows less than it took; of fewer than a
  /// hundred samples this is the slowest.
  public static final Metric SECONDS_P99 =
      Metric.of("seconds_p99", "99th percentile", Unit.SECONDS, Better.LOWER, p -> p.quantile(0.99))
          .ofSamples()
          .drawn(
              study ->
                  Optional.of(
                      Picture.of(
                              "time-p99",
                              "Slowest samples",
                              "99th percentile of the samples of all forks (of fewer than a hundred"
                                  + " the slowest); lower is better",
                              "time per " + study.unit())
                          .beside("seconds", "samples")));

  /// Forks whose samples count.
  public static final Metric FORKS =
      Metric.of("forks", "forks", Unit.COUNT, Better.NEITHER, p -> p.forkMedians().size());

  /// Samples of all forks.
  public static final Metric SAMPLES =
      Metric.of(
          "samples",
          "samples",
          Unit.COUNT,
          Better.NEITHER,
          p -> p.samples().stream().mapToInt(List::size).sum());

  private static final Metric TOKENS_LOW =
      Metric.of(
              "tokens_per_second_low",
              "low",
              Unit.NUMBER,
              Better.HIGHER,
              p -> tokens(p, p.secondsHigh()))
          .ofSamples()
          .inFilesOnly();

  private static final Metric TOKENS_HIGH =
      Metric.of(
              "tokens_per_second_high",
              "high",
              Unit.NUMBER,
              Better.HIGHER,
              p -> tokens(p, p.secondsLow()))
          .ofSamples()
          .inFilesOnly();

  /// Batch entries decoded per second; decoding only.
  public static final Metric TOKENS_PER_SECOND =
      Metric.of(
              "tokens_per_second",
              "tokens/s",
              Unit.NUMBER,
              Better.HIGHER,
              p -> tokens(p, p.seconds()))
          .ofSamples()
          .drawn(study -> when(!study.wholeSequence(), Metrics::speed));

  private static final Metric ERROR_LOW =
      error("relative_error_low", "least", Point::errorLow).inFilesOnly();

  private static final Metric ERROR_HIGH =
      error("relative_error_high", "most", Point::errorHigh).inFilesOnly();

  /// Relative error against exact attention; [StudyView#error] is its title.
  public static final Metric ERROR =
      error("relative_error", "error", Point::error)
          .judged("error", VISIBLE_ERROR)
          .drawn(study -> Optional.of(error(study)));

  /// What the allocator counts beyond inputs and output.
  public static final Metric COUNTED_BYTES =
      bytes("counted_bytes", "counted", Point::countedBytes)
          .judged("counted memory", 0)
          .drawn(study -> when(study.wholeSequence(), Metrics::counted));

  /// State of a decoding session.
  public static final Metric STATE_BYTES =
      bytes("state_bytes", "state", ofMemory(Memory::stateBytes))
          .drawn(study -> when(!study.wholeSequence(), Metrics::state));

  /// Bytes allocated per call in steady state.
  public static final Metric ALLOCATED_BYTES =
      bytes("allocated_bytes", "allocated/call", ofMemory(Memory::allocatedBytesPerCall))
          .drawn(
              _ ->
                  figure(
                      "allocated",
                      "Bytes allocated per call",
                      "garbage of one call in steady state, about zero by design"));

  /// Largest resident set of a process that measured this point alone.
  public static final Metric RESIDENT_BYTES =
      bytes("resident_bytes", "peak resident", Point::residentBytes)
          .drawn(
              _ ->
                  figure(
                      "resident",
                      "Peak resident set of the process",
                      "largest resident set of a process that measured this point alone, Linux;"
                          + " coarse"));

  /// Counted operations per second.
  public static final Metric GFLOPS = rate("gflops", "GFLOP/s", Roofline::gflops);

  /// Share of the one peak; absent, with the reason, where the peak was disturbed.
  public static final Metric SHARE_OF_PEAK =
      Metric.of(
              "share_of_peak",
              "of peak",
              Unit.SHARE,
              Better.HIGHER,
              p -> p.disturbance().isEmpty() ? roof(p, Roofline::shareOfPeak) : Double.NaN)
          .orElse(p -> p.disturbance().isEmpty() ? "" : "disturbed: " + p.disturbance());

  /// Counted operations per counted byte.
  public static final Metric INTENSITY =
      rate("intensity", "FLOPs/byte", Roofline::intensity).inFilesOnly();

  /// All metrics, in the order of columns.
  public static final List<Metric> ALL =
      List.of(
          SECONDS,
          SECONDS_LOW,
          SECONDS_HIGH,
          SECONDS_P99,
          FORKS,
          SAMPLES,
          TOKENS_PER_SECOND,
          TOKENS_LOW,
          TOKENS_HIGH,
          ERROR,
          ERROR_LOW,
          ERROR_HIGH,
          Metric.of(
              "max_abs_error",
              "max abs",
              Unit.SCIENTIFIC,
              Better.LOWER,
              ofFirst(ErrorNorms::maxAbs)),
          Metric.of(
              "mean_cosine", "cosine", Unit.COSINE, Better.HIGHER, ofFirst(ErrorNorms::meanCosine)),
          gradient("grad_q_error", "of ∂q", GradientNorms::query),
          gradient("grad_k_error", "of ∂k", GradientNorms::key),
          gradient("grad_v_error", "of ∂v", GradientNorms::value),
          COUNTED_BYTES,
          bytes("scratch_bytes", "scratch", firstMemory(Memory::countedScratchBytes)).inFilesOnly(),
          bytes("parameter_bytes", "parameters", firstMemory(Memory::parameterBytes)).inFilesOnly(),
          bytes("kept_bytes", "kept", ofMemory(Memory::keptBytes)),
          STATE_BYTES,
          ALLOCATED_BYTES,
          bytes("first_call_bytes", "first call allocated", ofMemory(Memory::firstCallBytes)),
          bytes("construction_bytes", "construction allocated", ofMemory(Memory::constructionBytes))
              .inFilesOnly(),
          RESIDENT_BYTES,
          Metric.of("flops", "FLOPs", Unit.SCIENTIFIC, Better.NEITHER, Point::flops).inFilesOnly(),
          bytes("bytes_moved", "bytes moved", Point::bytesMoved).inFilesOnly(),
          INTENSITY,
          GFLOPS,
          SHARE_OF_PEAK,
          rate("roof_gflops", "roof", Roofline::roof).inFilesOnly());

  private Metrics() {}

  /// The metric of a key.
  ///
  /// @throws IllegalArgumentException if there is none
  public static Metric of(String key) {
    return ALL.stream()
        .filter(metric -> metric.key().equals(key))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "metric must be one of "
                        + ALL.stream().map(Metric::key).toList()
                        + ", but was "
                        + key));
  }

  private static Picture time(StudyView study) {
    return Picture.of(
            "time",
            "Time",
            "median of a call with its 95 % interval over forks; lower is better",
            "time per " + study.unit())
        .figure(
            study.timeTitle(),
            "median and 95 % interval over forks; fitted slope with its 95 % interval in the"
                + " legend")
        .onPage(study.wholeSequence())
        .between(SECONDS_LOW, SECONDS_HIGH)
        .beside("forks", "samples", "relative_error")
        .growing(SeriesAnswer::timeFit)
        .guided();
  }

  private static Picture speed() {
    return Picture.of(
            "tokens",
            "Tokens per second",
            "with a 95 % interval over forks; higher is better",
            "tokens per second")
        .figure("Decoding speed against context length", "median and 95 % interval over forks")
        .between(TOKENS_LOW, TOKENS_HIGH)
        .beside("relative_error");
  }

  private static Picture error(StudyView study) {
    return Picture.of(
            "error",
            study.error().substring(0, 1).toUpperCase(Locale.ROOT) + study.error().substring(1),
            study.errorHow() + " against exact attention on the same tensors under the same mask",
            "relative " + study.error())
        .figure(study.errorTitle(), study.errorHow().replace("‖", "||"))
        .between(ERROR_LOW, ERROR_HIGH)
        .beside("max_abs_error", "mean_cosine", "grad_q_error", "grad_k_error", "grad_v_error")
        .ofInexact();
  }

  private static Picture counted() {
    return Picture.of(
            "memory",
            "Memory",
            "beyond inputs and output; counted by the allocator, exact",
            "bytes")
        .figure("Counted memory beyond inputs and output", "exact: counted by the allocator")
        .beside("scratch_bytes", "parameter_bytes", "kept_bytes")
        .growing(SeriesAnswer::memoryFit);
  }

  private static Picture state() {
    return Picture.of("state", "State", "bytes a session holds between tokens", "bytes")
        .figure("State of a decoding session", "exact: counted by the allocator")
        .growing(SeriesAnswer::memoryFit);
  }

  /// Bytes that are drawn beside the page only.
  private static Optional<Picture> figure(String file, String title, String how) {
    return Optional.of(Picture.of(file, title, how, "bytes").onPage(false));
  }

  private static Optional<Picture> when(boolean there, Supplier<Picture> picture) {
    return there ? Optional.of(picture.get()) : Optional.empty();
  }

  private static Metric bytes(String key, String title, ToDoubleFunction<Point> value) {
    return Metric.of(key, title, Unit.BYTES, Better.LOWER, value);
  }

  private static Metric error(String key, String title, ToDoubleFunction<Point> value) {
    return Metric.of(key, title, Unit.SHARE, Better.LOWER, value)
        .orElse(p -> p.first().approximates() == Approximates.NONE ? NO_ERROR : "");
  }

  private static Metric gradient(String key, String title, ToDoubleFunction<GradientNorms> which) {
    return Metric.of(key, title, Unit.SHARE, Better.LOWER, p -> p.gradientError(which));
  }

  private static Metric rate(String key, String title, ToDoubleFunction<Roofline> part) {
    return Metric.of(key, title, Unit.NUMBER, Better.HIGHER, p -> roof(p, part));
  }

  private static double roof(Point point, ToDoubleFunction<Roofline> part) {
    Roofline roof = point.roofline();
    return roof == null ? Double.NaN : part.applyAsDouble(roof);
  }

  /// Batch entries over seconds; NaN unless decoding.
  private static double tokens(Point point, double seconds) {
    return StudyView.of(point.first().study()).wholeSequence()
        ? Double.NaN
        : point.first().shape().batch() / seconds;
  }

  /// A part of the memory that records may lack: the median over seeds.
  private static ToDoubleFunction<Point> ofMemory(Part part) {
    return point ->
        point.middle(
            record -> {
              Number value = record.memory() == null ? null : part.of(record.memory());
              return value == null ? Double.NaN : value.doubleValue();
            });
  }

  /// A number of a record's memory, where it has it.
  @FunctionalInterface
  private interface Part {
    @Nullable Number of(Memory memory);
  }

  /// A part of the memory that is the same for every seed.
  private static ToDoubleFunction<Point> firstMemory(ToDoubleFunction<Memory> part) {
    return point -> {
      Memory memory = point.first().memory();
      return memory == null ? Double.NaN : part.applyAsDouble(memory);
    };
  }

  /// A norm of the first seed's error, where the point has an error.
  private static ToDoubleFunction<Point> ofFirst(ToDoubleFunction<ErrorNorms> part) {
    return point -> {
      ErrorNorms norms = point.first().error();
      return Double.isNaN(point.error()) || norms == null ? Double.NaN : part.applyAsDouble(norms);
    };
  }
}
