// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Attention;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.store.Cached;
import dev.crossover.models.mixed.Mixed;
import dev.crossover.variants.Catalogue;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/// Mechanisms as the [Catalogue] has them and, as `layer/NAME`, the multi-head layer around each;
/// also as `layer/NAME` the layers that are made as a whole: those without attention, Luna, and the
/// layer core of Mamba-2.
public final class LayerCatalogue {
  static final String LAYER = "layer/";

  private static final String MIXED = Mixed.NAME + ":";

  private static final List<MechanismType> NAMED =
      List.of(
          MechanismType.of(LstmLayer.class),
          MechanismType.of(GruLayer.class),
          MechanismType.of(GatedConvolutionLayer.class),
          MechanismType.of(LunaLayer.class),
          MechanismType.of(Mamba2Layer.class));

  private LayerCatalogue() {}

  /// Creates a mechanism from `name` or `name:param=value,param=value`; with `layer/` in front, the
  /// multi-head layer around it. `mixed:0=NAME,1=NAME:param=value,…` is another mechanism per head,
  /// see [Mixed].
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static Attention parse(String text) {
    if (!text.startsWith(LAYER)) {
      return plain(text);
    }
    String core = text.substring(LAYER.length());
    if (core.startsWith(LAYER)) {
      throw new IllegalArgumentException("layer/ must be given once, but was '" + text + "'");
    }
    Optional<MechanismType> named = named(core.split(":", 2)[0]);
    return named.isPresent()
        ? named.get().create(Catalogue.values(core))
        : MultiHeadLayer.around(plain(core));
  }

  /// The layers that are no mechanism between projections.
  public static List<MechanismType> named() {
    return NAMED;
  }

  /// One of [#named] by its name, as it stands behind `layer/`.
  public static Optional<MechanismType> named(String name) {
    return NAMED.stream().filter(type -> type.name().equals(name)).findFirst();
  }

  /// One of [#named] by `layer/NAME`; empty where the text names none.
  public static Optional<MechanismType> namedOf(String text) {
    return text.startsWith(LAYER) ? named(text.substring(LAYER.length())) : Optional.empty();
  }

  /// The mechanisms and layers that a golden file means, see [MechanismType#isMeantBy].
  ///
  /// @param golden the file's mechanism
  /// @param values the file's parameters
  public static List<MechanismType> findGolden(String golden, Map<String, String> values) {
    return Stream.concat(Catalogue.all().stream(), NAMED.stream())
        .filter(type -> type.isMeantBy(golden, values))
        .toList();
  }

  private static Attention plain(String text) {
    return text.startsWith(MIXED)
        ? Mixed.parse(text.substring(MIXED.length()))
        : Catalogue.parse(text);
  }

  /// The description of what [#parse] made; of a layer, that of the mechanism inside; of a mix,
  /// that of its first head that approximates, or else of its first.
  public static MechanismType typeOf(Attention attention) {
    if (attention instanceof NamedLayer) {
      return named(attention.name().substring(LAYER.length())).orElseThrow();
    }
    if (core(attention) instanceof Mixed(List<Attention> heads)) {
      List<MechanismType> types = heads.stream().map(LayerCatalogue::typeOf).toList();
      return types.stream()
          .filter(type -> type.mechanism().approximates() != Mechanism.Approximates.EXACT)
          .findFirst()
          .orElse(types.getFirst());
    }
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
    if (attention instanceof NamedLayer) {
      return typeOf(attention).parametersOf(attention);
    }
    return core(attention) instanceof Mixed mixed
        ? Map.of("heads", mixed.text())
        : Catalogue.parametersOf(core(attention));
  }

  /// The shortest text that [#parse] turns into an equal mechanism or layer.
  public static String describe(Attention attention) {
    if (attention instanceof NamedLayer) {
      return LAYER + typeOf(attention).describe(attention);
    }
    String core =
        core(attention) instanceof Mixed mixed
            ? MIXED + mixed.text()
            : Catalogue.describe(core(attention));
    return attention instanceof MultiHeadLayer ? LAYER + core : core;
  }

  private static Attention core(Attention attention) {
    return attention instanceof MultiHeadLayer(Attention core) ? core : attention;
  }
}
