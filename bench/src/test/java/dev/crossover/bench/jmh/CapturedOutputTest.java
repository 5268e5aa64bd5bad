// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class CapturedOutputTest {

  @Test
  void aProcessKilledFromOutsideSaysSo() {
    assertEquals(
        "killed from outside, as the system does when memory runs out"
            + " (forked VM failed with exit code 137)",
        reason("<forked VM failed with exit code 137>\n"));
    assertEquals(
        "forked VM failed with exit code 1", reason("<forked VM failed with exit code 1>\n"));
  }

  @Test
  void wantOfMemoryIsToldBeforeAnyExitCode() {
    assertEquals(
        "out of memory: java.lang.OutOfMemoryError: Java heap space",
        reason(
            "<forked VM failed with exit code 3>\n"
                + "java.lang.OutOfMemoryError: Java heap space\n"));
    assertEquals(
        "out of memory: There is insufficient memory for the Java Runtime Environment",
        reason("There is insufficient memory for the Java Runtime Environment\nexit code 1\n"));
  }

  @Test
  void silenceIsTold() {
    assertEquals("the process ended without a result", reason("nothing of note\n"));
  }

  private static String reason(String printed) {
    CapturedOutput output = new CapturedOutput();
    output.print(printed);
    return output.reason();
  }
}
