// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.conformance;

import java.nio.file.Path;
import java.util.List;
import java.util.ServiceLoader;

/// Replays golden files of one kind, told by the start of their names: layers, models, training
/// steps, tasks, caches, interpretations, … Files that no provider accepts are mechanism files.
///
/// Providers are found by [ServiceLoader]: a module adds a kind with one class and one line in
/// `META-INF/services/dev.crossover.attention.conformance.GoldenReplay`.
public interface GoldenReplay {

  /// Starts of the names of the files this provider replays, for example `layer__`.
  List<String> prefixes();

  /// Replays one file.
  ///
  /// @param file a file whose name starts with one of [#prefixes]
  /// @return the verdict; a file that is malformed or asks for something unknown is
  ///     [ReplayResult.Status#CANNOT_REPLAY], with the reason
  ReplayResult replay(Path file);

  /// All providers on the class path or module path.
  static List<GoldenReplay> all() {
    return ServiceLoader.load(GoldenReplay.class).stream()
        .map(ServiceLoader.Provider::get)
        .toList();
  }

  /// Whether this provider replays a file.
  default boolean accepts(Path file) {
    String name = String.valueOf(file.getFileName());
    return prefixes().stream().anyMatch(name::startsWith);
  }
}
