// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.machine;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/// The machine this JVM runs on.
///
/// @param cpu model name, or the architecture where it cannot be found
/// @param cores processors available to this JVM
/// @param memoryBytes memory of the machine or container
/// @param os name, version and architecture
/// @param jdk version and vendor
public record Machine(String cpu, int cores, long memoryBytes, String os, String jdk) {

  /// Looks at the machine.
  public static Machine current() {
    return new Machine(
        processorName(),
        Runtime.getRuntime().availableProcessors(),
        system().getTotalMemorySize(),
        String.join(
            " ",
            System.getProperty("os.name"),
            System.getProperty("os.version"),
            System.getProperty("os.arch")),
        Runtime.version() + " " + System.getProperty("java.vendor"));
  }

  /// Bytes a new process may use without making the machine swap: on Linux what the kernel says is
  /// available, elsewhere and in a container with a limit the free memory.
  public static long availableBytes() {
    long free = system().getFreeMemorySize();
    long available = 0;
    for (String line : lines(Path.of("/proc/meminfo"))) {
      long bytes = Long.parseLong("0" + line.replaceAll("[^0-9]", "")) * 1024;
      if (line.startsWith("MemTotal:") && system().getTotalMemorySize() < bytes) {
        return free;
      }
      if (line.startsWith("MemAvailable:")) {
        available = bytes;
      }
    }
    return Math.max(free, available);
  }

  /// Processes that ran or waited to, averaged over the last minute; absent where the system does
  /// not tell.
  public static OptionalDouble loadAverage() {
    double load = system().getSystemLoadAverage();
    return load >= 0 ? OptionalDouble.of(load) : OptionalDouble.empty();
  }

  /// Mean frequency in MHz, as the kernel tells it, of as many of the fastest processors as there
  /// are threads, since idle ones run slower; absent where the kernel does not tell.
  public static OptionalDouble megahertz(int threads) {
    return megahertz(lines(Path.of("/proc/cpuinfo")), threads);
  }

  /// The same from the lines of `/proc/cpuinfo`.
  static OptionalDouble megahertz(List<String> lines, int threads) {
    return lines.stream()
        .filter(line -> line.startsWith("cpu MHz") && line.matches(".*:\\s*[0-9.]+\\s*"))
        .map(line -> Double.parseDouble(line.substring(line.indexOf(':') + 1).strip()))
        .sorted(Comparator.reverseOrder())
        .limit(threads)
        .mapToDouble(Double::doubleValue)
        .average();
  }

  private static OperatingSystemMXBean system() {
    return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
  }

  private static String processorName() {
    for (String line : lines(Path.of("/proc/cpuinfo"))) {
      String name = line.toLowerCase(Locale.ROOT);
      if (name.startsWith("model name") && line.indexOf(':') >= 0) {
        return line.substring(line.indexOf(':') + 1).strip();
      }
    }
    String identifier = System.getenv("PROCESSOR_IDENTIFIER");
    if (identifier != null) {
      return identifier;
    }
    return Commands.firstLine(Path.of("."), "sysctl", "-n", "machdep.cpu.brand_string")
        .orElse(System.getProperty("os.arch"));
  }

  private static List<String> lines(Path file) {
    try {
      return Files.isReadable(file) ? Files.readAllLines(file) : List.of();
    } catch (IOException e) {
      return List.of();
    }
  }
}
