// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/// Memory of this process that is really in RAM, as Linux tells it; absent elsewhere.
final class ResidentSet {
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final Path CLEAR = Path.of("/proc/self/clear_refs");

  private ResidentSet() {}

  /// Makes the next [#peakBytes] start from here, where the system allows it.
  static void forgetPeak() {
    try {
      if (Files.isWritable(CLEAR)) {
        Files.writeString(CLEAR, "5");
      }
    } catch (IOException e) {
      // the peak then counts from the start of the process, which is only coarser
    }
  }

  static @Nullable Long currentBytes() {
    return field("VmRSS:");
  }

  static @Nullable Long peakBytes() {
    return field("VmHWM:");
  }

  private static @Nullable Long field(String name) {
    try {
      if (Files.isReadable(STATUS)) {
        for (String line : Files.readAllLines(STATUS)) {
          if (line.startsWith(name)) {
            return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
          }
        }
      }
    } catch (IOException e) {
      // as if the system did not tell
    }
    return null;
  }
}
