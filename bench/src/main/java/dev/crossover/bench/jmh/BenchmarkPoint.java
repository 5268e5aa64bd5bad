// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import java.util.List;
import java.util.stream.Stream;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/// The parameters of a benchmark: points of a sweep that differ in their length only.
@State(Scope.Benchmark)
public class BenchmarkPoint {
  /// Mechanism as `name:param=value,…`.
  @Param("tiled")
  public String spec = "";

  /// Sequence lengths, or context lengths when decoding, ascending, joined by `/`.
  @Param("1024")
  public String lengths = "";

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

  List<Point> points(Study study) {
    return Stream.of(lengths.split("/"))
        .mapToInt(Integer::parseInt)
        .mapToObj(n -> new Point(study, spec, n, dim, heads, batch, mask, planThreads, input, seed))
        .toList();
  }
}
