// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.machine;

import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;

/// The commit this code was built from.
public final class Commit {
  private static final String UNKNOWN = "unknown";

  private Commit() {}

  /// Abbreviated commit of the repository the running classes lie in, with `-dirty` when its files
  /// have changed since, or `unknown` when they lie in none or git is absent.
  public static String current() {
    CodeSource source = Commit.class.getProtectionDomain().getCodeSource();
    if (source == null) {
      return UNKNOWN;
    }
    try {
      Path at = Path.of(source.getLocation().toURI());
      Path target = Files.isDirectory(at) ? at : at.getParent();
      // classes or a jar that were copied out of their build folder say nothing about a repository
      if (target == null || !target.toString().contains("target")) {
        return UNKNOWN;
      }
      return Commands.firstLine(
              target, "git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
          .orElse(UNKNOWN);
    } catch (URISyntaxException e) {
      return UNKNOWN;
    }
  }
}
