// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.swap.LanguageSwapRecord.Treatment;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;

/// How long mechanisms that were put into a language model learn.
///
/// @param transferSteps steps that match head outputs, 0: none
/// @param tuneSteps steps of the whole model on the next byte after that, 0: none
/// @param scratchSteps steps of a fresh model with the mechanism, 0: none
/// @param batch sequences of a step
/// @param n bytes of a sequence
public record LanguageSwapBudget(
    int transferSteps, int tuneSteps, int scratchSteps, int batch, int n) implements Serializable {

  /// Validates the numbers.
  public LanguageSwapBudget {
    requireAtLeast("transfer-steps", transferSteps, 0);
    requireAtLeast("tune-steps", tuneSteps, 0);
    requireAtLeast("scratch-steps", scratchSteps, 0);
    requireAtLeast("batch", batch, 1);
    requireAtLeast("train-n", n, 2);
  }

  private static void requireAtLeast(String name, int value, int least) {
    if (value < least) {
      throw new IllegalArgumentException(name + " must be >= " + least + ", but was " + value);
    }
  }

  /// What is done with every mechanism read whole.
  public List<Treatment> treatments() {
    List<Treatment> treatments = new ArrayList<>(List.of(Treatment.AS_IS));
    if (transferSteps + tuneSteps > 0) {
      treatments.add(Treatment.TRANSFERRED);
    }
    if (scratchSteps > 0) {
      treatments.add(Treatment.SCRATCH);
    }
    return List.copyOf(treatments);
  }

  /// Steps of all kinds that a treatment takes.
  public int steps(Treatment treatment) {
    return switch (treatment) {
      case AS_IS, DECODED -> 0;
      case TRANSFERRED -> transferSteps + tuneSteps;
      case SCRATCH -> scratchSteps;
    };
  }

  /// What a treatment takes, in words; empty where nothing is learned.
  public String text(Treatment treatment) {
    String each = " of " + batch + " x " + n + " bytes";
    return switch (treatment) {
      case AS_IS, DECODED -> "";
      case TRANSFERRED -> "transfer " + transferSteps + ", tune " + tuneSteps + " steps" + each;
      case SCRATCH -> scratchSteps + " steps" + each;
    };
  }
}
