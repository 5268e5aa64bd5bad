// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants;

import dev.crossover.attention.Attention;
import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.mechanism.MechanismProvider;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.Cached;
import dev.crossover.attention.store.CachingAttention;
import dev.crossover.variants.feature.Based;
import dev.crossover.variants.feature.CosFormer;
import dev.crossover.variants.feature.EfficientAttention;
import dev.crossover.variants.feature.Hedgehog;
import dev.crossover.variants.feature.LinearTransformer;
import dev.crossover.variants.feature.Performer;
import dev.crossover.variants.feature.Power;
import dev.crossover.variants.feature.Rfa;
import dev.crossover.variants.hashing.HyperAttention;
import dev.crossover.variants.hashing.Reformer;
import dev.crossover.variants.lowrank.Linformer;
import dev.crossover.variants.lowrank.Luna;
import dev.crossover.variants.lowrank.Mla;
import dev.crossover.variants.lowrank.Nystromformer;
import dev.crossover.variants.recurrent.DeltaNet;
import dev.crossover.variants.recurrent.DeltaProduct;
import dev.crossover.variants.recurrent.GatedDeltaNet;
import dev.crossover.variants.recurrent.Gdn2;
import dev.crossover.variants.recurrent.Gla;
import dev.crossover.variants.recurrent.Kda;
import dev.crossover.variants.recurrent.LightningAttention2;
import dev.crossover.variants.recurrent.LogLinear;
import dev.crossover.variants.recurrent.Mamba2Ssd;
import dev.crossover.variants.recurrent.Mamba3;
import dev.crossover.variants.recurrent.RetNet;
import dev.crossover.variants.recurrent.Rwkv7;
import dev.crossover.variants.recurrent.TransformerXl;
import dev.crossover.variants.score.Additive;
import dev.crossover.variants.score.Cosine;
import dev.crossover.variants.score.Differential;
import dev.crossover.variants.score.Fox;
import dev.crossover.variants.score.Sage;
import dev.crossover.variants.score.StickBreaking;
import dev.crossover.variants.score.Tener;
import dev.crossover.variants.sparse.BigBird;
import dev.crossover.variants.sparse.BlockTopK;
import dev.crossover.variants.sparse.Dsa;
import dev.crossover.variants.sparse.Longformer;
import dev.crossover.variants.sparse.Moba;
import dev.crossover.variants.sparse.Nsa;
import dev.crossover.variants.sparse.SparseTransformer;
import dev.crossover.variants.sparse.TopK;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.stream.Collectors;

/// Every mechanism: the one list that the command line, sweeps, charts, conformance and
/// documentation follow. Jars on the class path add theirs through [MechanismProvider].
public final class Catalogue {
  private static final List<MechanismType> BUILT_IN =
      List.of(
          MechanismType.of(Materialised.class),
          MechanismType.of(Tiled.class),
          MechanismType.of(Longformer.class),
          MechanismType.of(Cosine.class),
          MechanismType.of(LinearTransformer.class),
          MechanismType.of(SparseTransformer.class),
          MechanismType.of(Linformer.class),
          MechanismType.of(BigBird.class),
          MechanismType.of(TopK.class),
          MechanismType.of(Moba.class),
          MechanismType.of(BlockTopK.class),
          MechanismType.of(Nsa.class),
          MechanismType.of(Dsa.class),
          MechanismType.of(Nystromformer.class),
          MechanismType.of(Reformer.class),
          MechanismType.of(HyperAttention.class),
          MechanismType.of(Performer.class),
          MechanismType.of(Additive.class),
          MechanismType.of(TransformerXl.class),
          MechanismType.of(EfficientAttention.class),
          MechanismType.of(CosFormer.class),
          MechanismType.of(Rfa.class),
          MechanismType.of(Hedgehog.class),
          MechanismType.of(Based.class),
          MechanismType.of(Power.class),
          MechanismType.of(Tener.class),
          MechanismType.of(Fox.class),
          MechanismType.of(StickBreaking.class),
          MechanismType.of(Differential.class),
          MechanismType.of(Sage.class),
          MechanismType.of(RetNet.class),
          MechanismType.of(Luna.class),
          MechanismType.of(LightningAttention2.class),
          MechanismType.of(Gla.class),
          MechanismType.of(Mamba2Ssd.class),
          MechanismType.of(Mamba3.class),
          MechanismType.of(LogLinear.class),
          MechanismType.of(DeltaNet.class),
          MechanismType.of(GatedDeltaNet.class),
          MechanismType.of(Kda.class),
          MechanismType.of(DeltaProduct.class),
          MechanismType.of(Gdn2.class),
          MechanismType.of(Rwkv7.class),
          MechanismType.of(Mla.class));

