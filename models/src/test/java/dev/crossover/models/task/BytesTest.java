// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.random.Draws;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BytesTest {
  @TempDir private Path folder;

  /// 200 bytes that count, 0 to 199: the last ten are held out.
  private Task counting(String parameters) throws IOException {
    Path file = folder.resolve("counting");
    byte[] all = new byte[200];
    for (int i = 0; i < all.length; i++) {
      all[i] = (byte) i;
    }
    Files.write(file, all);
    return Tasks.parse("bytes:text=" + file + "," + parameters);
  }

  private static UniformRandomProvider stream(long seed) {
    return Draws.generator(Draws.seedFor(seed, "bytes"));
  }

  @Test
  void labelsAreTheNextBytesOfTheTextsOwnPart() throws IOException {
    Task test = counting("n=4");
    Task training = test.training();
    int[] tokens = new int[4];
    int[] labels = new int[4];
    int least = 256;
    int most = 0;
    for (int s = 0; s < 500; s++) {
      training.draw(stream(s), tokens, labels);
      for (int t = 0; t < 4; t++) {
        assertEquals(tokens[0] + t, tokens[t]);
        assertEquals(tokens[t] + 1, labels[t]);
      }
      assertTrue(labels[3] < 190, "the last twentieth is not trained on");
      test.draw(stream(s), tokens, labels);
      assertTrue(tokens[0] >= 190, "tests come from the last twentieth");
      least = Math.min(least, tokens[0]);
      most = Math.max(most, labels[3]);
      int[] expected = {Task.IGNORE, Task.IGNORE, tokens[2] + 1, tokens[3] + 1};
      assertTrue(Arrays.equals(expected, labels), "asked with half a window of context");
    }
    Task whole = test.askedEverywhere().orElseThrow();
    whole.draw(stream(1), tokens, labels);
    assertTrue(tokens[0] >= 190 && labels[0] == tokens[0] + 1, "asked everywhere");
    assertEquals(4, whole.asked());
    assertEquals(190, least);
    assertEquals(199, most);
    assertEquals(4, training.asked());
    assertEquals(2, test.asked());
    assertEquals(0.1, test.chance(), 1e-12);
  }

  @Test
  void aTextThatIsTooShortOrMissingIsRefusedByName() throws IOException {
    String message =
        assertThrows(IllegalArgumentException.class, () -> counting("n=10").training())
            .getMessage();
    assertEquals("n must be below the 10 bytes of the last 5 % of the text, but was 10", message);
    Task missing = Tasks.parse("bytes:text=" + folder.resolve("nothing"));
    assertThrows(IllegalArgumentException.class, missing::training);
    assertEquals(1 / 256.0, missing.chance());
  }

  /// 19 bytes to count, `ab` again and again, and the byte `b` or `x` held out: after `a` came `b`
  /// nine times of nine, and its table backs off to p(b) once: (9 + p) / 10.
  @Test
  void floorsAreTheBitsOfWittenAndBell() throws IOException {
    double b = (9 + 2 / 256.0) / (19 + 2);
    double afterA = (9 + b) / (9 + 1);
    double afterBa = (8 + afterA) / (8 + 1);
    double afterAba = (8 + afterBa) / (8 + 1);
    requireFloors("b", b, afterAba);
    double x = 2 / 256.0 / (19 + 2);
    requireFloors("x", x, x / 10 / 9 / 9);
  }

  private void requireFloors(String last, double alone, double after) throws IOException {
    Path file = folder.resolve("ending in " + last);
    Files.writeString(file, "ab".repeat(9) + "a" + last);
    ByteTables counts = new ByteTables(Files.readAllBytes(file), 19, ByteTables.LONGEST_CONTEXT);
    ByteTables single = new ByteTables(Files.readAllBytes(file), 19, 0);
    double bit = Math.log(2);
    assertEquals(-Math.log(alone) / bit, single.bits(Files.readAllBytes(file), 19, 20), 1e-12);
    assertEquals(-Math.log(after) / bit, counts.bits(Files.readAllBytes(file), 19, 20), 1e-12);
  }

  @Test
  void floorsComeFromTheHeldOutPartAndAreAbsentWithoutAText() throws IOException {
    // every byte of the last twentieth is new to both tables: each backs off to 1/256 of what is
    // left
    var floors = counting("n=4").floors().values().toArray();
    double unseen = 190 / 256.0 / (190 + 190);
    assertEquals(-Math.log(unseen) / Math.log(2), (double) floors[0], 1e-12);
    assertEquals(2, floors.length);
    assertTrue(Tasks.parse("bytes:text=" + folder.resolve("nothing")).floors().isEmpty());
    assertTrue(Tasks.parse("parity").floors().isEmpty());
  }

  @Test
  void threeBytesOfContextSayMoreOfTheBuiltInText() {
    Object[] floors = Tasks.parse("bytes:n=64").floors().values().toArray();
    assertTrue((double) floors[0] > 4 && (double) floors[0] < 6, "counts alone: " + floors[0]);
    assertTrue((double) floors[1] > 1 && (double) floors[1] < 3, "after three: " + floors[1]);
  }

  @Test
  void theBuiltInTextIsJava() {
    Task task = Tasks.parse("bytes:n=64");
    int[] tokens = new int[64];
    int[] labels = new int[64];
    for (int s = 0; s < 50; s++) {
      task.draw(stream(s), tokens, labels);
      for (int token : tokens) {
        assertTrue(token == '\n' || token >= ' ', "a byte of text, but was " + token);
      }
    }
    assertTrue(task.chance() > 0.1 && task.chance() < 0.4, "spaces: " + task.chance());
    assertThrows(UnsupportedOperationException.class, task::solver);
  }
}
