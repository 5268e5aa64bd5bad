// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.layer.Ablation;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.pretrained.AttentionCore;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.IntFunction;

/// What is put in the place of a model's attention: a mechanism with its parameters, a control, or
/// Linformer's pools with segments that see everything.
///
/// | text | meaning |
/// |---|---|
/// | `longformer:window=8` | a mechanism as on every command line |
/// | `longformer:window=8+global=ends` | the first and last token are global; also `first`, `last` |
/// | `block_topk:sink_tokens=4+off=sinks` | a branch of the mechanism is switched off |
/// | `reformer+shared=keys` | keys in the place of shared queries and keys; without it queries |
/// | `balanced_pools:projected_length=32` | means over segments of n/r or n/r + 1 rows |
/// | `control:uniform` | equal weights; also `own_value` and `zero` |
///
/// Where pools or landmarks are not fewer than the tokens, exact attention stands in, and so for
/// BigBird below four blocks.
public final class SwapSetting {
  private static final String POOLS = "balanced_pools";
  private static final String CONTROL = "control:";

  private final String text;
  private final Attention mechanism;
  private final Map<String, String> parameters;
  private final String global;
  private final boolean queriesFromKeys;
  private final IntFunction<Map<String, Tensor>> given;

  private SwapSetting(
      String text,
      Attention mechanism,
      Map<String, String> parameters,
      String global,
      boolean queriesFromKeys,
      IntFunction<Map<String, Tensor>> given) {
    this.text = text;
    this.mechanism = mechanism;
    this.parameters = parameters;
    this.global = global;
    this.queriesFromKeys = queriesFromKeys;
    this.given = given;
  }

