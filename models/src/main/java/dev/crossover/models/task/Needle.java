// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;
import java.util.OptionalDouble;
import org.apache.commons.rng.UniformRandomProvider;

/// Needle in a haystack: pairs of a key and its value among fillers; at the end a query mark and
/// one of the keys, whose value is asked (after Hsieh et al., RULER, 2024, in tokens instead of
/// words).
///
/// Token ranges in this order: keys, values, fillers, the query mark. Pairs stand at distinct even
/// places.
///
/// @param keys different keys
/// @param values different values
/// @param fillers different fillers
/// @param n positions
/// @param pairs pairs shown
/// @param depth where the asked pair stands, from 0 (start) to 1 (end); uniform when absent
@TaskInfo(
    name = "needle",
    title = "Needle in a haystack",
    source = "after Hsieh et al., RULER, COLM 2024, arXiv:2404.06654",
    asks = "the value of the key after the query mark",
    solver = "the first place of the key",
    published = "numbers of language models, not comparable")
public record Needle(
    @Parameter(value = "different keys, >= pairs", defaultValue = "16") int keys,
    @Parameter(value = "different values, >= 2", defaultValue = "16") int values,
    @Parameter(value = "different fillers, >= 1", defaultValue = "32") int fillers,
    @Parameter(value = "positions n, even, >= 2 pairs + 2", defaultValue = "128") int n,
    @Parameter(value = "pairs shown, >= 1", defaultValue = "4") int pairs,
    @Parameter(value = "place of the asked pair, 0 to 1; uniform when absent", defaultValue = "")
        OptionalDouble depth)
    implements Task {

  /// Validates the sizes.
  public Needle {
    Choices.atLeast("pairs", pairs, 1);
    Choices.atLeast("keys", keys, pairs);
    Choices.atLeast("values", values, 2);
    Choices.atLeast("fillers", fillers, 1);
    Choices.require(n % 2 == 0 && n >= 2 * pairs + 2, "n", "be even and >= 2 pairs + 2", n);
    double at = depth.orElse(0);
    Choices.require(at >= 0 && at <= 1, "depth", "be from 0 to 1", at);
  }

  @Override
  public int vocab() {
    return keys + values + fillers + 1;
  }

  @Override
  public int classes() {
    return vocab();
  }

  @Override
  public int positions() {
    return n;
  }

  @Override
  public int asked() {
    return 1;
  }

  @Override
  public double chance() {
    return 1.0 / values;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    Arrays.fill(labels, IGNORE);
    for (int t = 0; t < n - 2; t++) {
      tokens[t] = keys + values + random.nextInt(fillers);
    }
    int[] shown = Choices.distinct(random, 0, keys, pairs);
    int[] places = Choices.distinct(random, 0, (n - 2) / 2, pairs);
    if (depth.isPresent()) {
      int wanted = Math.min((n - 2) / 2 - 1, (int) (depth.getAsDouble() * (n - 2) / 2));
      for (int i = 1; i < pairs; i++) {
        places[i] = places[i] == wanted ? places[0] : places[i];
      }
      places[0] = wanted;
    }
    for (int i = 0; i < pairs; i++) {
      tokens[2 * places[i]] = shown[i];
      tokens[2 * places[i] + 1] = keys + random.nextInt(values);
    }
    tokens[n - 2] = vocab() - 1;
    tokens[n - 1] = shown[0];
    labels[n - 1] = tokens[2 * places[0] + 1];
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      int key = tokens[tokens.length - 1];
      int t = 0;
      while (tokens[t] != key) {
        t++;
      }
      labels[tokens.length - 1] = tokens[t + 1];
      return labels;
    };
  }

  @Override
  public Task atLength(int length) {
    return new Needle(keys, values, fillers, length, pairs, depth);
  }
}
