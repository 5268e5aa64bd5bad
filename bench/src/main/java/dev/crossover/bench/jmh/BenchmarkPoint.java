package dev.crossover.bench.jmh;

import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/// The parameters of a benchmark: one point of a sweep.
@State(Scope.Benchmark)
public class BenchmarkPoint {
  /// Mechanism as `name:param=value,…`.
  @Param("tiled")
  public String spec = "";

  /// Sequence length, or context length when decoding.
  @Param("1024")
  public int n;

  /// Head width; 0 for the input's own.
  @Param("0")
  public int dim;

  /// Query heads; 0 for the input's own.
  @Param("0")
  public int heads;

  /// Sequences; 0 for the input's own.
  @Param("0")
  public int batch;

  /// `none` or `causal`.
  @Param("causal")
  public String mask = "";

  /// Threads of the plan; the benchmark itself is called from one.
  @Param("1")
  public int planThreads;

  /// Label of the input.
  @Param("captured")
  public String input = "";

  /// Seed of everything drawn.
  @Param("42")
  public long seed;

  Point point(Study study) {
    return new Point(study, spec, n, dim, heads, batch, mask, planThreads, input, seed);
  }
}
