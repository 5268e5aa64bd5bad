// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.store.Cached;
import dev.crossover.attention.store.PyramidKv;
import dev.crossover.variants.Catalogue;
import dev.crossover.variants.lowrank.Mla;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/// Mechanisms as models name them: as on the command line, or by the names of golden files.
public final class Mechanisms {
  private static final Set<String> BASELINES =
      Set.of("lstm", "gru", "gated_convolution", "long_convolution");

  private Mechanisms() {}

  /// Whether a model's mixer is no mechanism but a recurrence or a convolution of [Layers].
  ///
  /// @param text `name` or `name:param=value,…`
  public static boolean isBaseline(String text) {
    return BASELINES.contains(name(text));
  }

  /// The mechanism of `name` or `name:param=value,param=value`; `softmax` is the tiled exact one.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static Attention parse(String text) {
    return Catalogue.parse(catalogued(text));
  }

  /// The same with every parameter said, where a golden file means another default than the command
  /// line; as it is where it names no mechanism.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static String golden(String text) {
    List<MechanismType> types = Catalogue.findGolden(name(text));
    if (types.isEmpty()) {
      return text;
    }
    MechanismType type = types.getLast();
    Map<String, String> all = type.parametersOf(type.createGolden(Catalogue.values(text)));
    String pairs =
        all.entrySet().stream()
            .map(entry -> entry.getKey() + "=" + entry.getValue())
            .collect(Collectors.joining(","));
    return pairs.isEmpty() ? type.name() : type.name() + ":" + pairs;
  }

  /// Softmax maps of a head, each of queries and keys of its own: one, or two of differential
  /// attention.
  ///
  /// @param shape of heads as wide as all their maps together
  public static int maps(Attention mechanism, AttentionShape shape) {
    return mechanism.inputs(shape).stream()
        .filter(spec -> spec.name().equals("q"))
        .mapToInt(spec -> spec.shape().toArray()[1] / shape.numHeads())
        .findFirst()
        .orElse(1);
  }

  /// Whether a mechanism makes keys and values itself, of latents.
  public static boolean takesLatents(Attention mechanism) {
    Attention core = mechanism instanceof Cached cached ? cached.core() : mechanism;
    return core instanceof Mla;
  }

  /// The mechanism as it stands in one block of a model: a cache whose budget differs from block to
  /// block is told which it is, unless the text says so itself.
  ///
  /// @param text `name` or `name:param=value,…`
  /// @param block from 0
  /// @param blocks of the model
  public static String inBlock(String text, int block, int blocks) {
    boolean byBlock =
        blocks > 1
            && !isBaseline(text)
            && parse(text) instanceof Cached cached
            && cached.cache().policy() instanceof PyramidKv
            && Collections.disjoint(
                Catalogue.values(catalogued(text)).keySet(), List.of("layer", "layers"));
    return byBlock ? text + ",layer=" + block + ",layers=" + blocks : text;
  }

  private static String catalogued(String text) {
    String name = name(text);
    List<MechanismType> types = Catalogue.findGolden(name);
    return types.isEmpty() ? text : types.getLast().name() + text.substring(name.length());
  }

  /// The name in `name:param=value,…`.
  public static String name(String text) {
    int colon = text.indexOf(':');
    return colon < 0 ? text : text.substring(0, colon);
  }
}
