// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.machine;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/// Asks small programs that may not be there.
final class Commands {
  private Commands() {}

  /// First line a program prints, empty if it is absent, fails or prints nothing.
  static Optional<String> firstLine(Path folder, String... command) {
    try {
      Process process =
          new ProcessBuilder(command)
              .directory(folder.toFile())
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
      process.getOutputStream().close();
      try (BufferedReader output = process.inputReader()) {
        String line = output.readLine();
        if (!process.waitFor(10, TimeUnit.SECONDS)) {
          process.destroyForcibly();
          return Optional.empty();
        }
        return process.exitValue() == 0
            ? Optional.ofNullable(line).filter(text -> !text.isBlank())
            : Optional.empty();
      }
    } catch (IOException e) {
      return Optional.empty();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return Optional.empty();
    }
  }
}
