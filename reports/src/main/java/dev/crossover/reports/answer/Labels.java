// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.models.layer.LayerCatalogue;
import dev.crossover.variants.Catalogue;
import java.util.List;
import java.util.Optional;

/// What mechanisms are called in reports, and their order.
public final class Labels {
  private static final List<MechanismType> CATALOGUE = Catalogue.all();
  /// Before the name of the mechanism that a layer is around.
  static final String LAYER = "layer/";

  private static final int LONGEST = 60;

  private Labels() {}

  /// The catalogue's entry of a name; records may come from elsewhere, so there may be none.
  public static Optional<MechanismType> find(String mechanism) {
    return CATALOGUE.stream().filter(type -> type.name().equals(mechanism)).findFirst();
  }

  /// Position in the catalogue; unknown mechanisms follow all others.
  public static int order(String mechanism) {
    for (int i = 0; i < CATALOGUE.size(); i++) {
      if (CATALOGUE.get(i).name().equals(mechanism)) {
        return i;
      }
    }
    return CATALOGUE.size();
  }

  /// The mechanism's title and the parameters that differ from the defaults, for example
  /// `Longformer, window=256`; control characters of foreign records become spaces.
  public static String of(ResultRecord record) {
    String title = title(core(record)) + (isLayer(record) ? ", layer" : "");
    int colon = record.spec().indexOf(':');
    String settings = colon < 0 ? "" : record.spec().substring(colon + 1).replace(",", ", ");
    return clean(settings.isEmpty() ? title : title + ", " + settings);
  }

  /// Whether a record is of a multi-head layer rather than of the mechanism alone.
  public static boolean isLayer(ResultRecord record) {
    return record.mechanism().startsWith(LAYER);
  }

  /// The mechanism's name; of a layer, that of the mechanism inside.
  public static String core(ResultRecord record) {
    return isLayer(record) ? record.mechanism().substring(LAYER.length()) : record.mechanism();
  }

  /// The catalogue's title, or the name itself when the catalogue does not know it.
  public static String title(String mechanism) {
    return find(mechanism)
        .or(() -> LayerCatalogue.named(mechanism))
        .map(t -> t.mechanism().title())
        .orElse(clean(mechanism));
  }

  /// What the errors of a mechanism are measured against, where that is not softmax attention over
  /// the given queries and keys; empty where it is.
  public static String target(String mechanism) {
    return find(mechanism).map(t -> t.mechanism().target()).orElse("");
  }

  /// One line of printable characters, never empty, at most 60 characters.
  static String clean(String text) {
    String line = text.replaceAll("[\\p{Cntrl}\\p{Cf}\\u2028\\u2029]", " ").strip();
    if (line.length() > LONGEST) {
      line = line.substring(0, LONGEST - 1) + "…";
    }
    return line.isEmpty() ? "(no name)" : line;
  }
}
