package dev.crossover.models.layer;

import dev.crossover.attention.Attention;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.variants.Catalogue;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Mechanisms as models name them: as golden files do, with the parameters they mean when they say
/// nothing, or as on the command line.
public final class Mechanisms {
  private Mechanisms() {}

  /// The mechanism of `name` or `name:param=value,param=value`; `softmax` is the tiled exact one.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static Attention parse(String text) {
    int colon = text.indexOf(':');
    String name = colon < 0 ? text : text.substring(0, colon);
    List<MechanismType> golden = Catalogue.findGolden(name);
    MechanismType type = golden.isEmpty() ? Catalogue.find(name) : golden.getLast();
    Map<String, String> values = new LinkedHashMap<>();
    if (colon >= 0) {
      for (String pair : text.substring(colon + 1).split(",", -1)) {
        int equals = pair.indexOf('=');
        if (equals < 1) {
          throw new IllegalArgumentException(
              name + ": parameters must read name=value, but was '" + pair + "'");
        }
        values.put(pair.substring(0, equals), pair.substring(equals + 1));
      }
    }
    return type.createGolden(values);
  }
}
