// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.conformance;

import dev.crossover.attention.conformance.Comparison;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.tensor.DType;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.optimiser.OptimiserOptions;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// A golden file of format `models-1`: options in the metadata, parameters under names with a dot,
/// inputs under names without, answers in double precision.
///
/// Tolerance per group (values, gradients, values afterwards): four times the float32 error that
/// the file states for the group, and 1e-6 of the largest absolute value in the group.
final class ModelFile {
  private static final String FORMAT = "models-1";
  private static final Set<String> PROSE = Set.of("format", "case", "source", "note");
  private static final Set<String> INFORMATION =
      Set.of("hidden_", "encoder_hidden_", "decoder_hidden_");
  private static final Set<String> VALUES =
      Set.of(
          "out",
          "loss",
          "losses",
          "final_hidden",
          "final_cell",
          "grad_norms",
          "learning_rates",
          "teacher_loss",
          "swap_losses");

  private enum Group {
    VALUES("float32_error"),
    GRADIENTS("float32_error_gradients"),
    AFTER("float32_error_after");

    private final String key;

    Group(String key) {
      this.key = key;
    }
  }

  private final SafeTensors file;
  private final Map<String, String> keys;
  private final Set<String> unread = new LinkedHashSet<>();
  private final Set<String> unusedKeys = new LinkedHashSet<>();
  private final List<Comparison> comparisons = new ArrayList<>();

  private ModelFile(SafeTensors file) throws TensorFileException {
    this.file = file;
    this.keys = file.metadata();
    if (!FORMAT.equals(keys.get("format"))) {
      throw new TensorFileException(
          file.path(), "format must be " + FORMAT + ", but was " + keys.get("format"));
    }
    for (String name : file.names()) {
      if (isExpected(name)) {
        unread.add(name);
      } else if (file.dtype(name) == DType.F64 || file.dtype(name) == DType.I64) {
        if (INFORMATION.stream().noneMatch(name::startsWith)) {
          throw new TensorFileException(
              file.path(), name + " must be an answer or F32, I32 or U8, but was none of them");
        }
      } else {
        unread.add(name);
      }
    }
    unusedKeys.addAll(keys.keySet());
    unusedKeys.removeAll(PROSE);
    for (Group group : Group.values()) {
      unusedKeys.remove(group.key);
    }
  }

  static ModelFile read(Path path) throws TensorFileException {
    return new ModelFile(SafeTensors.open(path));
  }

  private boolean isExpected(String name) throws TensorFileException {
    if (VALUES.contains(name)) {
      return true;
    }
    boolean named = name.startsWith("grad_") || name.startsWith("after_");
    return named && file.dtype(name) == DType.F64;
  }

  Path path() {
    return file.path();
  }

  /// The text of a key, marked as used.
  String key(String key, String absent) {
    unusedKeys.remove(key);
    return keys.getOrDefault(key, absent);
  }

  double number(String key, double absent) {
    String text = key(key, "");
    try {
      return text.isEmpty() ? absent : Double.parseDouble(text);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(key + " must be a number, but was " + text, e);
    }
  }

  /// The options of layers among the keys.
  LayerOptions options() {
    Map<String, String> values = new LinkedHashMap<>();
    for (Map.Entry<String, String> entry : keys.entrySet()) {
      boolean own = !entry.getKey().startsWith("dropout");
      if (own && LayerOptions.isKey(entry.getKey())) {
        boolean mechanism = LayerOptions.isMechanism(entry.getKey());
        String value = entry.getValue();
        values.put(entry.getKey(), mechanism ? Mechanisms.golden(value) : value);
        unusedKeys.remove(entry.getKey());
      }
    }
    return LayerOptions.of(values);
  }

  /// The options of the optimiser among the keys.
  OptimiserOptions optimiser() {
    Map<String, String> values = new LinkedHashMap<>();
    for (Map.Entry<String, String> entry : keys.entrySet()) {
      if (OptimiserOptions.isKey(entry.getKey())) {
        values.put(entry.getKey(), entry.getValue());
        unusedKeys.remove(entry.getKey());
      }
    }
    return OptimiserOptions.of(values);
  }

  boolean has(String name) {
    return file.contains(name);
  }

  Tensor tensor(String name) throws TensorFileException {
    unread.remove(name);
    return file.tensor(name);
  }

  int[] ints(String name) throws TensorFileException {
    unread.remove(name);
    return file.ints(name);
  }

