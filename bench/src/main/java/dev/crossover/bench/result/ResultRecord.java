// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.bench.study.DecodeStudy;
import dev.crossover.bench.study.ForwardStudy;
import dev.crossover.bench.study.StudyKind;
import dev.crossover.bench.study.TrainingStudy;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// One measured point, one JSON line: what was run on what, and its time, memory and error.
///
/// All times are seconds, all sizes bytes, all rates per second. A part that does not apply is
/// absent: a skipped or failed point has no time, a mechanism that approximates nothing has no
/// error. A point may appear several times in a file, each time with more forks; the last of the
/// most complete ones counts (see [ResultFile#read]).
///
/// @param schema version of this layout, [#SCHEMA] when written by this code
/// @param study what was timed
/// @param mechanism name in the catalogue
/// @param spec the shortest `name:param=value,…` that recreates the mechanism
/// @param parameters every parameter of the mechanism as text, defaults included
/// @param approximates what the mechanism approximates
/// @param shape sizes of the problem
/// @param mask the mask in force, as `Mask.label()` names it; a mechanism that cannot be causal is
///     measured without a mask even in a causal sweep
/// @param input where queries, keys and values came from
/// @param threads number of threads
/// @param seed seed of everything drawn for this point
/// @param status whether it was measured
/// @param reason why it was not, one line
/// @param time duration of one call
/// @param memory memory told in several ways
/// @param error difference from exact attention on the same tensors under the same mask; of
///     training the difference of the gradients
/// @param counted work as counted by the implementation's formulas
/// @param peak what the machine can do, measured in the same run
/// @param environment where and with what it was measured
public record ResultRecord(
    int schema,
    Study study,
    String mechanism,
    String spec,
    Map<String, String> parameters,
    Approximates approximates,
    Shape shape,
    String mask,
    Input input,
    int threads,
    long seed,
    Status status,
    @Nullable String reason,
    @Nullable Time time,
    @Nullable Memory memory,
    @Nullable ErrorNorms error,
    @Nullable Counted counted,
    @Nullable Peak peak,
    Environment environment) {

  /// Version of the layout this code writes.
  public static final int SCHEMA = 1;

  /// What was timed; all that is known of it is in its [StudyKind].
  public enum Study {
    /// One forward pass over the whole sequence.
    FORWARD(new ForwardStudy()),
    /// One token of causal decoding at context length n.
    DECODE(new DecodeStudy()),
    /// One forward and one backward pass over the whole sequence, with the gradients of everything
    /// that is differentiable.
    TRAINING(new TrainingStudy());

    private final StudyKind kind;

    Study(StudyKind kind) {
      this.kind = kind;
    }

    /// What is known of it.
    public StudyKind kind() {
      return kind;
    }

    /// What is timed, in a sentence.
    public String phrase() {
      return kind.phrase();
    }

    /// Whether a call is over the whole sequence, see [StudyKind#wholeSequence].
    public boolean wholeSequence() {
      return kind.wholeSequence();
    }

    /// Its name on the command line and in sweep files.
    public String word() {
      return name().toLowerCase(Locale.ROOT);
    }

    /// All names, in order.
    public static List<String> words() {
      return Stream.of(values()).map(Study::word).toList();
    }

    /// The study of a name.
    ///
    /// @throws IllegalArgumentException with the nearest name if there is none
    public static Study of(String word) {
      int index = words().indexOf(word);
      if (index < 0) {
        throw new IllegalArgumentException(
            "study must be one of " + words() + ", but was " + word + Nearest.hint(word, words()));
      }
      return values()[index];
    }
  }

  /// What became of a point.
  public enum Status {
    /// Measured.
    OK,
    /// Never attempted, for the reason given.
    SKIPPED,
    /// Attempted, and its process failed for the reason given.
    FAILED
  }

  /// Sizes of the problem, in elements.
  ///
  /// @param batch sequences
  /// @param heads query heads
  /// @param kvHeads key/value heads
  /// @param n query positions; for decoding the context length
  /// @param keySeqLen key positions
  /// @param headDim width of queries and keys
  /// @param valueDim width of values
  public record Shape(
      int batch, int heads, int kvHeads, int n, int keySeqLen, int headDim, int valueDim) {}

  /// Where queries, keys and values came from, and how hard they are to approximate.
  ///
  /// @param source label that recreates them, for example `captured` or `gaussian:scale=1`
  /// @param entropy mean entropy of the exact attention rows under the mask, in nats, over sampled
  /// rows
  /// @param uniformEntropy what the entropy would be if every visible key had equal weight, in nats
  /// @param effectiveRank exponential of the entropy of the score matrix's normalised singular
  ///     values, without mask, over at most 4096 positions; mean over up to four heads
  /// @param topMass mean share of a row's weight on its largest keys, by number of keys
  public record Input(
      String source,
      @Nullable Double entropy,
      @Nullable Double uniformEntropy,
      @Nullable Double effectiveRank,
      @Nullable Map<Integer, Double> topMass) {}

  /// Duration of one forward pass, of one token when decoding, or of one forward and backward pass.
  ///
  /// @param samples seconds, one list per fork (a JVM of its own), in order of measurement
  /// @param median median of the forks' medians, seconds
  /// @param low lower end of the 95 % interval over forks when the point was written, seconds;
  ///     absent with a single fork; a report computes intervals anew from the samples
  /// @param high upper end, seconds; absent like `low`
  /// @param plannedForks number of forks the sweep wants for this point; fewer lists are a point
  ///     not yet finished
  /// @param tokensPerSecond batch entries decoded per second; decoding only
  /// @param conditions what the machine was doing when each fork's measurement had ended, one for
  ///     each list of samples; absent in records of earlier versions
  public record Time(
      List<List<Double>> samples,
      double median,
      @Nullable Double low,
      @Nullable Double high,
      int plannedForks,
      @Nullable Double tokensPerSecond,
      @Nullable List<Conditions> conditions) {

    /// Without knowledge of the machine's conditions.
    public Time(
        List<List<Double>> samples,
        double median,
        @Nullable Double low,
        @Nullable Double high,
        int plannedForks,
        @Nullable Double tokensPerSecond) {
      this(samples, median, low, high, plannedForks, tokensPerSecond, null);
    }
  }

  /// Under which conditions a fork measured.
  ///
  /// @param loadAverage processes that ran or waited to when the measurement had ended, averaged
  ///     over the last minute; the sweep's own forks are among them; absent where the system does
  ///     not tell
  /// @param megahertz mean frequency of as many of the fastest processors as there are threads;
  ///     Linux only, and on many virtual machines a constant
  /// @param unsteady why the fork's samples are not those of compiled code that has a processor to
  ///     itself, one line; absent when they are
  /// @param lengths how many lengths of the mechanism the fork measured; 1 for a point alone;
  ///     absent in records of earlier versions
  /// @param peak what the multiply-add loop reached between this fork's samples; absent in records
  ///     of earlier versions
  public record Conditions(
      @Nullable Double loadAverage,
      @Nullable Double megahertz,
      @Nullable String unsteady,
      @Nullable Integer lengths,
      @Nullable PeakRange peak) {

    /// Of a steady fork that did not look at the peak.
    public Conditions(@Nullable Double loadAverage, @Nullable Double megahertz) {
      this(loadAverage, megahertz, null, null, null);
    }
  }

  /// What the multiply-add loop reached when it ran between the samples of a fork.
  ///
  /// @param low least, 10⁹ float32 operations per second
  /// @param median middle
  /// @param high most
  public record PeakRange(double low, double median, double high) {}

  /// Memory in bytes, told in ways that must agree.
  ///
  /// @param countedScratchBytes what the plan allocated for its own use, exactly
  /// @param parameterBytes parameters drawn from the seed
  /// @param stateBytes state of a decoding session at context n; decoding only
  /// @param allocatedBytesPerCall heap allocated per call once the fork was steady
  /// @param baselineResidentBytes resident set of the fork before the plan was built; Linux only,
  ///     and only of a fork that measured this point alone
  /// @param peakResidentBytes largest resident set of the fork, likewise
  /// @param constructionBytes heap allocated while the plan or session was built: what it keeps and
  ///     what it threw away; absent where not measured
  /// @param firstCallBytes heap allocated by the first call, which the interpreter runs: vectors
  ///     are objects to it; absent where not measured
  /// @param keptBytes what the forward pass keeps for the backward pass, exactly; training only
  public record Memory(
      long countedScratchBytes,
      long parameterBytes,
      @Nullable Long stateBytes,
      @Nullable Double allocatedBytesPerCall,
      @Nullable Long baselineResidentBytes,
      @Nullable Long peakResidentBytes,
      @Nullable Long constructionBytes,
      @Nullable Long firstCallBytes,
      @Nullable Long keptBytes) {

    /// Without what happens before the steady state.
    public Memory(
        long countedScratchBytes,
        long parameterBytes,
        @Nullable Long stateBytes,
        @Nullable Double allocatedBytesPerCall,
        @Nullable Long baselineResidentBytes,
        @Nullable Long peakResidentBytes) {
      this(
          countedScratchBytes,
          parameterBytes,
          stateBytes,
          allocatedBytesPerCall,
          baselineResidentBytes,
          peakResidentBytes,
          null,
          null,
          null);
    }
  }

  /// Difference between the mechanism's output O and exact attention O*; of training, between their
  /// gradients with respect to queries, keys and values.
  ///
  /// @param relativeFrobenius ‖O − O*‖ / ‖O*‖; of training, the largest of [#gradients]
  /// @param maxAbs largest absolute difference of an element
  /// @param meanCosine mean over rows of the cosine between O's and O*'s row; of training, mean
  ///     over the three gradients of the cosine between whole tensors
  /// @param perHead relative Frobenius error of each head, over the batch; of training, the largest
  ///     of the query head's three
  /// @param rows positions of each head that were compared with double precision; absent where all
  ///     were compared with exact attention in single precision; of training, the positions whose
  ///     outputs had a gradient
  /// @param gradients errors of the three gradients; training only
  public record ErrorNorms(
      double relativeFrobenius,
      double maxAbs,
      double meanCosine,
      List<Double> perHead,
      @Nullable Integer rows,
      @Nullable GradientNorms gradients) {

    /// Of an output, at some rows.
    public ErrorNorms(
        double relativeFrobenius,
        double maxAbs,
        double meanCosine,
        List<Double> perHead,
        @Nullable Integer rows) {
      this(relativeFrobenius, maxAbs, meanCosine, perHead, rows, null);
    }

    /// Of all rows, against single precision.
    public ErrorNorms(
        double relativeFrobenius, double maxAbs, double meanCosine, List<Double> perHead) {
      this(relativeFrobenius, maxAbs, meanCosine, perHead, null);
    }
  }

  /// Relative Frobenius errors of gradients.
  ///
  /// @param query of ∂q
  /// @param key of ∂k
  /// @param value of ∂v
  public record GradientNorms(double query, double key, double value) {}

  /// Work of one call as counted by formulas.
  ///
  /// @param flops floating-point operations, a multiply-add counted as two
  /// @param bytesMoved bytes that must cross the memory bus at least once
  public record Counted(double flops, double bytesMoved) {}

  /// What the machine can do with the point's number of threads, measured in the same run.
  ///
  /// @param gflops 10⁹ float32 operations per second of a multiply-add loop in registers: median
  ///     over the forks, each of which ran it between its samples
  /// @param bandwidthGBs 10⁹ bytes read per second from memory
  public record Peak(double gflops, double bandwidthGBs) {}

  /// Where and with what a point was measured.
  ///
  /// @param cpu model name
  /// @param cores processors available
  /// @param memoryBytes physical memory
  /// @param os name, version and architecture
  /// @param jdk version and vendor of the measuring JVM
  /// @param jvmFlags flags of the measuring JVM
  /// @param kernels kernels in use, with width and reason
  /// @param commit commit of the code, `-dirty` when files had changed, or `unknown`
  /// @param timestamp start of the point's last measurement, ISO-8601 in UTC
  /// @param command the command that measured it, as it was typed; absent where none was
  public record Environment(
      String cpu,
      int cores,
      long memoryBytes,
      String os,
      String jdk,
      String jvmFlags,
      String kernels,
      String commit,
      String timestamp,
      @Nullable String command) {

    /// Measured by no command.
    public Environment(
        String cpu,
        int cores,
        long memoryBytes,
        String os,
        String jdk,
        String jvmFlags,
        String kernels,
        String commit,
        String timestamp) {
      this(cpu, cores, memoryBytes, os, jdk, jvmFlags, kernels, commit, timestamp, null);
    }

    /// Machine, operating system, JDK and commit: what shards of one sweep have in common.
    public String machine() {
      return cpu
          + ", "
          + cores
          + " cores, "
          + (memoryBytes >> 20)
          + " MiB, "
          + os
          + ", JDK "
          + jdk
          + ", commit "
          + commit;
    }

    /// The part that must agree between points of one curve: machine, JDK, kernels and commit.
    public String key() {
      return String.join(
          "|", cpu, Integer.toString(cores), Long.toString(memoryBytes), os, jdk, kernels, commit);
    }
  }

  /// Identity of the point, apart from where it was measured: two records of one point have equal
  /// keys.
  public String pointKey() {
    return String.join(
        "|",
        study.name(),
        spec,
        shape.toString(),
        mask,
        input.source(),
        Integer.toString(threads),
        Long.toString(seed));
  }

  /// Identity of the point on its machine, JDK and commit.
  public String key() {
    return pointKey() + "|" + environment.key();
  }

  /// From which relative difference between its least and most the peak has moved too far for a
  /// share of it to mean anything.
  public static final double PEAK_MOVES = 0.1;

  /// Number of forks measured so far whose samples are steady.
  public int steadyForks() {
    int forks = forks();
    if (time == null || time.conditions() == null) {
      return forks;
    }
    return forks - (int) time.conditions().stream().filter(ResultRecord::unsteady).count();
  }

  /// Whether a fork never became steady: the point's time is no result.
  public boolean unsteady() {
    return status == Status.OK && steadyForks() < forks();
  }

  /// Why the point is unsteady, for example `1 of 3 forks: …`; empty when it is steady.
  public String unsteadiness() {
    if (!unsteady() || time == null || time.conditions() == null) {
      return "";
    }
    String first =
        time.conditions().stream()
            .filter(ResultRecord::unsteady)
            .map(Conditions::unsteady)
            .findFirst()
            .orElse("");
    return (forks() - steadyForks()) + " of " + forks() + " forks: " + first;
  }

  /// Why a share of the peak would mean nothing here, or an empty text: the peak moved by more than
  /// [#PEAK_MOVES] among the point's forks, or the share is above 100 %.
  public String disturbance() {
    double moved = peakMoved();
    if (moved > PEAK_MOVES) {
      return String.format(Locale.ROOT, "the peak moved by %.0f %%", 100 * moved);
    }
    if (time != null && counted != null && peak != null && peak.gflops() > 0) {
      double share = counted.flops() / time.median() / 1e9 / peak.gflops();
      if (share > 1) {
        return String.format(Locale.ROOT, "%.1f %% of the peak", 100 * share);
      }
    }
    return "";
  }

  /// Relative difference between the least and the most that the multiply-add loop reached among
  /// the point's forks; zero where it was not run there.
  public double peakMoved() {
    if (time == null || time.conditions() == null) {
      return 0;
    }
    double low = Double.POSITIVE_INFINITY;
    double high = 0;
    for (Conditions fork : time.conditions()) {
      if (fork != null && fork.peak() != null) {
        low = Math.min(low, fork.peak().low());
        high = Math.max(high, fork.peak().high());
      }
    }
    return high > low ? high / low - 1 : 0;
  }

  private static boolean unsteady(@Nullable Conditions conditions) {
    return conditions != null && conditions.unsteady() != null;
  }

  /// Number of forks measured so far.
  public int forks() {
    return time == null ? 0 : time.samples().size();
  }

  /// Whether nothing is left to measure: all planned forks ran and were steady, or the point was
  /// skipped or failed.
  public boolean finished() {
    return status != Status.OK || time == null || steadyForks() >= time.plannedForks();
  }
}
