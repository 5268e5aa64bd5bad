// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.input.Inputs;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.models.task.Tasks;
import dev.crossover.reports.answer.Metrics;
import dev.crossover.reports.answer.SyntheticStudy;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class JsonOptionTest {
  /// Commands that print where their files are, or a text of their own, and no table.
  private static final Set<String> WITHOUT_TABLES =
      Set.of("merge", "errors", "influence", "generate", "generate-completion", "help");

  @TempDir Path folder;

  @Test
  void everyCommandThatPrintsATableHasTheOption() {
    Set<String> without = new TreeSet<>();
    new CommandLine(new Main())
        .getSubcommands()
        .forEach(
            (name, command) -> {
              if (command.getCommandSpec().findOption("--json") == null) {
                without.add(name);
              }
            });
    assertEquals(new TreeSet<>(WITHOUT_TABLES), without);
  }

  @Test
  void cataloguesAreListedWithTheirParameters() throws IOException {
    JsonNode inputs = answer(0, "list", "inputs", "--json");
    assertEquals(Inputs.all().size(), inputs.size());
    JsonNode sinks =
        inputs
            .valueStream()
            .filter(i -> i.get("name").asString().equals("sinks"))
            .findFirst()
            .get();
    assertEquals("count", sinks.get("parameter").get(0).get("name").asString());
    assertEquals("4", sinks.get("parameter").get(0).get("default").asString());
    assertEquals(Metrics.ALL.size(), answer(0, "list", "metrics", "--json").size());
    assertEquals(3, answer(0, "list", "studies", "--json").size());
    JsonNode tasks = answer(0, "train", "--list", "--json");
    assertEquals(Tasks.all().size(), tasks.size());
    assertEquals(tasks, answer(0, "list", "tasks", "--json"));
  }

  @Test
  void forecastsAreValues() throws IOException {
    JsonNode forecast =
        answer(0, "sweep", "--dry-run", "--json", "-m", "tiled", "--n", "256", "-o", out());
    assertTrue(forecast.get("seconds").asDouble() > 0);
    JsonNode row = forecast.get("points").get(0);
    assertEquals("tiled", row.get("point").get("spec").asString());
    assertEquals("measure", row.get("fate").asString());
  }

  @Test
  void reportsTellTheirTablesByTheKeysOfTheirFiles() throws IOException {
    Path file = folder.resolve("results.jsonl");
    Files.write(file, SyntheticStudy.records(1).stream().map(RecordJson::write).toList());
    JsonNode report = answer(0, "report", file.toString(), "--tables-only", "--json", "-o", out());
    JsonNode panel = report.get("panels").get(0);
    JsonNode point = panel.get("points").get(0);
    assertEquals("forward", panel.get("study").asString());
    assertTrue(point.get("seconds_p99").asDouble() >= point.get("seconds").asDouble());
    assertTrue(point.get("n").isIntegralNumber());
    assertTrue(point.get("state_bytes").isNull());
    assertTrue(panel.get("summary").get(0).has("time_exponent"));
    assertTrue(report.get("phases").get(0).get("cells").get(0).has("permitted_error"));
  }

  @Test
  void replaysThatFailAreAnswersToo() throws IOException {
    Path broken = Files.writeString(folder.resolve("broken__x.safetensors"), "no tensors");
    JsonNode answer = answer(Main.FAILED, "conformance", "--json", broken.toString());
    assertEquals(1, answer.get("notReplayed").asInt());
    assertEquals("cannot_replay", answer.get("files").get(0).get("status").asString());
  }

  private String out() {
    return folder.resolve("out").toString();
  }

  /// The answer of a command: one line, and nothing beside it.
  private static JsonNode answer(int exit, String... arguments) throws IOException {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(new PrintWriter(out, true), new PrintWriter(err, true), arguments);
    assertEquals(exit, code, err.toString());
    assertEquals(1, out.toString().lines().count(), out.toString());
    return new JsonMapper().readTree(out.toString());
  }
}
