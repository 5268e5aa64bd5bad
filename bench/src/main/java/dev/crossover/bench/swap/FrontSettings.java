// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.tune.FrontRecord;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// The settings of a tuned front that can stand in a model: of every problem with its mask and
/// every permitted error the quickest one whose whole interval of errors is within.
public final class FrontSettings {
  private FrontSettings() {}

  /// Specs, in the order of problems and permitted errors, each once.
  ///
  /// @param records of a tune
  /// @param mask `none` for an encoder, `causal` for a language model
  public static List<String> of(List<FrontRecord> records, String mask) {
    List<FrontRecord> masked =
        records.stream().filter(record -> record.mask().equals(mask)).toList();
    Set<String> specs = new LinkedHashSet<>();
    for (String problem : masked.stream().map(FrontRecord::problemKey).distinct().toList()) {
      List<FrontRecord> own =
          masked.stream().filter(record -> record.problemKey().equals(problem)).toList();
      own.stream()
          .flatMap(record -> record.permitted().stream())
          .distinct()
          .sorted()
          .forEach(error -> quickest(own, error).ifPresent(best -> specs.add(best.spec())));
    }
    return List.copyOf(specs);
  }

  private static Optional<FrontRecord> quickest(List<FrontRecord> records, double error) {
    return records.stream()
        .filter(record -> record.seconds() != null && record.chosen().within(error))
        .min(Comparator.comparingDouble(FrontSettings::seconds));
  }

  private static double seconds(FrontRecord record) {
    Double seconds = record.seconds();
    return seconds == null ? Double.POSITIVE_INFINITY : seconds;
  }
}
