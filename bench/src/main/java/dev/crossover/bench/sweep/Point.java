// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.bench.result.ResultRecord.Study;

/// One point of a sweep as it is asked for, in words that another process understands.
///
/// @param study what is timed
/// @param spec `name:param=value,…`
/// @param n sequence length; for decoding the context length
/// @param dim head width, 0 for the input's own (64 if it has none)
/// @param heads query heads, 0 for the input's own (2 if it has none)
/// @param batch sequences, 0 for the input's own (1 if it has none)
/// @param mask `none` or `causal`; a mechanism that knows only one order is measured under that
/// @param threads number of threads, at least 1
/// @param input label of the input
/// @param seed seed of everything drawn
public record Point(
    Study study,
    String spec,
    int n,
    int dim,
    int heads,
    int batch,
    String mask,
    int threads,
    String input,
    long seed) {

  /// Validates the sizes.
  public Point {
    require("n", n, 1);
    require("dim", dim, 0);
    require("heads", heads, 0);
    require("batch", batch, 0);
    require("threads", threads, 1);
    if (!mask.equals("none") && !mask.equals("causal")) {
      throw new IllegalArgumentException("mask must be none or causal, but was " + mask);
    }
  }

  /// The same point at another length.
  public Point withLength(int newN) {
    return new Point(study, spec, newN, dim, heads, batch, mask, threads, input, seed);
  }

  private static void require(String name, int value, int least) {
    if (value < least) {
      throw new IllegalArgumentException(name + " must be >= " + least + ", but was " + value);
    }
  }
}
