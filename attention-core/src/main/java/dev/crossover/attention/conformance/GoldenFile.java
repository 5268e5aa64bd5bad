// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.conformance;

import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.DType;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// A golden file, format version 2: an attention problem in a `.safetensors` file, its parameters
/// in the metadata, and the answer in double precision.
///
/// Where a mechanism and a layer share a name, the key `level` says which is meant, by the values
/// that each declares ([dev.crossover.attention.mechanism.Mechanism#goldenLevels]).
///
/// Metadata keys are common (mechanism, case, causal, causal_offset, kv_heads, padded_query_rows,
/// source, note), checks that no replay needs (float32_error and others), or parameters of the
/// mechanism. Tensors are told apart by their element types: F64 are answers, `grad_NAME` among
/// them the gradients of inputs; F32 are inputs, `grad_NAME` among them the upstream gradients;
/// integers are inputs or, to be met exactly, answers where the mechanism has an input or a result
/// of that name, otherwise information, as answers are that the mechanism does not produce. `out`,
/// `final_state`, `final_normaliser` and `out_pack` are never mere information.
public final class GoldenFile {
  private static final Set<String> COMMON =
      Set.of(
          "format",
          "mechanism",
          "case",
          "causal",
          "causal_offset",
          "kv_heads",
          "padded_query_rows",
          "source",
          "note");
  private static final Set<String> CHECKS =
      Set.of(
          "max_abs_diff_to_reference",
          "float32_error",
          "max_abs_out",
          "max_abs_diff_to_exact",
          "max_rel_diff_to_central_differences",
          "decision_margin",
          "seed");
  /// Answers that a mechanism must produce.
  private static final Set<String> DEMANDED =
      Set.of("out", "final_state", "final_normaliser", "out_pack");

  /// Prefix of gradients: upstream ones of `out` and of the results, and expected ones of inputs.
  private static final String GRADIENT = "grad_";

  private static final Set<String> DECAYS = Set.of("grad_decay", "grad_slopes");
  private static final Set<String> SUMS_PER_HEAD =
      Set.of("grad_logit_scale", "grad_decay", "grad_slopes");

  private final SafeTensors file;
  private final Map<String, String> metadata;
  private final Map<String, String> parameters = new LinkedHashMap<>();
  private Tensors inputs = Tensors.NONE;
  private Tensors integers = Tensors.NONE;
  private final Map<String, Expected> expected = new LinkedHashMap<>();
  private final Map<String, Expected> gradients = new LinkedHashMap<>();
  private final Map<String, Double> gradientTolerances;
  private final @Nullable Tensor outputGradient;
  private Tensors upstream = Tensors.NONE;
  private final Mask mask;
  private final OptionalInt causalOffset;
  private final OptionalInt keyValueHeads;
  private final boolean zeroPaddedRows;
  private final OptionalDouble float32Error;
  private final OptionalDouble maxAbsOut;

  /// An expected tensor.
  ///
  /// @param shape its sizes
  /// @param values its elements, row-major
  public record Expected(List<Long> shape, double[] values) {}

  private GoldenFile(SafeTensors file) throws TensorFileException {
    this.file = file;
    this.metadata = file.metadata();
    if (!required("format").equals("2")) {
      throw fault("metadata format must be 2, but was '" + required("format") + "'");
    }
    required("mechanism");
    required("case");
    required("source");
    for (Map.Entry<String, String> entry : metadata.entrySet()) {
      if (!COMMON.contains(entry.getKey()) && !CHECKS.contains(entry.getKey())) {
        parameters.put(entry.getKey(), entry.getValue());
      }
    }
    causalOffset = integer("causal_offset");
    keyValueHeads = integer("kv_heads");
    zeroPaddedRows = zeroRows();
    float32Error = number("float32_error");
    maxAbsOut = number("max_abs_out");
    sortTensors();
    gradientTolerances = gradientTolerances();
    if (!expected.containsKey("out")) {
      throw fault("must hold a tensor 'out'");
    }
    outputGradient = file.contains("grad_out") ? input("grad_out") : null;
    if (outputGradient == null && !gradients.isEmpty()) {
      throw fault("must hold 'grad_out', the gradient that " + gradients.keySet() + " start from");
    }
    mask = readMask();
  }

  /// Reads and checks a whole file.
  ///
  /// @param path a `.safetensors` file
  /// @throws TensorFileException if it is absent, malformed, or not a golden file of version 2
  public static GoldenFile read(Path path) throws TensorFileException {
    return new GoldenFile(SafeTensors.open(path));
  }

  /// The file, as it was named.
  public Path path() {
    return file.path();
  }

  /// The mechanism the file names.
  public String mechanism() {
    return metadata.getOrDefault("mechanism", "");
  }

  /// The case's name.
  public String caseName() {
    return metadata.getOrDefault("case", "");
  }

