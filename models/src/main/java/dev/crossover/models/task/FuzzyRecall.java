// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.commons.rng.UniformRandomProvider;

/// Fuzzy in-context recall of MAD: keys and values are runs of several tokens (Poli et al., 2024).
///
/// A key is a run of distinct tokens of the lower half, a value one of the upper half; pairs follow
/// one another until no more fits, then a pair that was shown is asked once more. The sample is
/// filled from the left with the padding token and loses its last token, which is only a label.
///
/// The published generator may place the asked pair behind the last filled place (1.2 % of its
/// rows): here it is always shown.
///
/// @param n positions
/// @param vocab tokens, the padding token V − 1 included
/// @param keyMax longest key; in tests every key has this length
/// @param valueMax longest value
/// @param train whether every next token is a label and keys may be shorter
/// @param trainLabels what training asks
@TaskInfo(
    name = "fuzzy_recall",
    title = "Fuzzy in-context recall (MAD)",
    source = "Poli et al., Mechanistic Design and Scaling of Hybrid Architectures, 2024",
    asks = "all tokens of the value of every key that was shown before",
    solver = "runs of key tokens and of value tokens alternate; a table from run to run",
    published =
        "attention near 1; linear attention and Hyena lose most when n and vocab grow (quoted from"
            + " memory; bar charts without numbers)")
public record FuzzyRecall(
    @Parameter(value = "positions n", defaultValue = "128") int n,
    @Parameter(value = "tokens, padding included, >= 8", defaultValue = "16") int vocab,
    @Parameter(value = "longest key, >= 1", defaultValue = "3") int keyMax,
    @Parameter(value = "longest value, >= 1", defaultValue = "3") int valueMax,
    @Parameter(value = "label every next token, as MAD trains", defaultValue = "false")
        boolean train,
    @Parameter(value = "what training asks", defaultValue = "all") Recall.TrainLabels trainLabels)
    implements Task {

  /// Validates the sizes.
  public FuzzyRecall {
    Choices.atLeast("vocab", vocab, 8);
    Choices.atLeast("key_max", keyMax, 1);
    Choices.atLeast("value_max", valueMax, 1);
    Choices.require(keyMax <= (vocab - 1) / 2, "key_max", "be at most the key tokens", keyMax);
    Choices.require(
        valueMax <= vocab - 1 - (vocab - 1) / 2,
        "value_max",
        "be at most the value tokens",
        valueMax);
    Choices.atLeast("n", n, 2 * (keyMax + valueMax));
  }

  private int keyTokens() {
    return (vocab - 1) / 2;
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
  public double chance() {
    return 1.0 / (vocab - 1 - keyTokens());
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    Map<List<Integer>, List<Integer>> valueOf = new HashMap<>();
    List<List<Integer>> shown = new ArrayList<>();
    List<Integer> all = new ArrayList<>();
    List<Integer> asked = new ArrayList<>();
    while (true) {
      List<Integer> key = run(random, train ? 1 + random.nextInt(keyMax) : keyMax, 0, keyTokens());
      List<Integer> value = valueOf.get(key);
      boolean known = value != null;
      if (value == null) {
        value = run(random, 1 + random.nextInt(valueMax), keyTokens(), vocab - 1);
      }
      if (all.size() + key.size() + value.size() + keyMax + valueMax > n + 1) {
        break;
      }
      add(all, asked, key, value, known);
      if (!known) {
        valueOf.put(key, value);
        shown.add(key);
      }
    }
    List<Integer> probe = shown.get(random.nextInt(shown.size()));
    add(all, asked, probe, valueOf.getOrDefault(probe, List.of()), true);
    int start = n + 1 - all.size();
    for (int t = 0; t < n; t++) {
      tokens[t] = t < start ? vocab - 1 : all.get(t - start);
      int next = t + 1 - start;
      if (next < 0) {
        labels[t] = train ? vocab - 1 : IGNORE;
      } else {
        labels[t] = train ? all.get(next) : asked.get(next);
      }
    }
  }

  private static List<Integer> run(UniformRandomProvider random, int length, int low, int high) {
    return Arrays.stream(Choices.distinct(random, low, high, length)).boxed().toList();
  }

  /// Appends a pair; where it is asked, the value's tokens are labels of the places before them.
  private static void add(
      List<Integer> all, List<Integer> asked, List<Integer> key, List<Integer> value, boolean ask) {
    for (int token : key) {
      all.add(token);
      asked.add(IGNORE);
    }
    for (int token : value) {
      all.add(token);
      asked.add(ask ? token : IGNORE);
    }
  }

  /// Leaves the last value unasked where its key was never shown, as happens in published samples.
  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      Map<List<Integer>, List<Integer>> valueOf = new HashMap<>();
      int t = 0;
      while (t < tokens.length) {
        if (tokens[t] == vocab - 1) {
          t++;
          continue;
        }
        List<Integer> key = new ArrayList<>();
        for (; t < tokens.length && tokens[t] < keyTokens(); t++) {
          key.add(tokens[t]);
        }
        int first = t;
        List<Integer> value = new ArrayList<>();
        for (; t < tokens.length && tokens[t] >= keyTokens() && tokens[t] < vocab - 1; t++) {
          value.add(tokens[t]);
        }
        List<Integer> known = valueOf.get(key);
        if (known == null) {
          valueOf.put(key, value);
          continue;
        }
        for (int i = 0; i < known.size() && first - 1 + i < tokens.length; i++) {
          labels[first - 1 + i] = known.get(i);
        }
      }
      if (train) {
        int answer = labels[tokens.length - 1];
        labels = Arrays.copyOfRange(tokens, 1, tokens.length + 1);
        labels[tokens.length - 1] = answer;
      }
      return labels;
    };
  }

  @Override
  public Task training() {
    return trainLabels == Recall.TrainLabels.ALL
        ? new FuzzyRecall(n, vocab, keyMax, valueMax, true, trainLabels)
        : this;
  }

  @Override
  public Task atLength(int length) {
    return new FuzzyRecall(length, vocab, keyMax, valueMax, train, trainLabels);
  }
}
