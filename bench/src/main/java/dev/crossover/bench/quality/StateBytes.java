package dev.crossover.bench.quality;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Tensors;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.training.Recipe;

/// Bytes that decoding keeps between tokens.
final class StateBytes {
  private StateBytes() {}

  /// After so many tokens of one sequence, all blocks together; −1 where a mixer has no session.
  static long of(Recipe recipe, int tokens) {
    int width = recipe.sizes().size("width");
    long sum = 0;
    for (int block = 0; block < recipe.layers().layers(); block++) {
      long bytes = ofMixer(recipe, recipe.layers().mixer(block), width, tokens);
      if (bytes < 0) {
        return -1;
      }
      int taps = recipe.sizes().size("conv");
      sum += bytes + (taps > 0 ? 3L * (taps - 1) * width * Float.BYTES : 0);
    }
    return sum;
  }

  private static long ofMixer(Recipe recipe, String mixer, int width, int tokens) {
    if (mixer.equals("lstm")) {
      return 2L * width * Float.BYTES;
    }
    if (mixer.equals("gru")) {
      return (long) width * Float.BYTES;
    }
    if (mixer.startsWith("gated_convolution") || mixer.equals("long_convolution")) {
      return -1;
    }
    Attention attention = Mechanisms.parse(mixer);
    int heads = recipe.layers().heads();
    int keyHeads = recipe.layers().keyValueHeads();
    int dim = recipe.sizes().size("head_dim") > 0 ? recipe.sizes().size("head_dim") : width / heads;
    int valueDim = recipe.sizes().size("value_dim") > 0 ? recipe.sizes().size("value_dim") : dim;
    AttentionShape shape =
        new AttentionShape(1, heads, keyHeads, tokens, tokens, dim, dim, valueDim);
    try {
      DecodeSession session = attention.decode(shape);
      session.prefill(attention.adapt(shape, Tensors.NONE, 1));
      return session.stateBytes();
    } catch (UnsupportedOperationException | IllegalArgumentException e) {
      // no session, or none of this shape: nothing is known of its state
      return -1;
    }
  }
}
