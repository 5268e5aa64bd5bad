package dev.crossover.models.layer;

import dev.crossover.attention.Attention;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.store.Cached;
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

  /// What a mechanism or the one inside a layer approximates; exact attention over a cache that
  /// rounds or drops is an approximation.
  public static Mechanism.Approximates approximates(Attention attention) {
    Mechanism.Approximates own = typeOf(attention).mechanism().approximates();
    return own == Mechanism.Approximates.EXACT && changesOutputs(attention)
        ? Mechanism.Approximates.SOFTMAX
        : own;
  }

  /// Whether decoding runs over a cache that rounds or drops, so that it gives other outputs than
  /// the whole sequence.
  public static boolean changesOutputs(Attention attention) {
    return core(attention) instanceof Cached cached && cached.cache().changesOutputs();
  }

  /// Whether a store or a policy was named, which concern decoding only.
  public static boolean isCached(Attention attention) {
    return core(attention) instanceof Cached;
  }

  /// All parameters as text, defaults included; of a layer, those of the mechanism inside.
  public static Map<String, String> parametersOf(Attention attention) {
    return Catalogue.parametersOf(core(attention));
  }

  /// The shortest text that [#parse] turns into an equal mechanism or layer.
  public static String describe(Attention attention) {
    String core = Catalogue.describe(core(attention));
    return attention instanceof MultiHeadLayer ? LAYER + core : core;
  }

  private static Attention core(Attention attention) {
    return attention instanceof MultiHeadLayer(Attention core) ? core : attention;
  }
}
