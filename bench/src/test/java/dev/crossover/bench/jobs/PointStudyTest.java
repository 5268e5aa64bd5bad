// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jobs;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.jobs.PointStudy.Point;
import dev.crossover.bench.result.RecordJson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PointStudyTest {
  private static final PointJob SQUARE =
      point -> RecordJson.write(new Square(point, Integer.parseInt(point) * 1.0));

  @TempDir private Path folder;
  private final List<String> warnings = new ArrayList<>();

  /// A record of these tests.
  private record Square(String name, double value) {}

  /// Computes the last point first, and dies after some of them.
  private static final class Backwards implements Jobs {
    private final int last;
    private final List<String> asked = new ArrayList<>();

    Backwards(int last) {
      this.last = last;
    }

    @Override
    public int threads() {
      return 1;
    }

    @Override
    public void run(PointJob job, List<String> points, Sink sink) throws IOException {
      for (int i = points.size() - 1; i >= 0; i--) {
        if (asked.size() == last) {
          throw new IOException("the cluster died");
        }
        asked.add(points.get(i));
        sink.accept(i, job.compute(points.get(i)));
      }
    }
  }

  private Path file() {
    return folder.resolve("squares.jsonl");
  }

  private List<Square> complete(int from, int to, Jobs jobs, PointJob job) throws IOException {
    List<Point> points =
        IntStream.range(from, to).mapToObj(Integer::toString).map(s -> new Point(s, s)).toList();
    return new PointStudy<>(file(), Square.class, Square::name)
        .complete(points, job, jobs, (_, _, _) -> {}, warnings::add);
  }

  @Test
  void fileDoesNotTellInWhichOrderPointsWereComputed() throws IOException {
    List<Square> forwards = complete(0, 6, Jobs.here(1), SQUARE);
    String written = Files.readString(file());
    Files.delete(file());
    assertEquals(forwards, complete(0, 6, new Backwards(6), SQUARE));
    assertEquals(written, Files.readString(file()));
    assertEquals("0", forwards.getFirst().name());
  }

  @Test
  void whatWasFinishedBeforeAFaultIsKeptAndNotComputedAgain() throws IOException {
    Backwards dying = new Backwards(2);
    assertThrows(IOException.class, () -> complete(0, 5, dying, SQUARE));
    assertEquals(2, Files.readAllLines(file()).size());
    Backwards second = new Backwards(-1);
    assertEquals(5, complete(0, 5, second, SQUARE).size());
    assertEquals(List.of("2", "1", "0"), second.asked);
    Backwards third = new Backwards(-1);
    complete(3, 7, third, SQUARE);
    assertEquals(List.of("6", "5"), third.asked);
    assertEquals(
        IntStream.range(0, 7).mapToObj(Integer::toString).toList(),
        Files.readAllLines(file()).stream()
            .map(line -> RecordJson.read(line, Square.class).name())
            .toList(),
        "other studies first, then this one's points in order");
  }

  @Test
  void fileWithALineThatIsNotUnderstoodIsNotRewritten() throws IOException {
    complete(0, 2, Jobs.here(1), SQUARE);
    Files.writeString(file(), "{\"of\":\"the future\"", StandardOpenOption.APPEND);
    complete(0, 4, new Backwards(-1), SQUARE);
    assertEquals(1, warnings.size(), warnings.toString());
    List<String> lines = Files.readAllLines(file());
    assertTrue(lines.get(2).contains("the future"), lines.toString());
    assertEquals(5, lines.size());
  }

  @Test
  void recordOfAnotherPointIsRefused() {
    PointJob wrong = _ -> RecordJson.write(new Square("7", 49));
    IOException refused =
        assertThrows(IOException.class, () -> complete(0, 2, Jobs.here(1), wrong));
    assertTrue(refused.getMessage().contains("(0), but was of 7"), refused.getMessage());
  }
}