  /// Who computed the answer.
  public String source() {
    return metadata.getOrDefault("source", "");
  }

  /// The mechanism's parameters as text: every key that is neither common nor a check.
  public Map<String, String> parameters() {
    return Map.copyOf(parameters);
  }

  /// All tensors of floats that are neither answers nor upstream gradients nor the key mask.
  public Tensors inputs() {
    return inputs;
  }

  /// All tensors that may be inputs: those of floats, and integers, some of which may be mere
  /// information.
  public Tensors given() {
    Tensors all = inputs;
    for (int t = 0; t < integers.size(); t++) {
      all = all.with(integers.name(t), integers.tensor(t));
    }
    return all;
  }

  /// The inputs of a mechanism: those of floats, and of the integers those it takes.
  ///
  /// @param taken names of all its inputs
  public Tensors inputs(Collection<String> taken) {
    Tensors all = inputs;
    for (int t = 0; t < integers.size(); t++) {
      if (taken.contains(integers.name(t))) {
        all = all.with(integers.name(t), integers.tensor(t));
      }
    }
    return all;
  }

  /// The answers by name, without gradients: `out`, the extra results, and what a mechanism need
  /// not produce.
  public Map<String, Expected> expected() {
    return Map.copyOf(expected);
  }

  /// Names of the expected gradients, without `grad_out`, which is their input.
  public List<String> gradients() {
    return List.copyOf(gradients.keySet());
  }

  /// Whether the file holds what a result of this name is to be compared with: among
  /// [#expected()], or integers.
  public boolean answers(String result) {
    return expected.containsKey(result) || integers.has(result);
  }

  /// The answer of a name: one of [#expected()], of [#gradients()] or of the integers.
  ///
  /// @throws IllegalArgumentException if the file holds no such answer
  public Expected answer(String name) {
    Expected answer = expected.getOrDefault(name, gradients.get(name));
    if (answer == null && integers.has(name)) {
      return whole(integers.get(name));
    }
    if (answer == null) {
      throw new IllegalArgumentException(
          "name must be an expected tensor of " + path() + ", but was " + name);
    }
    return answer;
  }

  private static Expected whole(Tensor tensor) {
    double[] values = new double[tensor.size()];
    for (int e = 0; e < values.length; e++) {
      values[e] = tensor.data()[e];
    }
    return new Expected(Arrays.stream(tensor.shape()).asLongStream().boxed().toList(), values);
  }

  /// The upstream gradient of `out`, `grad_out`; empty in files without gradients.
  public Optional<Tensor> outputGradient() {
    return Optional.ofNullable(outputGradient);
  }

  /// The upstream gradients of results by name, for example `grad_final_state`; absent ones are
  /// zero.
  public Tensors upstream() {
    return upstream;
  }

  /// Whether an answer is more than information: a mechanism must produce it.
  public boolean demands(String answer) {
    return DEMANDED.contains(answer) && expected.containsKey(answer);
  }

  /// The mask: causal order and key padding as the file says.
  public Mask mask() {
    return mask;
  }

  /// The number of key/value heads if written; otherwise it equals that of the query heads.
  public OptionalInt keyValueHeads() {
    return keyValueHeads;
  }

  /// Whether output rows at padded positions are zero rather than computed.
  public boolean zeroPaddedRows() {
    return zeroPaddedRows;
  }

  /// Whether a causal mask aligns the ends or says offset 0, so that tokens can be fed one by one.
  public boolean isPlainCausal() {
    return mask instanceof Mask.Causal && causalOffset.orElse(0) == 0;
  }

  /// What float32 may deviate from a value of an expected tensor: for `out` of a file that says its
  /// `float32_error`, four times that plus 1e-6 of the largest output; for gradients 2e-5 of the
  /// tensor's largest value (5e-5 for the three sums over all pairs that are one number per head)
  /// plus 1e-6 of the largest gradient of the file; nothing for integers; otherwise `2e-5 + 2e-5
  /// |value|`.
  ///
  /// @param name of the expected tensor
  /// @param value the expected element
  public double tolerance(String name, double value) {
    if (name.equals("out") && float32Error.isPresent()) {
      return 4 * float32Error.getAsDouble() + 1e-6 * maxAbsOut.orElseGet(this::largestOut);
    }
    if (integers.has(name)) {
      return 0;
    }
    Double gradient = gradientTolerances.get(name);
    return gradient == null ? 2e-5 + 2e-5 * Math.abs(value) : gradient;
  }

  private Map<String, Double> gradientTolerances() {
    Map<String, Double> tolerances = new LinkedHashMap<>();
    for (Map.Entry<String, Expected> gradient : gradients.entrySet()) {
      double share = SUMS_PER_HEAD.contains(gradient.getKey()) ? 5e-5 : 2e-5;
      tolerances.put(
          gradient.getKey(), share * largest(gradient.getValue()) + 1e-6 * largestGradient());
    }
    return tolerances;
  }