  private static final List<MechanismType> ALL =
      withProvided(ServiceLoader.load(MechanismProvider.class));

  private Catalogue() {}

  /// Built-in mechanisms, then those of the providers in the order of their jars.
  ///
  /// @throws IllegalArgumentException if two mechanisms have the same name
  static List<MechanismType> withProvided(Iterable<MechanismProvider> providers) {
    List<MechanismType> all = new ArrayList<>(BUILT_IN);
    for (MechanismProvider provider : providers) {
      for (Class<? extends Attention> type : provider.mechanisms()) {
        all.add(MechanismType.of(type));
      }
    }
    Map<String, MechanismType> names = new LinkedHashMap<>();
    for (MechanismType type : all) {
      MechanismType other = names.put(type.name(), type);
      if (other != null) {
        throw new IllegalArgumentException(
            "mechanism names must differ, but "
                + other.type().getName()
                + " and "
                + type.type().getName()
                + " are both called "
                + type.name());
      }
    }
    return List.copyOf(all);
  }

  /// All mechanisms, exact ones first.
  public static List<MechanismType> all() {
    return ALL;
  }

  /// The mechanism of a name.
  ///
  /// @throws IllegalArgumentException with the nearest name if there is none
  public static MechanismType find(String name) {
    for (MechanismType type : ALL) {
      if (type.name().equals(name)) {
        return type;
      }
    }
    List<String> names = ALL.stream().map(MechanismType::name).toList();
    throw new IllegalArgumentException(
        "mechanism must be one of " + names + ", but was " + name + Nearest.hint(name, names));
  }

  /// The shortest text that [#parse] turns into an equal mechanism.
  public static String describe(Attention attention) {
    MechanismType type = find(attention.name());
    if (!(attention instanceof Cached(CachingAttention core, CacheOptions cache))) {
      return type.describe(attention);
    }
    String text = type.describe(core);
    Map<String, String> said = values(text);
    String options =
        cache.toMap().entrySet().stream()
            .filter(e -> !e.getValue().equals(said.get(e.getKey())))
            .map(e -> e.getKey() + "=" + e.getValue())
            .collect(Collectors.joining(","));
    return text + (text.contains(":") ? "," : ":") + options;
  }

  /// All parameters of a mechanism as text, defaults included, and those of its cache where it has
  /// options; absent ones are left out.
  public static Map<String, String> parametersOf(Attention attention) {
    MechanismType type = find(attention.name());
    if (!(attention instanceof Cached(CachingAttention core, CacheOptions cache))) {
      return type.parametersOf(attention);
    }
    Map<String, String> all = new LinkedHashMap<>(type.parametersOf(core));
    all.putAll(cache.toMap());
    return all;
  }

  /// The mechanisms that replay golden files of a name: one, or both exact baselines for `softmax`.
  public static List<MechanismType> findGolden(String goldenName) {
    return ALL.stream().filter(type -> type.goldenName().equals(goldenName)).toList();
  }

  /// Creates a mechanism from `name` or `name:param=value,param=value`. Where it caches keys,
  /// `store` and `cache` are parameters, too; see [CacheOptions].
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static Attention parse(String text) {
    int colon = text.indexOf(':');
    MechanismType type = find(colon < 0 ? text : text.substring(0, colon));
    Map<String, String> values = values(text);
    if (!CacheOptions.isIn(values)) {
      return type.create(values);
    }
    try {
      CacheOptions cache = CacheOptions.take(values);
      return Cached.of(type.create(values), cache);
    } catch (IllegalArgumentException e) {
      String message = String.valueOf(e.getMessage());
      String name = type.name() + ": ";
      throw message.startsWith(name) ? e : new IllegalArgumentException(name + message, e);
    }
  }

  /// The parameters that a text `name:param=value,param=value` gives, in its order.
  ///
  /// @throws IllegalArgumentException where they are not pairs, or one is given twice
  public static Map<String, String> values(String text) {
    Map<String, String> values = new LinkedHashMap<>();
    int colon = text.indexOf(':');
    if (colon < 0) {
      return values;
    }
    String name = text.substring(0, colon);
    for (String pair : text.substring(colon + 1).split(",", -1)) {
      int equals = pair.indexOf('=');
      if (equals < 1) {
        throw new IllegalArgumentException(
            name + ": parameters must read name=value, but was '" + pair + "'");
      }
      if (values.put(pair.substring(0, equals), pair.substring(equals + 1)) != null) {
        throw new IllegalArgumentException(
            name + ": parameters must be given once, but was '" + text + "'");
      }
    }
    return values;
  }
}
