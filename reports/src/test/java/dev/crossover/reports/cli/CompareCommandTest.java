// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.Records;
import dev.crossover.reports.answer.SyntheticStudy;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class CompareCommandTest {
  @TempDir Path folder;

  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  @Test
  void sameFileExitsWithZero() throws IOException {
    Path file = write("a.jsonl", SyntheticStudy.records(1));
    assertEquals(0, run(file, file));
    assertTrue(out.toString().contains("0 regressed, 0 improved"), out.toString());
    assertTrue(out.toString().contains("no p below 0.050"), out.toString());
  }

  @Test
  void pointThatFailsNowExitsWithOne() throws IOException {
    List<ResultRecord> study = SyntheticStudy.records(1);
    List<ResultRecord> broken = new java.util.ArrayList<>(study);
    broken.set(3, Records.missing(study.get(3), ResultRecord.Status.FAILED, "killed"));
    assertEquals(Main.FAILED, run(write("a.jsonl", study), write("b.jsonl", broken)));
    assertTrue(out.toString().startsWith("regressed:"), out.toString());
    assertTrue(out.toString().contains("was measured, now failed: killed"), out.toString());
  }

  @Test
  void missingPointsAreCountedAndFail() throws IOException {
    List<ResultRecord> study = SyntheticStudy.records(1);
    Path whole = write("a.jsonl", study);
    Path part = write("b.jsonl", study.subList(0, study.size() - 2));
    assertEquals(Main.FAILED, run(whole, part));
    assertTrue(out.toString().contains("2 missing, 0 new"), out.toString());
    assertEquals(0, run(whole, part, "--ignore-missing"));
    assertEquals(0, run(part, whole), "more points than before are no failure");
  }

  @Test
  void comparisonThatDecidesNothingExitsWithThree() throws IOException {
    List<ResultRecord> study = SyntheticStudy.records(1);
    Path first = write("a.jsonl", study.subList(0, 2));
    Path second = write("b.jsonl", study.subList(2, 4));
    assertEquals(Main.UNANSWERED, run(first, second, "--ignore-missing"));
  }

  @Test
  void jsonHoldsCountsAndEveryPoint() throws IOException {
    List<ResultRecord> study = SyntheticStudy.records(1);
    Path file = write("a.jsonl", study);
    assertEquals(0, run(file, file, "--json"));
    JsonNode answer = new JsonMapper().readTree(out.toString());
    assertEquals(study.size(), answer.get("counts").get("unchanged").asInt());
    assertEquals(study.size(), answer.get("changes").size());
    JsonNode first = answer.get("changes").get(0);
    assertEquals(study.getFirst().spec(), first.get("spec").asString());
    assertEquals(1, first.get("time").get("value").asDouble());
    assertTrue(first.get("after").get("seconds_p99").asDouble() > 0);
    assertEquals(first.get("before"), first.get("after"));
    assertEquals(1, out.toString().lines().count());
  }

  @Test
  void buildsAreAskedForEnoughForksToDecide() throws IOException {
    Path jar = Files.createFile(folder.resolve("a.jar"));
    assertEquals(Main.USAGE, run(jar, jar, "--interleave", "--forks", "3"));
    assertTrue(err.toString().contains("forks must be >= 4"), err.toString());
    assertEquals(Main.USAGE, run(jar, jar.resolveSibling("b.jar"), "--interleave"));
    assertTrue(err.toString().contains("b.jar: there is no such"), err.toString());
  }

  @Test
  void differentMachinesAreRefusedUnlessAllowed() throws IOException {
    List<ResultRecord> study = SyntheticStudy.records(1);
    List<ResultRecord> elsewhere =
        study.stream().map(r -> Records.on(r, Records.environment("Other CPU"))).toList();
    Path a = write("a.jsonl", study);
    Path b = write("b.jsonl", elsewhere);
    assertEquals(Main.USAGE, run(a, b));
    assertEquals("", out.toString());
    assertEquals(1, err.toString().lines().count(), err.toString());
    assertTrue(err.toString().contains("--different-machines"), err.toString());
    assertEquals(0, run(a, b, "--different-machines"));
  }

  private int run(Path before, Path after, String... more) {
    String[] arguments = new String[3 + more.length];
    arguments[0] = "compare";
    arguments[1] = before.toString();
    arguments[2] = after.toString();
    System.arraycopy(more, 0, arguments, 3, more.length);
    return Main.run(new PrintWriter(out, true), new PrintWriter(err, true), arguments);
  }

  private Path write(String name, List<ResultRecord> records) throws IOException {
    Path file = folder.resolve(name);
    Files.write(file, records.stream().map(RecordJson::write).toList());
    return file;
  }
}
