// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.attention.random.Draws;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Initialisation;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.Samples;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// A byte-level language model to be trained: its recipe, starting values and batches, the same for
/// every contender. Pre-norm blocks of causal softmax attention and a feed-forward of 4 D with
/// GELU, layer norms, the embedding as head; AdamW with a constant rate, norm of the gradients
/// clipped at 1.
///
/// @param blocks number of blocks
/// @param width D
/// @param heads heads of a block
/// @param length tokens of a sequence
/// @param batch sequences of a step
/// @param positions `rope` or `learned`
record TrainingProblem(int blocks, int width, int heads, int length, int batch, String positions) {
  private static final int SEED = 1;
  private static final int BATCHES = 8;
  private static final int BYTES = 256;

  /// The model and its optimiser.
  Recipe recipe() {
    return Recipe.of(
        new Bytes(length, "", Bytes.Part.TRAINING),
        "tiled",
        Map.of(
            "layers", Integer.toString(blocks),
            "width", Integer.toString(width),
            "heads", Integer.toString(heads),
            "batch", Integer.toString(batch),
            "embedding_scale", Double.toString(Math.sqrt(width)),
            "positions", positions,
            "betas", "0.9/0.999",
            "schedule", "constant",
            "warmup", "0"),
        length);
  }

  /// Starting values.
  Parameters parameters() {
    Recipe recipe = recipe();
    return Initialisation.of(ModelKind.LANGUAGE_MODEL, recipe.layers(), recipe.sizes(), SEED);
  }

  /// The batches that steps take in turn.
  List<Batch> batches() {
    Bytes text = new Bytes(length, "", Bytes.Part.TRAINING);
    List<Batch> batches = new ArrayList<>();
    for (int i = 0; i < BATCHES; i++) {
      batches.add(Samples.draw(text, batch, Draws.seedFor(SEED, "batch " + i)));
    }
    return batches;
  }

  /// Tokens of a step.
  int tokens() {
    return batch * length;
  }

  /// Floating-point operations of a step: 6 for a weight of a map and a token, and 14 d for a pair
  /// that attention sees, 4 d forward and 10 d backward.
  double flops() {
    double maps = 12.0 * blocks * width * width + BYTES * (double) width;
    double pairs = length * (length + 1.0) / 2 * batch * blocks;
    return 6 * maps * tokens() + 14 * pairs * width;
  }

  /// The sizes, as in the table.
  String label() {
    return blocks
        + " blocks, D "
        + width
        + ", "
        + heads
        + " heads, n "
        + length
        + ", batch "
        + batch
        + ", "
        + positions;
  }
}
