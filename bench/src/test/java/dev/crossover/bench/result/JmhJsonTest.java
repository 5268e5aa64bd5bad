// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Files that JMH 1.37 wrote, against the score that JMH itself computed from the same numbers.
class JmhJsonTest {
  @TempDir private Path folder;

  private static Path file(String mode) {
    return Path.of("src/test/resources/jmh", mode + ".json");
  }

  @Test
  void meanOfSamplesIsTheScoreOfTimes() throws IOException {
    ResultRecord record = JmhJson.read(file("avgt")).getFirst();
    assertEquals(2, record.forks());
    double mean = samples(record).average().orElseThrow();
    assertEquals(score("avgt"), mean, 1e-9 * mean);
  }

  @Test
  void anIterationOfSampledCallsIsOneSample() throws IOException {
    ResultRecord record = JmhJson.read(file("sample")).getFirst();
    assertEquals(List.of(3, 3), record.time().samples().stream().map(List::size).toList());
    JsonNode percentiles = metric("sample").get("scorePercentiles");
    assertTrue(samples(record).min().orElseThrow() >= percentiles.get("0.0").asDouble());
    assertTrue(samples(record).max().orElseThrow() <= percentiles.get("100.0").asDouble());
    assertTrue(samples(record).distinct().count() > 1);
  }

  @Test
  void throughputIsTurnedOver() throws IOException {
    ResultRecord record = JmhJson.read(file("thrpt")).getFirst();
    double rate = samples(record).map(seconds -> 1 / seconds).average().orElseThrow();
    assertEquals(score("thrpt"), rate, 1e-9 * rate);
  }

  @Test
  void parametersAreTheSpecAndTheLength() throws IOException {
    ResultRecord record = JmhJson.read(file("avgt")).getFirst();
    assertEquals("PeakBenchmark.multiplyAdd", record.mechanism());
    assertEquals("PeakBenchmark.multiplyAdd:kind=loop", record.spec());
    assertEquals(Map.of("kind", "loop"), record.parameters());
    assertEquals(256, record.shape().n());
  }

  @Test
  void recordsOfOurOwnAreNotTakenForIt() throws IOException {
    assertTrue(JmhJson.isJmh(file("avgt")));
    Path lines = folder.resolve("results.jsonl");
    Files.writeString(lines, RecordJson.write(JmhJson.read(file("avgt")).getFirst()) + "\n");
    assertFalse(JmhJson.isJmh(lines));
    assertEquals(1, ResultFile.read(lines).records().size());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "[]|with a result at least",
        "[{}]|\"benchmark\"",
        "[{\"benchmark\": \"a.B.c\", \"mode\": \"avgt\"}]|scoreUnit of a.B.c must be",
        "[{\"benchmark\": \"a.B.c\", \"mode\": \"avgt\", \"primaryMetric\": {\"scoreUnit\":"
            + " \"ms/op\"}}]|must have raw data",
        "[{\"benchmark\": \"a.B.c\", \"mode\": \"avgt\", \"primaryMetric\": {\"scoreUnit\":"
            + " \"ms/op\", \"rawData\": [[1, \"NaN\"]]}}]|must be finite",
        "[1, |must be the JSON that JMH writes"
      })
  void whatIsNoSuchFileIsRefusedInOneLine(String text, String rule) throws IOException {
    Path file = Files.writeString(folder.resolve("broken.json"), text);
    String message =
        assertThrows(IllegalArgumentException.class, () -> JmhJson.read(file)).getMessage();
    assertTrue(message.contains(rule), message);
    assertEquals(1, message.lines().count());
  }

  private static DoubleStream samples(ResultRecord record) {
    return record.time().samples().stream().flatMap(List::stream).mapToDouble(Double::doubleValue);
  }

  private static double score(String mode) throws IOException {
    return metric(mode).get("score").asDouble();
  }

  private static JsonNode metric(String mode) throws IOException {
    return JsonMapper.shared().readTree(Files.readString(file(mode))).get(0).get("primaryMetric");
  }
}
