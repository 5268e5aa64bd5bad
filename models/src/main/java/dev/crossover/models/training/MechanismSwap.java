// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.Ablation;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.model.Initialisation;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.ModelSizes;
import java.util.List;

/// A trained language model with another mechanism in every block; queries, keys, values, output
/// maps and positions stay the model's.
///
/// What the mechanism needs beyond them (feature maps, gates, decays) is drawn as in a fresh model.
/// [#transfer] fits those tensors to the original's head outputs; where the mechanism has none, it
/// fits the query and key maps instead (LoLCATs, Zhang et al. 2024). The model itself is never
/// changed.
public final class MechanismSwap {
  private static final List<String> MAPS = List.of("query_weight", "key_weight", "packed_weight");

  private final TrainedModel model;
  private final String mechanism;
  private final LayerOptions original;
  private final LayerOptions layers;
  private final Parameters parameters;
  private boolean own;

  /// @param model whose mixers are mechanisms
  /// @param setting `name` or `name:param=value,…`, and `+off=BRANCH` for a branch to switch off
  /// @param longest the largest number of tokens that will be read
  /// @param seed of what is drawn
  /// @throws IllegalArgumentException if a mixer is no mechanism, or the mechanism does not fit
  ///     into a layer, by name
  public MechanismSwap(TrainedModel model, String setting, int longest, long seed) {
    requireMechanism(setting);
    Ablation ablation = Ablation.parse(setting);
    this.model = model;
    this.mechanism = ablation.mechanism();
    requireKeysAndValues(mechanism);
    this.original = ablation.in(model.layers());
    this.parameters = model.parameters().copy();
    LayerOptions swapped = original;
    for (int block = 0; block < swapped.layers(); block++) {
      requireMechanism(swapped.mixer(block));
      swapped =
          swapped.with("mixer." + block, Mechanisms.inBlock(mechanism, block, swapped.layers()));
    }
    this.layers = swapped;
    ModelSizes sizes = model.sizes().with("max_length", longest);
    Parameters fresh = Initialisation.of(ModelKind.LANGUAGE_MODEL, swapped, sizes, seed);
    for (Parameter drawn : fresh.all()) {
      if (drawn.name().contains(".mixer.") && !isModels(drawn)) {
        addStudent(drawn.name(), drawn.value());
        own |= !drawn.isConstant();
      }
    }
    for (int block = 0; block < swapped.layers() && !own; block++) {
      for (String map : MAPS) {
        String name = "layers." + block + ".mixer." + map;
        if (model.parameters().has(name)) {
          addStudent(name, model.parameters().get(name).value().copy());
        }
      }
    }
  }

  private static void requireMechanism(String mixer) {
    if (Mechanisms.isBaseline(mixer)) {
      throw new IllegalArgumentException(
          "mechanism must be one of attention to be swapped, but was " + mixer);
    }
  }

  private static void requireKeysAndValues(String mechanism) {
    if (Mechanisms.takesLatents(Mechanisms.parse(mechanism))) {
      throw new IllegalArgumentException(
          "mechanism must take the model's keys and values, but "
              + mechanism
              + " makes them of latents");
    }
  }

  private boolean isModels(Parameter drawn) {
    Parameter trained = model.parameters().find(drawn.name());
    return trained != null && trained.value().hasShape(drawn.value().shape());
  }

  private void addStudent(String mixer, Tensor value) {
    parameters.add(mixer.replace(".mixer.", ".student."), value);
  }

  /// Options of the blocks with the mechanism in them.
  public LayerOptions layers() {
    return layers;
  }

  /// Whether the mechanism has tensors of its own to be fitted.
  public boolean hasOwnTensors() {
    return own;
  }

  /// The parameters of the model around the mechanism, as they are now.
  public Parameters parameters() {
    return transfer(ModelShape.of(1, 1), 1, 1).swapped();
  }

  /// The fit of the mechanism to the original's head outputs, of which [#parameters] then gives
  /// what came of it.
  ///
  /// @param shape of the batches
  /// @param factor on the loss
  /// @param threads number of threads, at least 1
  public AttentionTransfer transfer(ModelShape shape, double factor, int threads) {
    return new AttentionTransfer(original, parameters, shape, mechanism, factor, threads);
  }
}
