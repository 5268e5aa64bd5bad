// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord.Environment;
import dev.crossover.bench.result.ResultRecord.Input;
import dev.crossover.bench.result.ResultRecord.Shape;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.result.ResultRecord.Time;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Results that JMH itself wrote (`-rf json`), of any benchmark, as records.
///
/// | of JMH | becomes |
/// |---|---|
/// | `benchmark` | the mechanism, class and method: `MyBenchmark.sort` |
/// | `params`, but for the length | parameters |
/// | the parameter `n`, `length`, `seqLen`, `size` or `N` | the length; 1 where there is none |
/// | `rawData` of one fork | that fork's samples, seconds per operation |
/// | `ops/…` of throughput | turned over: seconds per operation |
/// | `rawDataHistogram` (mode `sample`) | one sample an iteration: its mean |
///
/// What JMH does not write (processor, memory, commit) stays unknown, so that nothing here can tell
/// one machine from another.
public final class JmhJson {
  private static final List<String> LENGTHS = List.of("n", "length", "seqLen", "size", "N");
  private static final String UNKNOWN = "unknown (JMH does not write it)";
  private static final Map<String, Double> SECONDS =
      Map.of(
          "ns", 1e-9, "us", 1e-6, "ms", 1e-3, "s", 1.0, "min", 60.0, "hr", 3600.0, "day", 86400.0);

  private JmhJson() {}

  /// Whether a file holds one JSON array, as JMH writes it, rather than a record in each line.
  public static boolean isJmh(Path file) throws IOException {
    try (var reader = Files.newBufferedReader(file)) {
      int c = reader.read();
      while (c >= 0 && Character.isWhitespace(c)) {
        c = reader.read();
      }
      return c == '[';
    }
  }

  /// Reads a file.
  ///
  /// @throws IllegalArgumentException if it is not what JMH writes; one line with the benchmark
  /// @throws IOException if it cannot be read
  public static List<ResultRecord> read(Path file) throws IOException {
    JsonNode results;
    try {
      results = JsonMapper.shared().readTree(Files.readString(file));
    } catch (JacksonException e) {
      throw new IllegalArgumentException(
          file
              + ": must be the JSON that JMH writes, but was: "
              + e.getOriginalMessage().lines().findFirst().orElse("?"),
          e);
    }
    if (results == null || !results.isArray() || results.isEmpty()) {
      throw new IllegalArgumentException(
          file + ": must be a JSON array with a result at least, as JMH writes it");
    }
    List<ResultRecord> records = new ArrayList<>();
    for (JsonNode result : results) {
      records.add(record(file, result));
    }
    return records;
  }

  private static ResultRecord record(Path file, JsonNode result) {
    String benchmark = text(file, result, "benchmark");
    JsonNode metric = result.path("primaryMetric");
    List<List<Double>> samples = samples(file, benchmark, metric);
    Map<String, String> parameters = new TreeMap<>();
    result
        .path("params")
        .properties()
        .forEach(e -> parameters.put(e.getKey(), e.getValue().asString()));
    int n = length(parameters);
    String name = shortName(benchmark);
    StringBuilder spec = new StringBuilder(name);
    parameters.forEach(
        (key, value) ->
            spec.append(spec.length() == name.length() ? ':' : ',')
                .append(key)
                .append('=')
                .append(value));
    int threads = Math.max(1, result.path("threads").asInt(1));
    return new ResultRecord(
        ResultRecord.SCHEMA,
        Study.FORWARD,
        name,
        spec.toString(),
        new LinkedHashMap<>(parameters),
        Approximates.NONE,
        new Shape(1, 1, 1, n, n, 1, 1),
        "none",
        new Input("JMH", null, null, null, null),
        threads,
        0,
        Status.OK,
        null,
        new Time(samples, SampleStatistics.of(samples).median(), null, null, samples.size(), null),
        null,
        null,
        null,
        null,
        new Environment(
            UNKNOWN,
            0,
            0,
            UNKNOWN,
            result.path("jdkVersion").asString(UNKNOWN) + " " + result.path("vmName").asString(""),
            flags(result.path("jvmArgs")),
            "JMH " + result.path("jmhVersion").asString("?") + ", " + text(file, result, "mode"),
            "unknown",
            ""));
  }

  private static String text(Path file, JsonNode result, String name) {
    JsonNode value = result.path(name);
    if (!value.isString()) {
      throw new IllegalArgumentException(
          file + ": every result must have a text \"" + name + "\", as JMH writes it");
    }
    return value.asString();
  }

  private static String shortName(String benchmark) {
    int method = benchmark.lastIndexOf('.');
    int type = benchmark.lastIndexOf('.', method - 1);
    return benchmark.substring(type + 1);
  }

  private static int length(Map<String, String> parameters) {
    for (String name : LENGTHS) {
      String value = parameters.get(name);
      if (value != null && value.matches("[1-9]\\d{0,8}")) {
        parameters.remove(name);
        return Integer.parseInt(value);
      }
    }
    return 1;
  }

  private static String flags(JsonNode arguments) {
    List<String> flags = new ArrayList<>();
    arguments.forEach(flag -> flags.add(flag.asString()));
    return String.join(" ", flags);
  }

  private static List<List<Double>> samples(Path file, String benchmark, JsonNode metric) {
    String unit = metric.path("scoreUnit").asString("");
    String[] parts = unit.split("/");
    boolean rate = parts.length == 2 && parts[0].equals("ops");
    @Nullable Double seconds =
        parts.length == 2 && (rate || parts[1].equals("op"))
            ? SECONDS.get(parts[rate ? 1 : 0])
            : null;
    if (seconds == null) {
      throw new IllegalArgumentException(
          file
              + ": scoreUnit of "
              + benchmark
              + " must be a time per op or ops per time, but was "
              + unit);
    }
    boolean histogram = metric.has("rawDataHistogram");
    List<List<Double>> forks = new ArrayList<>();
    for (JsonNode fork : metric.path(histogram ? "rawDataHistogram" : "rawData")) {
      List<Double> samples = new ArrayList<>();
      for (JsonNode iteration : fork) {
        double score = histogram ? mean(iteration) : iteration.asDouble(Double.NaN);
        double time = rate ? seconds / score : score * seconds;
        if (!(time > 0 && time < Double.POSITIVE_INFINITY)) {
          throw new IllegalArgumentException(
              file + ": scores of " + benchmark + " must be finite and > 0, but held " + score);
        }
        samples.add(time);
      }
      if (!samples.isEmpty()) {
        forks.add(samples);
      }
    }
    if (forks.isEmpty()) {
      throw new IllegalArgumentException(
          file + ": " + benchmark + " must have raw data, but has none");
    }
    return forks;
  }

  /// Mean of one iteration, given as pairs of a value and how often it was seen.
  private static double mean(JsonNode pairs) {
    double sum = 0;
    double count = 0;
    for (JsonNode pair : pairs) {
      sum += pair.path(0).asDouble() * pair.path(1).asDouble();
      count += pair.path(1).asDouble();
    }
    return sum / count;
  }
}
