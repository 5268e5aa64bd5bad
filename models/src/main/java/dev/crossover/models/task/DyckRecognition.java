// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;

/// Whether a word of brackets is well formed: in half of the words the type of one closing bracket
/// is changed. A marker follows the word; there it is asked.
///
/// @param n tokens of the word, even
/// @param types types k of brackets, at least 2
/// @param depth largest depth
@TaskInfo(
    name = "dyck_recognition",
    title = "Recognition of Dyck words",
    source = "Hahn, Theoretical Limitations of Self-Attention, TACL 2020",
    asks = "whether every bracket is closed by its own type",
    solver = "a stack")
public record DyckRecognition(
    @Parameter(value = "tokens of the word n, even, >= 2", defaultValue = "64") int n,
    @Parameter(value = "types of brackets k, >= 2", defaultValue = "2") int types,
    @Parameter(value = "largest depth, >= 1", defaultValue = "4") int depth)
    implements Task {

  /// Validates the sizes.
  public DyckRecognition {
    Choices.atLeast("types", types, 2);
    Choices.require(n >= 2 && n % 2 == 0, "n", "be even and >= 2", n);
    Choices.atLeast("depth", depth, 1);
  }

  private Dyck word() {
    return new Dyck(n, types, depth, 0.5);
  }

  @Override
  public int vocab() {
    return 2 * types + 1;
  }

  @Override
  public int classes() {
    return 2;
  }

  @Override
  public int positions() {
    return n + 1;
  }

  @Override
  public int asked() {
    return 1;
  }

  @Override
  public double chance() {
    return 0.5;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    word().word(random, tokens);
    tokens[n] = 2 * types;
    if (random.nextBoolean()) {
      int closing = random.nextInt(n / 2);
      int t = 0;
      while (tokens[t] < types || closing-- > 0) {
        t++;
      }
      int type = tokens[t] - types;
      tokens[t] = types + (type + 1 + random.nextInt(types - 1)) % types;
    }
    Arrays.fill(labels, IGNORE);
    labels[n] = solver().solve(tokens)[n];
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      int[] stack = new int[tokens.length];
      int height = 0;
      boolean wellFormed = true;
      for (int t = 0; t < tokens.length - 1; t++) {
        if (tokens[t] < types) {
          stack[height++] = tokens[t];
        } else {
          wellFormed &= height > 0 && stack[--height] == tokens[t] - types;
        }
      }
      labels[tokens.length - 1] = wellFormed && height == 0 ? 1 : 0;
      return labels;
    };
  }

  @Override
  public Task atLength(int length) {
    return new DyckRecognition(length, types, depth);
  }
}
