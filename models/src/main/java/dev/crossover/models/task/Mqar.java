// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.apache.commons.rng.UniformRandomProvider;

/// Multi-query associative recall: pairs of keys and values first, then the keys again, each asking
/// for its value (Arora, Eyuboglu et al., Zoology, ICLR 2024; `multiquery_ar.py`).
///
/// ```
/// k₁ v₁ k₂ v₂ … │ slots of two tokens: k at some of them, label v
/// P(slot g) ∝ a (g + 1)^(a − 1), one after the other, without replacement
/// ```
///
/// Keys are distinct of 1 … V/2 − 1, values distinct of V/2 … V − 1. Chance is 1/K for a model that
/// guesses among the values it has seen.
///
/// @param n positions, even
/// @param pairs K
/// @param vocab V
/// @param power a
/// @param randomFill whether every 0 becomes any token
@TaskInfo(
    name = "mqar",
    title = "Multi-query associative recall",
    source = "Arora, Eyuboglu et al., Zoology, ICLR 2024, arXiv:2312.04927",
    asks = "the value that followed each key when it was first shown",
    solver = "a table of the first 2 K tokens",
    published = {
      "D = 64, best of four rates, n = 64: attention 1.00, H3 0.92, RWKV 0.76, BaseConv 0.70, Hyena"
          + " 0.52 (read off the repository's figure, ±0.02)",
      "D = 64, n = 128: attention 1.00, BaseConv 0.37, H3 0.25, RWKV 0.18, Hyena 0.18 (read off)",
      "D = 64, n = 256: attention 1.00, BaseConv 0.14, others at most 0.1 (read off)",
      "recall at a state of 17 to 18 k numbers, all with short convolutions: Gated DeltaNet 0.89,"
          + " GLA 0.77, Mamba-2 0.69 (read off)"
    })
public record Mqar(
    @Parameter(value = "positions n, even, >= 4 pairs", defaultValue = "64") int n,
    @Parameter(value = "pairs K, >= 1", defaultValue = "4") int pairs,
    @Parameter(value = "tokens V, > n", defaultValue = "8192") int vocab,
    @Parameter(
            value = "exponent a of the queries' places, > 0; 1 is uniform",
            defaultValue = "0.01")
        double power,
    @Parameter(value = "fill unused places with random tokens", defaultValue = "false")
        boolean randomFill)
    implements Task {

  /// Validates the sizes.
  public Mqar {
    Choices.atLeast("pairs", pairs, 1);
    Choices.require(n % 2 == 0 && n >= 4 * pairs, "n", "be even and >= 4 pairs", n);
    Choices.require(vocab > n && vocab / 2 > pairs, "vocab", "exceed n (" + n + ")", vocab);
    Choices.require(power > 0, "power", "be > 0", power);
  }

  @Override
  public int classes() {
    return vocab;
  }

  @Override
  public int positions() {
    return n;
  }

  @Override
  public int asked() {
    return pairs;
  }

  @Override
  public double chance() {
    return 1.0 / pairs;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    Arrays.fill(tokens, 0);
    Arrays.fill(labels, IGNORE);
    int[] keys = Choices.distinct(random, 1, vocab / 2, pairs);
    int[] values = Choices.distinct(random, vocab / 2, vocab, pairs);
    double[] weights = new double[(n - 2 * pairs) / 2];
    for (int g = 0; g < weights.length; g++) {
      weights[g] = power * Math.pow(g + 1, power - 1);
    }
    for (int i = 0; i < pairs; i++) {
      tokens[2 * i] = keys[i];
      tokens[2 * i + 1] = values[i];
      int slot = Choices.weighted(random, weights);
      weights[slot] = 0;
      int at = 2 * pairs + 2 * slot;
      tokens[at] = keys[i];
      labels[at] = values[i];
    }
    for (int t = 0; randomFill && t < n; t++) {
      tokens[t] = tokens[t] == 0 ? random.nextInt(vocab) : tokens[t];
    }
  }

  /// With random filling a filled place may repeat a key; the solver answers there, too, although
  /// nothing is asked.
  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      Map<Integer, Integer> values = new HashMap<>();
      for (int i = 0; i < pairs; i++) {
        values.put(tokens[2 * i], tokens[2 * i + 1]);
      }
      for (int t = 2 * pairs; t < tokens.length; t++) {
        labels[t] = values.getOrDefault(tokens[t], IGNORE);
      }
      return labels;
    };
  }

  @Override
  public Task atLength(int length) {
    return new Mqar(length, pairs, vocab, power, randomFill);
  }
}