  /// The largest expected gradient; those of decays are on a scale of their own.
  private double largestGradient() {
    double largest = 0;
    for (Map.Entry<String, Expected> gradient : gradients.entrySet()) {
      if (!DECAYS.contains(gradient.getKey())) {
        largest = Math.max(largest, largest(gradient.getValue()));
      }
    }
    return largest;
  }

  private double largestOut() {
    Expected out = expected.get("out");
    return out == null ? 0 : largest(out);
  }

  private static double largest(Expected tensor) {
    double largest = 0;
    for (double value : tensor.values()) {
      largest = Math.max(largest, Math.abs(value));
    }
    return largest;
  }

  private void sortTensors() throws TensorFileException {
    for (String name : file.names()) {
      DType dtype = file.dtype(name);
      if (name.equals("key_mask")) {
        continue;
      }
      if (dtype == DType.F64) {
        (name.startsWith(GRADIENT) ? gradients : expected).put(name, expected(name));
      } else if (dtype != DType.F32) {
        integers = integers.with(name, input(name));
      } else if (!name.startsWith(GRADIENT)) {
        inputs = inputs.with(name, input(name));
      } else if (!name.equals("grad_out")) {
        upstream = upstream.with(name, input(name));
      }
    }
  }

  private Expected expected(String name) throws TensorFileException {
    List<Long> shape = Arrays.stream(file.shape(name)).boxed().toList();
    return new Expected(shape, file.doubles(name));
  }

  private Tensor input(String name) throws TensorFileException {
    DType dtype = file.dtype(name);
    if (dtype == DType.I64) {
      throw fault("input '" + name + "' must be F32, I32 or U8, but was " + dtype);
    }
    return file.tensor(name);
  }

  private Mask readMask() throws TensorFileException {
    boolean causal = bool("causal");
    if (causalOffset.isPresent() && !causal) {
      throw fault("causal_offset must come with causal=true");
    }
    Mask.Causal order =
        causalOffset.isPresent() ? Mask.causal(causalOffset.getAsInt()) : Mask.causal();
    if (!file.contains("key_mask")) {
      return causal ? order : Mask.none();
    }
    long[] shape = file.shape("key_mask");
    if (shape.length != 2) {
      throw fault("key_mask must have shape [batch, nk], but has " + shape.length + " dimensions");
    }
    double[] values = file.doubles("key_mask");
    boolean[] real = new boolean[values.length];
    for (int i = 0; i < real.length; i++) {
      if (values[i] != 0 && values[i] != 1) {
        throw fault("key_mask must hold 0 and 1, but held " + values[i]);
      }
      real[i] = values[i] == 1;
    }
    int nk = Math.toIntExact(shape[1]);
    Mask.KeyPadding padding =
        nk == 0 ? Mask.lengths(0, new int[Math.toIntExact(shape[0])]) : Mask.keys(nk, real);
    return causal ? Mask.both(order, padding) : padding;
  }

  private boolean zeroRows() throws TensorFileException {
    String text = metadata.getOrDefault("padded_query_rows", "computed");
    if (!text.equals("zero") && !text.equals("computed")) {
      throw fault("padded_query_rows must be computed or zero, but was '" + text + "'");
    }
    return text.equals("zero");
  }

  private String required(String key) throws TensorFileException {
    String value = metadata.get(key);
    if (value == null) {
      throw fault("metadata must hold '" + key + "'");
    }
    return value;
  }

  private boolean bool(String key) throws TensorFileException {
    String text = required(key);
    if (!text.equals("true") && !text.equals("false")) {
      throw fault(key + " must be true or false, but was '" + text + "'");
    }
    return text.equals("true");
  }

  private OptionalInt integer(String key) throws TensorFileException {
    String text = metadata.get(key);
    if (text == null) {
      return OptionalInt.empty();
    }
    try {
      return OptionalInt.of(Integer.parseInt(text));
    } catch (NumberFormatException e) {
      throw fault(key + " must be an integer, but was '" + text + "'");
    }
  }

  private OptionalDouble number(String key) throws TensorFileException {
    String text = metadata.get(key);
    if (text == null) {
      return OptionalDouble.empty();
    }
    try {
      double number = Double.parseDouble(text);
      if (number >= 0 && Double.isFinite(number)) {
        return OptionalDouble.of(number);
      }
    } catch (NumberFormatException e) {
      // answered below, like a number that is negative or not finite
    }
    throw fault(key + " must be a finite number >= 0, but was '" + text + "'");
  }

  private TensorFileException fault(String fault) {
    return new TensorFileException(file.path(), fault);
  }
}
