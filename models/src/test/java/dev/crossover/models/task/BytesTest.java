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
