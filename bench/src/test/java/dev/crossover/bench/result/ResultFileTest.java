package dev.crossover.bench.result;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
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
