// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.exact.ScoreOptions.Gate;
import dev.crossover.attention.tensor.Tensor;

/// The plan of [Tiled] under [ScoreOptions].
final class ScoredPlan extends AttentionPlan {
  private final ScoreOptions options;
  private final ScoredForward forward;

  ScoredPlan(PlanRequest request, ScoreOptions options, double scale) {
    super(request);
    this.options = options;
    ScoreTable table = new ScoreTable(scratch, shape, mask, options, scale, threads());
    forward = new ScoredForward(scratch, table, workers);
  }

  static long scratchBytes(AttentionShape s, ScoreOptions options, int threads) {
    return ScoreTable.bytes(s, options, threads) + ScoredForward.bytes(threads);
  }

  @Override
  protected void compute(Tensor output) {
    forward.run(inputs(), output.data(), wantsResult("lse") ? result("lse") : null);
    if (options.outputGate() == Gate.SIGMOID) {
      OutputGate.apply(shape, input("output_gate"), options.gatePerHead(), output.data());
    }
  }
}
