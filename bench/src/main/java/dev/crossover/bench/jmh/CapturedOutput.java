// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.Locale;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.infra.IterationParams;
import org.openjdk.jmh.results.BenchmarkResult;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.format.OutputFormat;

/// Keeps the end of what JMH and its forks print, so that a failure can be told in one line.
final class CapturedOutput implements OutputFormat {
  private static final int LONGEST = 20_000;
  private static final int KILLED = 137;

  private final StringBuilder text = new StringBuilder();

  /// What was printed, the beginning cut off if it was long.
  synchronized String text() {
    return text.toString();
  }

  @Override
  public synchronized void print(String s) {
    text.append(s);
    if (text.length() > 2 * LONGEST) {
      text.delete(0, text.length() - LONGEST);
    }
  }

  @Override
  public void println(String s) {
    print(s + "\n");
  }

  @Override
  public void write(int b) {
    print(String.valueOf((char) b));
  }

  @Override
  public void write(byte[] b) {
    print(new String(b, StandardCharsets.UTF_8));
  }

  @Override
  public void verbosePrintln(String s) {
    // the commands of forks say nothing about their failures
  }

  @Override
  public void iteration(BenchmarkParams benchmark, IterationParams params, int iteration) {
    // progress is the sweep's to tell
  }

  @Override
  public void iterationResult(
      BenchmarkParams benchmark, IterationParams params, int iteration, IterationResult data) {
    // results come from the runner
  }

  @Override
  public void startBenchmark(BenchmarkParams benchmark) {
    // progress is the sweep's to tell
  }

  @Override
  public void endBenchmark(BenchmarkResult result) {
    // results come from the runner
  }

  @Override
  public void startRun() {
    // progress is the sweep's to tell
  }

  @Override
  public void endRun(Collection<RunResult> result) {
    // results come from the runner
  }

  @Override
  public void flush() {
    // nothing is buffered outside the text
  }

  @Override
  public void close() {
    // nothing is open
  }

  /// The line that tells most about a failure.
  String reason() {
    String fallback = "";
    for (String line : text().lines().toList()) {
      String trimmed = line.strip().replaceAll("^<+|>+$", "").strip();
      String lower = trimmed.toLowerCase(Locale.ROOT);
      if (lower.contains("outofmemoryerror") || lower.contains("insufficient memory")) {
        return "out of memory: " + trimmed;
      }
      if (fallback.isEmpty()
          && (lower.contains("exception")
              || lower.contains("error")
              || lower.contains("exit code"))) {
        fallback = trimmed;
      }
    }
    if (fallback.endsWith("exit code " + KILLED)) {
      return "killed from outside, as the system does when memory runs out (" + fallback + ")";
    }
    return fallback.isEmpty() ? "the process ended without a result" : fallback;
  }
}