  int[] shape(String name) throws TensorFileException {
    long[] sizes = file.shape(name);
    int[] shape = new int[sizes.length];
    for (int i = 0; i < sizes.length; i++) {
      shape[i] = Math.toIntExact(sizes[i]);
    }
    return shape;
  }

  /// A mask, true where it holds 1; null if absent.
  boolean @Nullable [] mask(String name) throws TensorFileException {
    if (!file.contains(name)) {
      return null;
    }
    int[] values = ints(name);
    boolean[] real = new boolean[values.length];
    for (int i = 0; i < values.length; i++) {
      if (values[i] != 0 && values[i] != 1) {
        throw new TensorFileException(path(), name + " must hold 0 and 1, but held " + values[i]);
      }
      real[i] = values[i] == 1;
    }
    return real;
  }

  /// Every F32 tensor with a dot in its name.
  Parameters parameters() throws TensorFileException {
    Parameters parameters = new Parameters();
    for (String name : file.names()) {
      if (name.contains(".") && file.dtype(name) == DType.F32) {
        parameters.add(name, tensor(name));
      }
    }
    return parameters;
  }

  /// Compares what was computed with an answer, if the file holds it.
  void compare(String name, float[] computed) throws TensorFileException {
    double[] values = new double[computed.length];
    for (int i = 0; i < values.length; i++) {
      values[i] = computed[i];
    }
    compare(name, values);
  }

  /// Compares what was computed with an answer, if the file holds it.
  void compare(String name, double... computed) throws TensorFileException {
    if (!file.contains(name)) {
      return;
    }
    unread.remove(name);
    double[] expected = file.doubles(name);
    double allowed = tolerance(group(name));
    double deviation = expected.length == computed.length ? 0 : Double.POSITIVE_INFINITY;
    for (int i = 0; i < expected.length && i < computed.length; i++) {
      double distance = Math.abs(expected[i] - computed[i]);
      deviation = Math.max(deviation, Double.isNaN(distance) ? Double.POSITIVE_INFINITY : distance);
    }
    comparisons.add(
        new Comparison(name, deviation, allowed, deviation == 0 ? 0 : deviation / allowed));
  }

  /// Compares the gradient of every trained parameter.
  void compareGradients(Parameters parameters) throws TensorFileException {
    for (Parameter parameter : parameters.all()) {
      if (parameter.hasGradient()) {
        compare("grad_" + parameter.name(), parameter.gradient().data());
      }
    }
  }

  /// Compares the values of all parameters afterwards.
  void compareAfter(Parameters parameters) throws TensorFileException {
    for (Parameter parameter : parameters.all()) {
      compare("after_" + parameter.name(), parameter.value().data());
    }
  }

  private static Group group(String name) {
    if (VALUES.contains(name)) {
      return Group.VALUES;
    }
    return name.startsWith("grad_") ? Group.GRADIENTS : Group.AFTER;
  }

  private double tolerance(Group group) throws TensorFileException {
    double largest = 0;
    for (String name : file.names()) {
      if (isExpected(name) && group(name) == group) {
        for (double value : file.doubles(name)) {
          largest = Math.max(largest, Math.abs(value));
        }
      }
    }
    return 4 * number(group.key, 0) + 1e-6 * largest;
  }

  /// What no replay used must not be there: unknown keys, unknown tensors, answers that were not
  /// compared.
  void requireAllUsed() {
    if (!unusedKeys.isEmpty()) {
      throw new IllegalArgumentException(
          "keys must be known for this file, but were " + unusedKeys);
    }
    if (!unread.isEmpty()) {
      throw new IllegalArgumentException("tensors must be known for this file, but were " + unread);
    }
  }

  ReplayResult result(String what) {
    boolean passed = comparisons.stream().allMatch(Comparison::passed);
    String detail = "";
    ReplayResult.Status status = ReplayResult.Status.PASSED;
    if (comparisons.isEmpty()) {
      status = ReplayResult.Status.CANNOT_REPLAY;
      detail = "must hold an answer, but holds none";
    } else if (!passed) {
      status = ReplayResult.Status.DEVIATED;
      detail =
          String.join(
              ", ", comparisons.stream().filter(c -> !c.passed()).map(Comparison::name).toList());
    }
    return new ReplayResult(
        String.valueOf(path().getFileName()), what, status, detail, comparisons, List.of());
  }
}
