// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import dev.crossover.attention.Attention;
import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.model.ModelSizes;
import dev.crossover.models.optimiser.OptimiserOptions;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.task.Mqar;
import dev.crossover.models.task.Parity;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.WordProblem;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/// How a task is trained with a mixer: the model around it, the optimiser, and how long.
///
/// Written as `MIXER`, or `MIXER+key=value+key=value` where a key is one of [LayerOptions],
/// [ModelSizes], [OptimiserOptions], or of the table below, for example
/// `deltanet+beta_max=2+layers=1`.
///
/// | key | meaning | default |
/// |---|---|---|
/// | `batch` | sequences of a step | 64; mqar 128; bytes 16 |
/// | `steps` | most steps | 2000; mqar 1500; bytes 3000 |
/// | `curriculum` | steps at shorter lengths first: `512:2400/2048:450`, see [Curriculum] | none |
/// | `evaluate_every` | steps from one look at the test samples to the next | 100 |
/// | `stop_at` | accuracy that ends a run | 0.99 |
/// | `test_samples` | test samples | 256 |
///
/// Defaults follow the smallest runs in which a known difference between mechanisms shows. What
/// belongs to a mixer: mechanisms that keep no order get learned positions, recurrences none;
/// DeltaNet and its gated form get a short convolution, SiLU, unit length queries and keys, and a
/// norm on every head; GLA, Mamba-2 and RetNet a norm on every head and an output gate.
///
/// @param mixer the mechanism, or `lstm`, `gru`, `gated_convolution:width=W`, `long_convolution`
/// @param layers options of blocks
/// @param sizes sizes and optional tensors
/// @param optimiser optimiser and schedule
/// @param batch sequences of a step
/// @param steps most steps
/// @param curriculum what is trained at shorter lengths first
/// @param evaluateEvery steps between evaluations
/// @param stopAt accuracy that ends a run
/// @param testSamples test samples
public record Recipe(
    String mixer,
    LayerOptions layers,
    ModelSizes sizes,
    OptimiserOptions optimiser,
    int batch,
    int steps,
    Curriculum curriculum,
    int evaluateEvery,
    double stopAt,
    int testSamples) {
  private static final Set<String> OWN =
      Set.of("batch", "steps", "curriculum", "evaluate_every", "stop_at", "test_samples");

  /// Validates the numbers.
  public Recipe {
    requirePositive("batch", batch);
    requirePositive("steps", steps);
    requirePositive("evaluate_every", evaluateEvery);
    requirePositive("test_samples", testSamples);
    if (!(stopAt > 0 && stopAt <= 1)) {
      throw new IllegalArgumentException("stop_at must be in (0, 1], but was " + stopAt);
    }
  }

  private static void requirePositive(String name, int value) {
    if (value < 1) {
      throw new IllegalArgumentException(name + " must be >= 1, but was " + value);
    }
  }

  /// The recipe of a task and a mixer.
  ///
  /// @param task what is learned
  /// @param text `MIXER+key=value…`
  /// @param given options of all mixers, which those of the text override
  /// @param longest most positions of a sample in training and tests
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static Recipe of(Task task, String text, Map<String, String> given, int longest) {
    String[] pieces = text.split("\\+");
    String mixer = pieces[0];
    Map<String, String> values = new LinkedHashMap<>(defaults(task, mixer, longest));
    values.putAll(given);
    for (int i = 1; i < pieces.length; i++) {
      int equals = pieces[i].indexOf('=');
      if (equals < 1) {
        throw new IllegalArgumentException(
            mixer + ": options must read key=value, but was '" + pieces[i] + "'");
      }
      values.put(pieces[i].substring(0, equals), pieces[i].substring(equals + 1));
    }
    Map<String, String> layers = new TreeMap<>(Map.of("mixer", mixer, "training", "true"));
    Map<String, String> sizes = new TreeMap<>();
    Map<String, String> optimiser = new TreeMap<>();
    values.forEach(
        (key, value) -> {
          if (LayerOptions.isKey(key)) {
            layers.put(key, value);
          } else if (ModelSizes.isKey(key)) {
            sizes.put(key, value);
          } else if (OptimiserOptions.isKey(key)) {
            optimiser.put(key, value);
          } else if (!OWN.contains(key)) {
            List<String> known = new ArrayList<>(OWN);
            known.addAll(List.of("layers", "width", "heads", "lr", "positions", "conv"));
            throw new IllegalArgumentException(
                "option must be one of a layer, a size, an optimiser or a run, but was "
                    + key
                    + Nearest.hint(key, known));
          }
        });
    int steps = integer(values, "steps");
    optimiser.putIfAbsent("total_steps", Integer.toString(steps));
    optimiser.putIfAbsent("warmup", Integer.toString(Math.min(100, steps / 10)));
    return new Recipe(
        mixer,
        LayerOptions.of(layers),
        ModelSizes.of(sizes),
        OptimiserOptions.of(optimiser),
        integer(values, "batch"),
        steps,
        Curriculum.of(values.getOrDefault("curriculum", "")),
        integer(values, "evaluate_every"),
        number(values, "stop_at"),
        integer(values, "test_samples"));
  }

  private static int integer(Map<String, String> values, String key) {
    String text = values.getOrDefault(key, "");
    try {
      return Integer.parseInt(text);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          key + " must be a whole number, but was '" + text + "'", e);
    }
  }

  private static double number(Map<String, String> values, String key) {
    String text = values.getOrDefault(key, "");
    try {
      return Double.parseDouble(text);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(key + " must be a number, but was '" + text + "'", e);
    }
  }

  private static Map<String, String> defaults(Task task, String mixer, int longest) {
    Map<String, String> values = new LinkedHashMap<>();
    values.put("vocabulary", Integer.toString(task.vocab()));
    values.put("classes", Integer.toString(task.classes()));
    values.put("max_length", Integer.toString(longest));
    values.put("tied", Boolean.toString(task.classes() == task.vocab()));
    values.put("head_bias", Boolean.toString(task.classes() != task.vocab()));
    values.put("width", "64");
    values.put("layers", "2");
    values.put("heads", "1");
    values.put("feed_forward", "gelu");
    values.put("batch", "64");
    values.put("steps", "2000");
    values.put("evaluate_every", "100");
    values.put("stop_at", "0.99");
    values.put("test_samples", "256");
    values.put("lr", "3e-3");
    values.put("weight_decay", "0.1");
    values.put("clip", "1");
    values.put("schedule", "cosine");
    values.putAll(mixerDefaults(mixer));
    if (task instanceof Mqar) {
      values.putAll(Map.of("feed_forward", "none", "batch", "128", "steps", "1500"));
    }
    if (task instanceof Bytes) {
      values.putAll(languageModel(mixer, values));
    }
    if (task instanceof Parity || task instanceof WordProblem) {
      values.putAll(stateTracking(mixer));
    }
    return values;
  }

  /// Tasks of state: one block of a recurrence, two of what keeps no state; lengths beyond
  /// training.
  private static Map<String, String> stateTracking(String mixer) {
    boolean recurrent = isRecurrent(mixer);
    Map<String, String> values = new LinkedHashMap<>();
    values.put("weight_decay", "0.01");
    values.put("layers", recurrent ? "1" : "2");
    values.put("width", recurrent ? "32" : "64");
    values.put("heads", Mechanisms.isBaseline(mixer) ? "1" : "2");
    values.put("feed_forward", recurrent ? "none" : "gelu");
    if (!recurrent) {
      values.putAll(Map.of("positions", "sinusoidal", "embedding_scale", "10", "lr", "1e-3"));
    }
    return values;
  }

  /// Four blocks of width 128, positions by rotation where a mixer needs any; the embedding times
  /// √128.
  private static Map<String, String> languageModel(String mixer, Map<String, String> chosen) {
    Map<String, String> values =
        new LinkedHashMap<>(
            Map.of(
                "width", "128",
                "layers", "4",
                "heads", "4",
                "embedding_scale", "11.3137",
                "batch", "16",
                "steps", "3000",
                "evaluate_every", "250",
                "lr", "1.5e-3",
                "betas", "0.9/0.95"));
    values.put("weight_decay", "0.01");
    values.put("min_lr_ratio", "0.05");
    if (Mechanisms.isBaseline(mixer)) {
      values.put("heads", "1");
    }
    if (chosen.getOrDefault("positions", "none").equals("learned")) {
      values.put("positions", "rope");
    }
    return values;
  }

  /// What belongs to a mixer, by key: positions, convolution, norms, gates.
  public static Map<String, String> mixerDefaults(String mixer) {
    return switch (Mechanisms.name(mixer)) {
      case "deltanet", "gated_deltanet" ->
          Map.of(
              "conv", "4",
              "projection_activation", "silu",
              "qk_norm", "l2",
              "head_norm", "layer");
      case "gla" -> Map.of("head_norm", "rms", "gate", "true");
      case "retnet" -> Map.of("head_norm", "rms", "gate", "true", "positions", "rope_interleaved");
      case "mamba2_ssd" ->
          Map.of("conv", "4", "projection_activation", "silu", "head_norm", "rms", "gate", "true");
      default -> isRecurrent(mixer) ? Map.of() : Map.of("positions", "learned");
    };
  }

  /// Whether a mixer knows order without positions.
  private static boolean isRecurrent(String mixer) {
    if (Mechanisms.isBaseline(mixer)) {
      return true;
    }
    Attention attention = Mechanisms.parse(mixer);
    Mechanism mechanism = attention.getClass().getAnnotation(Mechanism.class);
    return mechanism != null && mechanism.family() == Mechanism.Family.RECURRENT;
  }

  /// The whole recipe as text, by key.
  public Map<String, String> toMap() {
    Map<String, String> all = new TreeMap<>(layers.toMap());
    all.putAll(sizes.toMap());
    all.putAll(optimiser.toMap());
    all.put("batch", Integer.toString(batch));
    all.put("steps", Integer.toString(steps));
    if (!curriculum.stages().isEmpty()) {
      all.put("curriculum", curriculum.toString());
    }
    all.put("evaluate_every", Integer.toString(evaluateEvery));
    all.put("stop_at", Double.toString(stopAt));
    all.put("test_samples", Integer.toString(testSamples));
    all.remove("training");
    return all;
  }
}
