// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import dev.crossover.attention.random.Draws;
import dev.crossover.models.model.Batch;
import dev.crossover.models.task.Task;
import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;

/// Samples of tasks as models read them.
public final class Samples {
  private Samples() {}

  /// A batch of samples, one after the other from one stream. Where a whole sequence is read, its
  /// last token that is not padding has the label.
  ///
  /// @param count number of samples
  /// @param seed same seed, same samples
  public static Batch draw(Task task, int count, long seed) {
    UniformRandomProvider random = Draws.generator(seed);
    int n = task.positions();
    int[] tokens = new int[count * n];
    int[] labels = new int[count * n];
    int[] sample = new int[n];
    int[] answers = new int[task.labels()];
    Arrays.fill(labels, Task.IGNORE);
    for (int b = 0; b < count; b++) {
      task.draw(random, sample, answers);
      System.arraycopy(sample, 0, tokens, b * n, n);
      if (task.reading() == Task.Reading.SEQUENCE) {
        int last = n - 1;
        while (last > 0 && sample[last] == task.padding()) {
          last--;
        }
        labels[b * n + last] = answers[0];
      } else {
        System.arraycopy(answers, 0, labels, b * n, n);
      }
    }
    return Batch.of(tokens, labels);
  }
}
