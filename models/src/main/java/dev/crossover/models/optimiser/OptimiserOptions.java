// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.optimiser;

import dev.crossover.models.option.TextOptions;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;

/// An optimiser and its schedule, as `key=value` texts with defaults.
///
/// | key | values | absent |
/// |-----|--------|--------|
/// | `optimiser` | `sgd`, `adam`, `adamw` | `adamw` |
/// | `lr` | number | 1e-3 |
/// | `betas`, `optimiser_eps` | list of two, number | 0.9/0.999, 1e-8 |
/// | `weight_decay`, `decay` | number; `all`, or `matrices`: tensors of two or more axes | 0, `all` |
/// | `momentum`, `dampening`, `nesterov` | numbers, boolean | 0, 0, false |
/// | `clip` | number: largest norm of all gradients together | no clipping |
/// | `schedule` | `constant`, `cosine`, `noam` | `constant` |
/// | `warmup`, `total_steps`, `min_lr_ratio` | integers, number | 0, 1, 0 |
/// | `noam_factor`, `noam_width` | number, integer | 1, 512 |
public final class OptimiserOptions extends TextOptions {
  private static final Map<String, String> DEFAULTS = defaults();

  private OptimiserOptions(Map<String, String> given) {
    super(given, DEFAULTS, OptimiserOptions::isKey);
    check();
  }

  /// Options from texts by key.
  ///
  /// @throws IllegalArgumentException naming an unknown key or a value that breaks a rule
  public static OptimiserOptions of(Map<String, String> values) {
    return new OptimiserOptions(values);
  }

  /// Whether a key is one of this page's.
  public static boolean isKey(String key) {
    return DEFAULTS.containsKey(key);
  }

  private static Map<String, String> defaults() {
    Map<String, String> map = new LinkedHashMap<>();
    map.put("optimiser", "adamw");
    map.put("lr", "1e-3");
    map.put("betas", "0.9/0.999");
    map.put("optimiser_eps", "1e-8");
    map.put("weight_decay", "0");
    map.put("decay", "all");
    map.put("momentum", "0");
    map.put("dampening", "0");
    map.put("nesterov", "false");
    map.put("clip", "");
    map.put("schedule", "constant");
    map.put("warmup", "0");
    map.put("total_steps", "1");
    map.put("min_lr_ratio", "0");
    map.put("noam_factor", "1");
    map.put("noam_width", "512");
    return map;
  }

  private void check() {
    optimiser();
    schedule();
    onlyMatrices();
    nesterov();
    clip();
    for (String key :
        List.of(
            "lr",
            "optimiser_eps",
            "weight_decay",
            "momentum",
            "dampening",
            "warmup",
            "total_steps",
            "min_lr_ratio",
            "noam_factor",
            "noam_width")) {
      number(key);
    }
    for (int i = 0; i < 2; i++) {
      if (beta(i) < 0 || beta(i) >= 1) {
        throw new IllegalArgumentException("betas must be in [0, 1), but was " + text("betas"));
      }
    }
  }

  /// `sgd`, `adam` or `adamw`.
  public String optimiser() {
    return choice("optimiser", List.of("sgd", "adam", "adamw"));
  }

  /// `constant`, `cosine` or `noam`.
  public String schedule() {
    return choice("schedule", List.of("constant", "cosine", "noam"));
  }

  /// Whether decay is for tensors of two or more axes only.
  public boolean onlyMatrices() {
    return choice("decay", List.of("all", "matrices")).equals("matrices");
  }

  /// Whether momentum looks ahead.
  public boolean nesterov() {
    return bool("nesterov");
  }

  /// Largest norm of all gradients together.
  public OptionalDouble clip() {
    return text("clip").isEmpty() ? OptionalDouble.empty() : OptionalDouble.of(number("clip"));
  }

  /// Base of the learning rate.
  public double lr() {
    return number("lr");
  }

  /// Decay of the first (0) or second (1) moment.
  public double beta(int i) {
    String[] parts = text("betas").split("/", -1);
    try {
      if (parts.length == 2) {
        return Double.parseDouble(parts[i]);
      }
    } catch (NumberFormatException e) {
      // answered below
    }
    throw new IllegalArgumentException("betas must be two numbers, but was " + text("betas"));
  }

  /// Added to the root of the second moment.
  public double eps() {
    return number("optimiser_eps");
  }

  /// Weight decay.
  public double weightDecay() {
    return number("weight_decay");
  }

  /// Momentum of sgd.
  public double momentum() {
    return number("momentum");
  }

  /// Dampening of the gradient in the momentum.
  public double dampening() {
    return number("dampening");
  }

  /// The schedule of the learning rate.
  public LearningRate learningRate() {
    return new LearningRate(
        schedule(),
        lr(),
        number("warmup"),
        number("total_steps"),
        number("min_lr_ratio"),
        number("noam_factor"),
        number("noam_width"));
  }
}
