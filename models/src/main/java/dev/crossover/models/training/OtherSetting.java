// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import dev.crossover.attention.Attention;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.model.Initialisation;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelSizes;
import dev.crossover.variants.Catalogue;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/// A setting of a mechanism at which a trained model is evaluated, other than the one it was
/// trained at: Reformer trained with four rounds of hashing and evaluated with eight.
///
/// Written as `name:param=value,…`; parameters that are not named stay as they were trained. The
/// weights are the trained ones; constants (random projections) whose shape follows from the
/// setting are drawn anew.
///
/// @param text the setting, as on the command line
public record OtherSetting(String text) {
  private static final long SEED = 0;

  /// Refuses what is no mechanism.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public OtherSetting {
    if (Mechanisms.isBaseline(text)) {
      throw new IllegalArgumentException(
          "evaluate-with must be a setting of a mechanism, but was " + text);
    }
    Mechanisms.parse(text);
  }

  /// Whether a block of a model holds the mechanism.
  public boolean fits(LayerOptions trained) {
    for (int block = 0; block < trained.layers(); block++) {
      if (isOf(trained.mixer(block))) {
        return true;
      }
    }
    return false;
  }

  private boolean isOf(String mixer) {
    return !Mechanisms.isBaseline(mixer)
        && Mechanisms.parse(mixer).getClass() == Mechanisms.parse(text).getClass();
  }

  /// The mechanism of the first block that holds it, at this setting: the shortest text.
  ///
  /// @throws IllegalArgumentException if no block holds it
  public String of(LayerOptions trained) {
    for (int block = 0; block < trained.layers(); block++) {
      if (isOf(trained.mixer(block))) {
        return of(trained.mixer(block));
      }
    }
    throw new IllegalArgumentException(
        "evaluate-with must be a setting of a mechanism that is trained, but was " + text);
  }

  /// The shortest text of a mixer at this setting.
  ///
  /// @param mixer of the same mechanism, as it was trained
  public String of(String mixer) {
    Map<String, String> values = new LinkedHashMap<>(Catalogue.values(mixer));
    values.putAll(Catalogue.values(text));
    String pairs =
        values.entrySet().stream()
            .map(entry -> entry.getKey() + "=" + entry.getValue())
            .collect(Collectors.joining(","));
    String name = Mechanisms.name(mixer);
    Attention changed = Mechanisms.parse(pairs.isEmpty() ? name : name + ":" + pairs);
    return Catalogue.describe(changed);
  }

  /// The options of a model with the setting in every block of the mechanism.
  public LayerOptions in(LayerOptions trained) {
    LayerOptions changed = trained;
    for (int block = 0; block < trained.layers(); block++) {
      String mixer = trained.mixer(block);
      if (isOf(mixer)) {
        changed = changed.with("mixer." + block, of(mixer));
      }
    }
    return changed;
  }

  /// The parameters of a model at the setting: the trained tensors themselves, and constants drawn
  /// anew where their shape is another.
  ///
  /// @throws IllegalArgumentException if the setting needs other weights, by name
  Parameters parameters(ModelKind kind, LayerOptions layers, ModelSizes sizes, Parameters trained) {
    Parameters fresh = Initialisation.of(kind, in(layers), sizes, SEED);
    for (Parameter weight : trained.all()) {
      if (!weight.isConstant() && !fresh.has(weight.name())) {
        throw new IllegalArgumentException(
            "evaluate-with must keep the weights, but " + text + " has no " + weight.name());
      }
    }
    Parameters together = new Parameters();
    for (Parameter parameter : fresh.all()) {
      Parameter known = trained.find(parameter.name());
      if (known != null && known.value().hasShape(parameter.value().shape())) {
        together.add(parameter.name(), known.value());
        continue;
      }
      if (!parameter.isConstant()) {
        throw new IllegalArgumentException(
            "evaluate-with must keep the shapes of the weights, but "
                + text
                + " needs "
                + parameter.name()
                + " of "
                + parameter.value()
                + ", and the model has "
                + (known == null ? "none" : known.value()));
      }
      together.add(parameter.name(), parameter.value());
    }
    return together;
  }
}
