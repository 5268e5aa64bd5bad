package dev.crossover.bench.result;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import java.util.List;
import java.util.Map;
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
/// @param error difference from exact attention on the same tensors under the same mask
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

  /// What was timed.
  public enum Study {
    /// One forward pass over the whole sequence.
    FORWARD,
    /// One token of causal decoding at context length n.
    DECODE
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

  /// Duration of one forward pass, or of one token when decoding.
  ///
  /// @param samples seconds, one list per fork (a JVM of its own), in order of measurement
  /// @param median median of the forks' medians, seconds
  /// @param low lower end of the 95 % interval of the median, seconds
  /// @param high upper end, seconds
  /// @param plannedForks number of forks the sweep wants for this point; fewer lists are a point
  ///     not yet finished
  /// @param tokensPerSecond batch entries decoded per second; decoding only
  /// @param conditions what the machine was doing when each fork's measurement had ended, one for
  ///     each list of samples; absent in records of earlier versions
  public record Time(
      List<List<Double>> samples,
      double median,
      double low,
      double high,
      int plannedForks,
      @Nullable Double tokensPerSecond,
      @Nullable List<Conditions> conditions) {

    /// Without knowledge of the machine's conditions.
    public Time(
        List<List<Double>> samples,
        double median,
        double low,
        double high,
        int plannedForks,
        @Nullable Double tokensPerSecond) {
      this(samples, median, low, high, plannedForks, tokensPerSecond, null);
    }
  }

  /// What the machine was doing when a fork's measurement had ended.
  ///
  /// @param loadAverage processes that ran or waited to, averaged over the last minute; the sweep's
  ///     own forks are among them; absent where the system does not tell
  /// @param megahertz mean frequency of as many of the fastest processors as there are threads;
  ///     Linux only, and on many virtual machines a constant
  public record Conditions(@Nullable Double loadAverage, @Nullable Double megahertz) {}

  /// Memory in bytes, told in ways that must agree.
  ///
  /// @param countedScratchBytes what the plan allocated for its own use, exactly
  /// @param parameterBytes parameters drawn from the seed
  /// @param stateBytes state of a decoding session at context n; decoding only
  /// @param allocatedBytesPerCall heap allocated per call in steady state (JMH's
  /// gc.alloc.rate.norm)
  /// @param baselineResidentBytes resident set of the fork before the plan was built; Linux only
  /// @param peakResidentBytes largest resident set of the fork; Linux only, coarse
  public record Memory(
      long countedScratchBytes,
      long parameterBytes,
      @Nullable Long stateBytes,
      @Nullable Double allocatedBytesPerCall,
      @Nullable Long baselineResidentBytes,
      @Nullable Long peakResidentBytes) {}

  /// Difference between the mechanism's output O and exact attention O*.
  ///
  /// @param relativeFrobenius ‖O − O*‖ / ‖O*‖
  /// @param maxAbs largest absolute difference of an element
  /// @param meanCosine mean over rows of the cosine between O's and O*'s row
  /// @param perHead relative Frobenius error of each head, over the batch
  public record ErrorNorms(
      double relativeFrobenius, double maxAbs, double meanCosine, List<Double> perHead) {}

  /// Work of one call as counted by formulas.
  ///
  /// @param flops floating-point operations, a multiply-add counted as two
  /// @param bytesMoved bytes that must cross the memory bus at least once
  public record Counted(double flops, double bytesMoved) {}

  /// What the machine can do with the point's number of threads, measured in the same run.
  ///
  /// @param gflops 10⁹ float32 operations per second of a multiply-add loop in registers
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

  /// Number of forks measured so far.
  public int forks() {
    return time == null ? 0 : time.samples().size();
  }

  /// Whether nothing is left to measure: all planned forks ran, or the point was skipped or failed.
  public boolean finished() {
    return status != Status.OK || time == null || time.samples().size() >= time.plannedForks();
  }
}
