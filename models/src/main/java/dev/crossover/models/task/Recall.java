// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.apache.commons.rng.UniformRandomProvider;

/// In-context recall of MAD, also with noise: a stream of key and value pairs in which a key keeps
/// its value (Poli et al., Mechanistic Design and Scaling of Hybrid Architectures, 2024).
///
/// n tokens are drawn, of which the model reads n − 1 and predicts the next. In training every next
/// token is a label; otherwise only the values of keys that were shown before, the final pair among
/// them. With noise a pair is, with some probability, two tokens of the noise vocabulary instead.
///
/// @param n tokens drawn, even; the sample has n − 1
/// @param vocab tokens, noise included
/// @param noiseVocab how many of them, the last ones, are noise
/// @param noise probability that a pair is noise
/// @param train whether every next token is a label
/// @param trainLabels what training asks: all next tokens, or what a test asks
@TaskInfo(
    name = "recall",
    title = "In-context recall (MAD), with or without noise",
    source = "Poli et al., Mechanistic Design and Scaling of Hybrid Architectures, 2024",
    asks = "the value of every key that was shown before",
    solver = "a table of the pairs seen so far",
    published =
        "attention near 1, striped hybrids beat pure ones; linear attention and Hyena lose most"
            + " when n and vocab grow (quoted from memory; bar charts without numbers)")
public record Recall(
    @Parameter(value = "tokens drawn n, even, >= 4; the sample has n - 1", defaultValue = "128")
        int n,
    @Parameter(value = "tokens, noise included, even without noise", defaultValue = "16") int vocab,
    @Parameter(value = "noise tokens, the last ones", defaultValue = "0") int noiseVocab,
    @Parameter(value = "probability that a pair is noise, 0 to < 1", defaultValue = "0")
        double noise,
    @Parameter(value = "label every next token, as MAD trains", defaultValue = "false")
        boolean train,
    @Parameter(value = "what training asks", defaultValue = "all") TrainLabels trainLabels)
    implements Task {

  /// What training asks.
  public enum TrainLabels {
    /// Every next token, as published.
    ALL,
    /// What a test asks.
    ASKED
  }

  /// Validates the sizes.
  public Recall {
    Choices.require(n >= 4 && n % 2 == 0, "n", "be even and >= 4", n);
    Choices.require(noise >= 0 && noise < 1, "noise", "be in [0, 1)", noise);
    Choices.atLeast("noise_vocab", noiseVocab, noise > 0 ? 1 : 0);
    Choices.atLeast("vocab", vocab, noiseVocab + 4);
  }

  private int keys() {
    return (vocab - noiseVocab) / 2;
  }

  private int values() {
    return vocab - noiseVocab - keys();
  }

  @Override
  public int classes() {
    return vocab;
  }

  @Override
  public int positions() {
    return n - 1;
  }

  @Override
  public double chance() {
    return 1.0 / values();
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    int[] all = new int[n];
    int[] asked = Choices.unasked(n);
    int pairs = n / 2 - 1;
    int certain = random.nextInt(pairs);
    Map<Integer, Integer> valueOf = new HashMap<>();
    int[] shown = new int[keys()];
    int known = 0;
    for (int i = 0; i < pairs; i++) {
      if (i != certain && random.nextDouble() < noise) {
        all[2 * i] = vocab - noiseVocab + random.nextInt(noiseVocab);
        all[2 * i + 1] = vocab - noiseVocab + random.nextInt(noiseVocab);
        continue;
      }
      int key = random.nextInt(keys());
      Integer value = valueOf.get(key);
      if (value == null) {
        value = keys() + random.nextInt(values());
        valueOf.put(key, value);
        shown[known++] = key;
      } else {
        asked[2 * i] = value;
      }
      all[2 * i] = key;
      all[2 * i + 1] = value;
    }
    int key = shown[random.nextInt(known)];
    all[n - 2] = key;
    all[n - 1] = valueOf.getOrDefault(key, IGNORE);
    asked[n - 2] = all[n - 1];
    System.arraycopy(all, 0, tokens, 0, n - 1);
    if (train) {
      System.arraycopy(all, 1, labels, 0, n - 1);
    } else {
      System.arraycopy(asked, 0, labels, 0, n - 1);
    }
  }

  /// Of a training sample only the last label cannot be read off the tokens themselves.
  @Override
  public Solver solver() {
    return tokens -> {
      int last = tokens.length;
      int[] labels = Choices.unasked(last);
      Map<Integer, Integer> valueOf = new HashMap<>();
      for (int t = 0; t < last; t += 2) {
        int key = tokens[t];
        if (key >= vocab - noiseVocab) {
          continue;
        }
        Integer value = valueOf.get(key);
        if (value != null) {
          labels[t] = value;
        } else if (t + 1 < last) {
          valueOf.put(key, tokens[t + 1]);
        }
      }
      if (train) {
        int answer = labels[last - 1];
        labels = Arrays.copyOfRange(tokens, 1, last + 1);
        labels[last - 1] = answer;
      }
      return labels;
    };
  }

  @Override
  public Task training() {
    return trainLabels == TrainLabels.ALL
        ? new Recall(n, vocab, noiseVocab, noise, true, trainLabels)
        : this;
  }

  @Override
  public Task atLength(int length) {
    return new Recall(length, vocab, noiseVocab, noise, train, trainLabels);
  }
}
