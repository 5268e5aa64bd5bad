// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class ProgressTest {

  @Test
  void redirectedOutputHoldsNoControlCharacters() {
    StringBuilder out = new StringBuilder();
    Progress progress = new Progress(out, false);
    progress.forkDone(3, 10, "tiled n=256: 1.2 ms", Duration.ofSeconds(80));
    progress.say("a note");
    progress.forkDone(10, 10, "tiled n=512: 2 ms", Duration.ZERO);
    progress.end();
    assertEquals(
        "[ 3/10] tiled n=256: 1.2 ms (1 min 20 s left)\na note\n[10/10] tiled n=512: 2 ms\n",
        out.toString());
  }

  @Test
  void terminalLineRenewsItself() {
    StringBuilder out = new StringBuilder();
    Progress progress = new Progress(out, true);
    progress.forkDone(1, 2, "a", Duration.ofHours(2));
    progress.forkDone(2, 2, "b", Duration.ZERO);
    progress.end();
    progress.end();
    assertEquals("\r\u001b[K[1/2] a (2 h 0 min left)\r\u001b[K[2/2] b\n", out.toString());
  }

  @Test
  void secondsHaveAReadableUnit() {
    assertEquals("1.50 µs", Progress.seconds(1.5e-6));
    assertEquals("12.0 ms", Progress.seconds(0.012));
    assertEquals("3.00 s", Progress.seconds(3));
    assertEquals("120 s", Progress.seconds(120));
  }
}
