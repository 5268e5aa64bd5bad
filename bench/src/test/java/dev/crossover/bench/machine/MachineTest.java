// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.machine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class MachineTest {

  /// Four processors, of which two are idle and have slowed down.
  private static final List<String> PROCESSORS =
      List.of(
          "processor\t: 0",
          "cpu MHz\t\t: 800.000",
          "cpu MHz\t\t: 3400.500",
          "model name\t: cpu MHz of 9999",
          "cpu MHz\t\t: 799.000",
          "cpu MHz\t\t: 3600.500",
          "cpu MHz\t\t: unknown");

  @Test
  void theFrequencyIsThatOfAsManyOfTheFastestProcessorsAsThereAreThreads() {
    assertEquals(3600.5, Machine.megahertz(PROCESSORS, 1).getAsDouble());
    assertEquals(3500.5, Machine.megahertz(PROCESSORS, 2).getAsDouble());
    assertEquals(2150.0, Machine.megahertz(PROCESSORS, 64).getAsDouble());
  }

  @Test
  void withoutAWordFromTheKernelThereIsNoFrequency() {
    assertTrue(Machine.megahertz(List.of("processor : 0"), 2).isEmpty());
  }
}
