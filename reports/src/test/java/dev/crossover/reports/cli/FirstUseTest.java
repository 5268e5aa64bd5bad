// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileWriter;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.SyntheticStudy;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What people type on their first day.
class FirstUseTest {
  private static final Path FULL = Path.of("/dev/full");

  @TempDir Path folder;

  private record Answer(int code, String out, String err) {}

  @Test
  void lastLineOfAReportIsAnAddressOneCanOpen() throws IOException {
    Path results = results();
    Answer answer = run("report", results.toString(), "-o", folder.resolve("a page").toString());
    assertEquals(0, answer.code, answer.err);
    String last = answer.out.strip().lines().toList().getLast();
    assertTrue(last.startsWith("file:///"), last);
    assertTrue(Files.isRegularFile(Path.of(URI.create(last))), last);
  }

  @Test
  void rangeOfLengthsEndsWithItsLast() {
    Answer answer =
        run("sweep", "-m", "tiled", "--n", "100..1000", "--input", "gaussian", "--dry-run");
    assertEquals(0, answer.code, answer.err);
    for (String n : List.of("100", "200", "400", "800", "1000")) {
      assertTrue(answer.out.matches("(?s).*\\b" + n + "\\b.*"), n + " in " + answer.out);
    }
    assertTrue(answer.out.contains("5 points"), answer.out);
  }

  @Test
  void recordsThatCannotBeAreSkippedByNameAndTheRestIsDrawn() throws IOException {
    Path results = results();
    String bad =
        RecordJson.write(SyntheticStudy.records(1).getFirst()).replace("\"n\":256", "\"n\":-5");
    Files.writeString(results, "\uFEFF" + bad + "\n" + Files.readString(results));
    Answer answer = run("report", results.toString(), "-o", folder.resolve("page").toString());
    assertEquals(0, answer.code, answer.err);
    assertTrue(
        answer.err.contains(results + ":1: line skipped: n must be >= 1, but was -5"), answer.err);
  }

  @Test
  void folderInThePlaceOfAResultFileIsNamed() throws IOException {
    Path results = Files.createDirectories(folder.resolve("out/results.jsonl"));
    Answer answer =
        run("sweep", "-m", "tiled", "--n", "64", "--input", "gaussian", "-o", folder + "/out");
    assertEquals(Main.FAILED, answer.code);
    assertTrue(answer.err.contains(results.toString()), answer.err);
    assertEquals(1, answer.err.lines().count(), answer.err);
  }

  /// Whatever a report writes: each of its files in turn stands for a full disk.
  @Test
  void fullDiskNamesTheFile() throws IOException {
    Assumptions.assumeTrue(
        Files.isWritable(FULL), FULL + " must be there to stand for a full disk");
    Path results = results();
    Path whole = folder.resolve("whole");
    assertEquals(0, run("report", results.toString(), "-o", whole.toString()).code);
    List<Path> written = new ArrayList<>();
    try (var files = Files.walk(whole)) {
      files.filter(Files::isRegularFile).map(whole::relativize).forEach(written::add);
    }
    for (String kind : List.of("report.html", "report.md", ".png", ".pdf", "-time.csv")) {
      Path file =
          written.stream().filter(f -> f.toString().endsWith(kind)).findFirst().orElseThrow();
      Path target = folder.resolve("full" + kind);
      Files.createDirectories(target.resolve(file).getParent());
      Files.createSymbolicLink(target.resolve(file), FULL);
      Answer answer = run("report", results.toString(), "-o", target.toString());
      assertEquals(Main.FAILED, answer.code, kind);
      assertTrue(answer.err.contains(file.getFileName().toString()), kind + ": " + answer.err);
      assertTrue(answer.err.contains("No space left on device"), kind + ": " + answer.err);
    }
  }

  @Test
  void missingFolderOfTemporaryFilesIsToldAsSuch() {
    String before = System.getProperty("java.io.tmpdir");
    System.setProperty("java.io.tmpdir", folder.resolve("absent").toString());
    try {
      for (String input : List.of("gaussian", "captured")) {
        Answer answer =
            run(
                "sweep",
                "-m",
                "tiled",
                "--n",
                "64",
                "--input",
                input,
                "-o",
                folder.resolve("tmp").toString());
        assertTrue(answer.code != 0);
        assertTrue(answer.err.contains(folder.resolve("absent").toString()), answer.err);
        assertTrue(answer.err.contains("the folder of temporary files must exist"), answer.err);
      }
    } finally {
      System.setProperty("java.io.tmpdir", before);
    }
  }

  @Test
  void fileWithHeadsAfterPositionsIsSuggestedToBeTransposed() throws IOException {
    Path file = folder.resolve("nhd.safetensors");
    Tensor some = Draws.gaussian(1, 48, 2, 8);
    new TensorFileWriter().add("q", some).add("k", some).add("v", some).writeSafeTensors(file);
    Answer straight =
        run("sweep", "--qkv", file.toString(), "-m", "tiled", "--n", "32", "--dry-run");
    assertEquals(Main.USAGE, straight.code);
    assertTrue(
        straight.err.contains(
            "read as 48 heads of 2 positions; if its arrays are [positions, heads, width],"
                + " --qkv-layout nhd reads them so"),
        straight.err);
    Answer turned =
        run(
            "sweep",
            "--qkv",
            file.toString(),
            "--qkv-layout",
            "nhd",
            "-m",
            "tiled",
            "--n",
            "32",
            "--dry-run");
    assertEquals(0, turned.code, turned.err);
    assertTrue(turned.out.contains("1 point"), turned.out);
    Answer errors = run("errors", "--qkv", file.toString(), "--n", "32", "-o", folder + "/e");
    assertEquals(Main.USAGE, errors.code);
    assertTrue(errors.err.contains("--qkv-layout nhd"), errors.err);
  }

  @Test
  void adviceTakesFilesLikeEveryOtherCommand() throws IOException {
    Path results = results();
    Answer files = run("advise", "--n", "2048", "--mask", "causal", results.toString());
    Answer before = run("advise", "--n", "2048", "--causal", "--results", results.toString());
    assertFalse(files.out.isEmpty(), files.err);
    assertEquals(before, files);
  }

  private Path results() throws IOException {
    StringBuilder text = new StringBuilder();
    for (ResultRecord record : SyntheticStudy.records(1)) {
      text.append(RecordJson.write(record)).append('\n');
    }
    return Files.writeString(folder.resolve("results.jsonl"), text);
  }

  private static Answer run(String... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code = Main.run(new PrintWriter(out, true), new PrintWriter(err, true), arguments);
    return new Answer(code, out.toString(), err.toString());
  }
}
