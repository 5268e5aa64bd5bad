// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.model.LanguageModelSession;
import java.util.Arrays;

/// Bytes that decoding keeps between tokens.
public final class StateBytes {
  private StateBytes() {}

  /// What a model's own session keeps of one sequence after so many tokens, all blocks together; −1
  /// where a mixer has no session. The first half is a prompt.
  public static long of(LayerOptions layers, Parameters parameters, int tokens) {
    LanguageModelSession session;
    try {
      session = new LanguageModelSession(layers, parameters, 1, tokens, 1);
    } catch (UnsupportedOperationException | IllegalArgumentException e) {
      // a mixer without a session, or none of this shape: nothing is known of its state
      return -1;
    }
    int[] token = {0};
    int[][] prompt = new int[Math.ceilDiv(tokens, 2)][];
    Arrays.fill(prompt, token);
    session.read(prompt);
    for (int i = prompt.length; i < tokens; i++) {
      session.step(token);
    }
    return session.stateBytes();
  }
}
