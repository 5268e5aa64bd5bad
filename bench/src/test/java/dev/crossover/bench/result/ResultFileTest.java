// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.PeakRange;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ResultFileTest {
  @TempDir Path folder;

  @Test
  void recordSurvivesWritingAndReading() throws IOException {
    ResultRecord record = point("performer:seed=7", 512, 3);
    Path file = folder.resolve("new/results.jsonl");
    try (ResultFile results = ResultFile.open(file)) {
      results.append(record);
    }
    ResultFile.Contents read = ResultFile.read(file);
    assertEquals(List.of(record), read.records());
    assertEquals(List.of(), read.warnings());
  }

  @Test
  void truncationAtEveryByteLosesOnlyTheLastLineAndTheFileCanBeContinued() throws IOException {
    ResultRecord first = point("tiled", 256, 3);
    ResultRecord second = point("performer", 256, 3);
    ResultRecord third = point("longformer", 512, 3);
    Path whole = folder.resolve("whole.jsonl");
    try (ResultFile results = ResultFile.open(whole)) {
      results.append(first);
      results.append(second);
    }
    byte[] bytes = Files.readAllBytes(whole);
    int firstLine = RecordJson.write(first).getBytes("UTF-8").length + 1;
    Path torn = folder.resolve("torn.jsonl");
    for (int length = 0; length <= bytes.length; length++) {
      Files.write(torn, Arrays.copyOf(bytes, length));
      int complete = (length >= firstLine - 1 ? 1 : 0) + (length >= bytes.length - 1 ? 1 : 0);
      List<ResultRecord> expected = List.of(first, second).subList(0, complete);
      assertEquals(expected, ResultFile.read(torn).records(), "cut at byte " + length);
      try (ResultFile results = ResultFile.open(torn)) {
        results.append(third);
      }
      ResultFile.Contents continued = ResultFile.read(torn);
      assertEquals(complete + 1, continued.records().size(), "cut at byte " + length);
      assertEquals(third, continued.records().getLast(), "cut at byte " + length);
      boolean clean = length == 0 || complete == 1 && length <= firstLine || complete == 2;
      assertEquals(clean ? 0 : 1, continued.warnings().size(), "cut at byte " + length);
    }
  }

  @Test
  void recordWithMoreForksReplacesTheEarlierWhateverTheOrder() throws IOException {
    ResultRecord one = point("tiled", 256, 1);
    ResultRecord two = point("tiled", 256, 2);
    Path a = folder.resolve("a.jsonl");
    Path b = folder.resolve("b.jsonl");
    Files.writeString(a, RecordJson.write(one) + "\n");
    Files.writeString(b, RecordJson.write(two) + "\n");
    assertEquals(List.of(two), ResultFile.read(a, b).records());
    assertEquals(List.of(two), ResultFile.read(b, a).records());
  }

  @Test
  void linesThatAreNoRecordsAreSkippedWithTheirNumber() throws IOException {
    ResultRecord record = point("tiled", 256, 1);
    Path file = folder.resolve("odd.jsonl");
    Files.writeString(
        file, "null\n[]\n{}\n{\"schema\":99}\n\n" + RecordJson.write(record) + "\nnonsense");
    ResultFile.Contents read = ResultFile.read(file);
    assertEquals(List.of(record), read.records());
    assertEquals(5, read.warnings().size());
    assertTrue(read.warnings().get(3).contains(":4:"), read.warnings().get(3));
    assertTrue(read.warnings().stream().noneMatch(w -> w.contains("\n")));
  }

  @Test
  void byteOrderMarkIsNotPartOfALine() throws IOException {
    ResultRecord first = point("tiled", 256, 1);
    ResultRecord second = point("tiled", 512, 1);
    Path file = folder.resolve("bom.jsonl");
    Files.writeString(
        file, "\uFEFF" + RecordJson.write(first) + "\n\uFEFF" + RecordJson.write(second) + "\n");
    ResultFile.Contents read = ResultFile.read(file);
    assertEquals(List.of(first, second), read.records());
    assertEquals(List.of(), read.warnings());
  }

  /// Each change makes the good line one that no measurement can have written.
  @Test
  void sizesAndTimesThatCannotBeAreSkippedByName() throws IOException {
    String good = RecordJson.write(point("tiled", 256, 1));
    List<List<String>> changes =
        List.of(
            List.of("\"n\":256", "\"n\":-5", "n must be >= 1, but was -5"),
            List.of("\"n\":256", "\"n\":0", "n must be >= 1, but was 0"),
            List.of("\"keySeqLen\":256", "\"keySeqLen\":0", "keySeqLen must be >= 1"),
            List.of("\"heads\":2", "\"heads\":-2", "heads must be >= 1"),
            List.of("\"headDim\":64", "\"headDim\":0", "headDim must be >= 1"),
            List.of("\"threads\":2", "\"threads\":0", "threads must be >= 1"),
            List.of("[[0.25,0.5]]", "[[-1,0]]", "samples must be seconds above zero"),
            List.of("[[0.25,0.5]]", "[[0.25,\"NaN\"]]", "samples must be seconds above zero"),
            List.of("[[0.25,0.5]]", "[[]]", "samples must not hold an empty fork"),
            List.of("[[0.25,0.5]]", "[]", "samples must hold a fork"),
            List.of("[[0.25,0.5]]", "null", "samples must hold a fork"),
            List.of("\"median\":0.25", "\"median\":-0.25", "median must be seconds above zero"));
    Path file = folder.resolve("odd.jsonl");
    for (List<String> change : changes) {
      assertTrue(good.contains(change.get(0)), good);
      Files.writeString(file, good + "\n" + good.replace(change.get(0), change.get(1)) + "\n");
      ResultFile.Contents read = ResultFile.read(file);
      assertEquals(1, read.records().size(), change.toString());
      assertEquals(256, read.records().getFirst().shape().n());
      assertEquals(1, read.warnings().size(), change.toString());
      String warning = read.warnings().getFirst();
      assertTrue(warning.startsWith(file + ":2: line skipped: " + change.get(2)), warning);
    }
  }

  @Test
  void skippedPointsMayNotKnowTheirSizes() throws IOException {
    String skipped =
        RecordJson.write(point("tiled", 256, 1))
            .replace("\"status\":\"ok\"", "\"status\":\"skipped\"")
            .replace("\"headDim\":64", "\"headDim\":0");
    Path file = folder.resolve("skipped.jsonl");
    Files.writeString(file, skipped + "\n");
    assertEquals(1, ResultFile.read(file).records().size());
  }

  @Test
  void steadyForksCountMoreThanMany() throws IOException {
    ResultRecord three = unsteady(point("tiled", 256, 3), 2);
    ResultRecord two = point("tiled", 256, 2);
    assertTrue(three.unsteady());
    assertEquals(1, three.steadyForks());
    assertEquals("2 of 3 forks: still being compiled", three.unsteadiness());
    assertEquals(false, three.finished());
    Path a = folder.resolve("a.jsonl");
    Path b = folder.resolve("b.jsonl");
    Files.writeString(a, RecordJson.write(three) + "\n");
    Files.writeString(b, RecordJson.write(two) + "\n");
    assertEquals(List.of(two), ResultFile.read(a, b).records());
    assertEquals(List.of(two), ResultFile.read(b, a).records());
    assertEquals(List.of(three), ResultFile.read(a).records());
  }

  @Test
  void replacedFileHasTheModeOfAnyOtherAndLinksStayLinks() throws IOException {
    Assumptions.assumeTrue(
        folder.getFileSystem().supportedFileAttributeViews().contains("posix"),
        "the file system knows no POSIX permissions to compare");
    Path plain = Files.writeString(folder.resolve("plain"), "");
    Path fresh = folder.resolve("fresh.jsonl");
    ResultFile.replace(fresh, List.of(point("tiled", 256, 1)));
    assertEquals(Files.getPosixFilePermissions(plain), Files.getPosixFilePermissions(fresh));

    Set<PosixFilePermission> mode = PosixFilePermissions.fromString("rw-r-----");
    Files.setPosixFilePermissions(fresh, mode);
    Path link =
        Files.createSymbolicLink(
            Files.createDirectory(folder.resolve("links")).resolve("link.jsonl"),
            Path.of("..", "fresh.jsonl"));
    ResultFile.replace(link, List.of(point("tiled", 512, 1)));
    assertTrue(Files.isSymbolicLink(link));
    assertEquals(512, ResultFile.read(fresh).records().getFirst().shape().n());
    assertEquals(mode, Files.getPosixFilePermissions(fresh));
    try (Stream<Path> files = Files.list(folder.resolve("links"))) {
      assertEquals(List.of(link), files.toList());
    }
  }

  private static ResultRecord unsteady(ResultRecord r, int forks) {
    List<Conditions> conditions = new ArrayList<>();
    for (int fork = 0; fork < r.forks(); fork++) {
      String reason = fork < forks ? "still being compiled" : null;
      conditions.add(new Conditions(1.0, null, reason, 2, new PeakRange(90, 95, 100)));
    }
    ResultRecord.Time t = r.time();
    return new ResultRecord(
        r.schema(),
        r.study(),
        r.mechanism(),
        r.spec(),
        r.parameters(),
        r.approximates(),
        r.shape(),
        r.mask(),
        r.input(),
        r.threads(),
        r.seed(),
        r.status(),
        r.reason(),
        new ResultRecord.Time(
            t.samples(), t.median(), t.low(), t.high(), t.plannedForks(), null, conditions),
        r.memory(),
        r.error(),
        r.counted(),
        r.peak(),
        r.environment());
  }

  @Test
  void secondWriterIsRefused() throws IOException {
    Path file = folder.resolve("results.jsonl");
    try (ResultFile results = ResultFile.open(file)) {
      assertEquals(file, results.path());
      assertThrows(IOException.class, () -> ResultFile.open(file));
    }
    ResultFile.open(file).close();
  }

  private static ResultRecord point(String spec, int n, int forks) {
    return ResultRecords.measured(
        spec, n, java.util.Collections.nCopies(forks, List.of(0.25, 0.5)));
  }
}
