// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Value;
import java.util.Arrays;
import java.util.List;

/// Decoding: what a recurrence carries from token to token.
record Carried(Recurrence recurrence, List<Value> states) implements Decoding.State {
  @Override
  public void advance() {
    recurrence.carry(states);
  }

  @Override
  public void reset() {
    for (Value state : states) {
      Arrays.fill(state.data(), 0);
    }
  }

  @Override
  public long bytes() {
    return states.stream().mapToLong(state -> 4L * state.size()).sum();
  }
}
