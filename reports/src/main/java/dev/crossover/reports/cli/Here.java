// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;

/// Where a command computes, in one line for its page.
final class Here {
  private Here() {}

  /// Processor, cores, JDK, commit and kernels.
  static String words() {
    Machine machine = Machine.current();
    return String.join(
        " · ",
        machine.cpu() + ", " + machine.cores() + " cores",
        "JDK " + machine.jdk(),
        "commit " + Commit.current(),
        "kernels " + Kernels.get().description());
  }
}
