package dev.crossover.models.layer;

import dev.crossover.attention.Attention;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.variants.Catalogue;
import java.util.Map;

/// Mechanisms as the [Catalogue] has them and, as `layer/NAME`, the multi-head layer around each.
public final class LayerCatalogue {
  private static final String LAYER = "layer/";

  private LayerCatalogue() {}

  /// Creates a mechanism from `name` or `name:param=value,param=value`; with `layer/` in front, the
  /// multi-head layer around it.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static Attention parse(String text) {
    if (!text.startsWith(LAYER)) {
      return Catalogue.parse(text);
    }
    String core = text.substring(LAYER.length());
    if (core.startsWith(LAYER)) {
      throw new IllegalArgumentException("layer/ must be given once, but was '" + text + "'");
    }
    return MultiHeadLayer.around(Catalogue.parse(core));
  }

  /// The description of what [#parse] made; of a layer, that of the mechanism inside.
  public static MechanismType typeOf(Attention attention) {
    return Catalogue.find(core(attention).name());
  }

  /// All parameters as text, defaults included; of a layer, those of the mechanism inside.
  public static Map<String, String> parametersOf(Attention attention) {
    return typeOf(attention).parametersOf(core(attention));
  }

  /// The shortest text that [#parse] turns into an equal mechanism or layer.
  public static String describe(Attention attention) {
    String core = typeOf(attention).describe(core(attention));
    return attention instanceof MultiHeadLayer ? LAYER + core : core;
  }

  private static Attention core(Attention attention) {
    return attention instanceof MultiHeadLayer(Attention core) ? core : attention;
  }
}
