// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.tensor.Tensor;

/// Runs a recurrence over whole sequences in chunks: matrix products inside chunks, the state S
/// `[d, dv]` between them.
///
/// Reads `q`, `k`, `v` and, if the mechanism lists it, `initial_state` `[batch, heads, d, dv]`;
/// writes `final_state` of the same shape where asked for. Parallel over heads and, where these are
/// few, over blocks of value columns. Scratch does not depend on the length.
public class RecurrentPlan extends AttentionPlan {
  /// Chunk length that is fast where nothing else is asked for.
  public static final int DEFAULT_CHUNK = 64;

  static final String INITIAL = "initial_state";
  static final String FINAL = "final_state";

  private final RecurrentForward forward;

  /// @param request the checked request
  /// @param rule how the state decays and is written
  /// @param chunkLength rows of a chunk, at least 1; without effect on the result beyond rounding
  /// @throws IllegalArgumentException if the mask lets query i see other keys than 0 to i
  public RecurrentPlan(PlanRequest request, UpdateRule rule, int chunkLength) {
    super(request);
    requireAligned(request);
    ChunkLayout layout = ChunkLayout.of(shape, mask, rule, chunkLength);
    forward = new RecurrentForward(layout, workers, scratch, null);
  }

  static void requireAligned(PlanRequest request) {
    Mask mask = request.mask();
    int n = request.shape().querySeqLen();
    if (mask.isCausal() && mask.causalOffset(n, n) != 0) {
      throw new IllegalArgumentException(
          request.attention().name()
              + ": causal offset must be 0, but was "
              + mask.causalOffset(n, n));
    }
  }

  @Override
  protected void compute(Tensor output) {
    float[] last = wantsResult(FINAL) ? result(FINAL) : UpdateRule.UNWANTED;
    forward.run(inputs(), output.data(), last);
  }
}
