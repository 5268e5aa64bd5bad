// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.bench.jobs.PointStudy;
import dev.crossover.bench.result.RecordJson;
import java.util.function.Function;

/// One setting on one problem, in words that another process understands.
///
/// @param input label of the tensors
/// @param tensors digest of queries, keys and values ([ErrorProblem#digest])
/// @param n sequence length
/// @param causal whether the mask is causal, otherwise there is none
/// @param seed of generated tensors and of what a mechanism needs beside them
/// @param spec the mechanism with all its parameters, its own seed among them where it is random
public record ErrorPoint(
    String input, String tensors, int n, boolean causal, long seed, String spec) {

  /// What turns settings on a problem into points.
  public static Function<String, ErrorPoint> on(ErrorProblem problem) {
    String tensors = problem.digest();
    return spec ->
        new ErrorPoint(
            problem.input(),
            tensors,
            problem.shape().querySeqLen(),
            problem.mask().isCausal(),
            problem.seed(),
            spec);
  }

  /// The name of the record, which differs by commit: a change of the code may change an error.
  ///
  /// @param commit of the code
  String key(String commit) {
    String mask = causal ? "causal" : "none";
    return String.join(
        " | ", input, tensors, "n=" + n, mask, "seed=" + seed, spec, "commit " + commit);
  }

  /// The point for a study of [ErrorJob]s.
  PointStudy.Point toPoint(String commit) {
    return new PointStudy.Point(key(commit), RecordJson.write(this));
  }
}