  /// Reads a setting.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public static SwapSetting parse(String text) {
    return parse(text, false);
  }

  /// The same with what golden files mean by absent parameters.
  static SwapSetting golden(String text) {
    return parse(text, true);
  }

  private static SwapSetting parse(String text, boolean golden) {
    String[] parts = text.strip().split("\\+", -1);
    String global = "";
    boolean fromKeys = false;
    StringBuilder ablated = new StringBuilder();
    for (int i = 1; i < parts.length; i++) {
      switch (parts[i]) {
        case "global=first", "global=last", "global=ends" ->
            global = parts[i].substring("global=".length());
        case "shared=keys" -> fromKeys = true;
        case "shared=queries" -> fromKeys = false;
        default -> {
          if (!parts[i].startsWith("off=")) {
            throw new IllegalArgumentException(
                "option must be one of global=first, global=last, global=ends, shared=keys,"
                    + " shared=queries, off=BRANCH, but was '"
                    + parts[i]
                    + "' in "
                    + text);
          }
          ablated.append('+').append(parts[i]);
        }
      }
    }
    String spec = parts[0];
    Map<String, String> values = new LinkedHashMap<>();
    Attention mechanism;
    if (!hasMechanism(spec) && !ablated.isEmpty()) {
      throw new IllegalArgumentException("off must be absent for " + spec + ", but was " + text);
    }
    if (spec.startsWith(CONTROL)) {
      mechanism = control(spec.substring(CONTROL.length()));
    } else if (spec.equals(POOLS) || spec.startsWith(POOLS + ":")) {
      values.putAll(Catalogue.values(spec));
      if (!values.keySet().equals(Set.of("projected_length"))) {
        throw new IllegalArgumentException(
            POOLS + " must have the parameter projected_length alone, but was " + spec);
      }
      mechanism = Catalogue.find("linformer").create(values);
      values.put("projection", "learned");
    } else {
      spec = without(spec, ablated.toString());
      mechanism = Mechanisms.parse(golden ? Mechanisms.golden(spec) : spec);
      values.putAll(Catalogue.find(mechanism.name()).parametersOf(mechanism));
    }
    SwapSetting setting =
        new SwapSetting(text.strip(), mechanism, values, global, fromKeys, _ -> Map.of());
    setting.requireOptions();
    return setting;
  }

  /// Whether a setting is of a mechanism of the catalogue, which may have branches.
  public static boolean hasMechanism(String text) {
    return !text.startsWith(CONTROL) && !text.startsWith(POOLS);
  }

  private static String without(String spec, String options) {
    Ablation ablation = options.isEmpty() ? null : Ablation.parse(spec + options);
    if (ablation == null) {
      return spec;
    }
    if (!ablation.zeroInputs().isEmpty()) {
      throw new IllegalArgumentException(
          "off must be a branch that a parameter switches, but was " + options + " for " + spec);
    }
    return ablation.mechanism();
  }

  private static Attention control(String name) {
    List<String> known =
        Arrays.stream(Control.Kind.values())
            .map(kind -> kind.name().toLowerCase(Locale.ROOT))
            .toList();
    int index = known.indexOf(name);
    if (index < 0) {
      throw new IllegalArgumentException(
          "control must be one of " + known + ", but was " + name + Nearest.hint(name, known));
    }
    return new Control(Control.Kind.values()[index]);
  }

  private void requireOptions() {
    List<String> names = new ArrayList<>();
    mechanism.inputs(AttentionShape.of(1, 2, 16, 8)).forEach(spec -> names.add(spec.name()));
    if (!global.isEmpty() && !names.contains("global_mask")) {
      throw new IllegalArgumentException(
          "global must be absent for a mechanism without global tokens, but was "
              + global
              + " for "
              + mechanism.name());
    }
    if (queriesFromKeys && !names.contains("qk")) {
      throw new IllegalArgumentException(
          "shared must be absent for a mechanism with queries and keys of their own, but was for "
              + mechanism.name());
    }
  }

  /// The same setting with tensors that depend on the length, as a golden file draws them.
  SwapSetting with(IntFunction<Map<String, Tensor>> tensors) {
    return new SwapSetting(text, mechanism, parameters, global, queriesFromKeys, tensors);
  }

  /// As it was written.
  public String text() {
    return text;
  }

  /// The mechanism's name.
  public String name() {
    return text.startsWith(POOLS) ? POOLS : mechanism.name();
  }

  /// Whether it is no mechanism but there to compare with.
  public boolean isControl() {
    return mechanism instanceof Control;
  }

  /// Whether exact attention stands in at a length.
  public boolean isExactAt(int n) {
    int fewest =
        switch (name()) {
          case POOLS -> number("projected_length");
          case "linformer" ->
              "learned".equals(parameters.get("projection")) ? 0 : number("projected_length");
          case "nystromformer" -> number("landmarks");
          case "bigbird" -> 4 * number("block_size") - 1;
          default -> 0;
        };
    return n <= fewest;
  }

  /// A parameter that is a whole number; 0 where the mechanism has none of this name.
  int number(String parameter) {
    return Integer.parseInt(parameters.getOrDefault(parameter, "0"));
  }

  /// What stands in every layer for a text of a length.
  public AttentionCore at(int n) {
    if (isExactAt(n)) {
      return AttentionCore.of(new Tiled());
    }
    Map<String, Tensor> tensors = new LinkedHashMap<>(given.apply(n));
    if (!global.isEmpty()) {
      Tensor mask = Tensor.zeros(1, n);
      mask.data()[0] = global.equals("last") ? 0 : 1;
      mask.data()[n - 1] = global.equals("first") && n > 1 ? 0 : 1;
      tensors.put("global_mask", mask);
    }
    if (name().equals(POOLS)) {
      tensors.put("key_projection", segments(number("projected_length"), n));
    }
    return new AttentionCore(mechanism, tensors, queriesFromKeys);
  }

  /// Means of r segments, the last ones a row longer.
  private static Tensor segments(int r, int n) {
    Tensor means = Tensor.zeros(1, 1, r, n);
    int shorter = n / r;
    int longer = n % r;
    int from = 0;
    for (int segment = 0; segment < r; segment++) {
      int rows = segment < r - longer ? shorter : shorter + 1;
      for (int j = from; j < from + rows; j++) {
        means.data()[segment * n + j] = 1f / rows;
      }
      from += rows;
    }
    return means;
  }

  @Override
  public String toString() {
    return text;
  }
}
