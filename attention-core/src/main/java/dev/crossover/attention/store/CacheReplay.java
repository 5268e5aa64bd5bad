// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.conformance.Comparison;
import dev.crossover.attention.conformance.GoldenReplay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.conformance.ReplayResult.Status;
import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/// Replays golden files of compressed and of quantised caches: `kv_compression__` (outputs and kept
/// positions of every step) and `quantised_cache__` (outputs, codes and restored numbers).
public final class CacheReplay implements GoldenReplay {
  private static final String COMPRESSION = "kv_compression";
  private static final Set<String> COMMON =
      Set.of(
          "format",
          "mechanism",
          "case",
          "causal",
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
          "decision_margin",
          "seed");
  private static final Set<String> DECODING = Set.of("policy", "prefix_length", "decode_interval");
  private static final Set<String> ROTATION = Set.of("rope", "rope_base", "rope_dim");

  @Override
  public List<String> prefixes() {
    return List.of(COMPRESSION + "__", "quantised_cache__");
  }

  @Override
  public ReplayResult replay(Path path) {
    String name = String.valueOf(path.getFileName());
    String mechanism = name.substring(0, name.indexOf("__"));
    try {
      Problem problem = new Problem(SafeTensors.open(path));
      require(
          problem.text("mechanism", "").equals(mechanism),
          "mechanism must be " + mechanism + ", but was " + problem.text("mechanism", "none"));
      List<Comparison> comparisons =
          mechanism.equals(COMPRESSION) ? compressed(problem) : quantised(problem);
      boolean passed = comparisons.stream().allMatch(Comparison::passed);
      Status status = passed ? Status.PASSED : Status.DEVIATED;
      return new ReplayResult(name, problem.described(), status, "", comparisons, List.of());
    } catch (TensorFileException | IllegalArgumentException | UnsupportedOperationException e) {
      String reason = String.valueOf(e.getMessage());
      return new ReplayResult(name, mechanism, Status.CANNOT_REPLAY, reason, List.of(), List.of());
    }
  }

  private static void require(boolean holds, String message) {
    if (!holds) {
      throw new IllegalArgumentException(message);
    }
  }

  /// A file's problem.
  private static final class Problem {
    private final SafeTensors file;
    private final Map<String, String> metadata;
    private final Map<String, String> parameters = new HashMap<>();
    private final Tensor q;
    private final Tensor k;
    private final Tensor v;
    private final AttentionShape shape;
    private final int n;

    Problem(SafeTensors file) throws TensorFileException {
      this.file = file;
      metadata = file.metadata();
      require(
          text("format", "none").equals("2"), "format must be 2, but was " + text("format", ""));
      require(
          text("causal", "false").equals("true"),
          "causal must be true, but was " + text("causal", "absent"));
      metadata.forEach(
          (key, value) -> {
            if (!COMMON.contains(key) && !CHECKS.contains(key)) {
              parameters.put(key, value);
            }
          });
      q = file.tensor("q");
      k = file.tensor("k");
      v = file.tensor("v");
      n = q.extent(2);
      require(k.extent(2) == n, "k must have the length of q (" + n + "), but was " + k);
      shape =
          new AttentionShape(
              q.extent(0), q.extent(1), k.extent(1), n, n, q.extent(3), k.extent(3), v.extent(3));
    }

    String text(String key, String absent) {
      return metadata.getOrDefault(key, absent);
    }

    int integer(String key, int absent) {
      String text = metadata.get(key);
      try {
        return text == null ? absent : Integer.parseInt(text);
      } catch (NumberFormatException e) {
        throw new IllegalArgumentException(key + " must be an integer, but was " + text, e);
      }
    }

    double number(String key, double absent) {
      String text = metadata.get(key);
      try {
        return text == null ? absent : Double.parseDouble(text);
      } catch (NumberFormatException e) {
        throw new IllegalArgumentException(key + " must be a number, but was " + text, e);
      }
    }

    String described() {
      return text("mechanism", "") + ":" + new TreeMap<>(parameters);
    }

    /// `out` beside what was computed.
    Comparison output(float[] computed) throws TensorFileException {
      double[] expected = file.doubles("out");
      double largest = Arrays.stream(expected).map(Math::abs).max().orElse(0);
      double bound = number("float32_error", -1);
      double allowed = 4 * bound + 1e-6 * largest;
      double deviation = 0;
      double share = 0;
      for (int i = 0; i < expected.length; i++) {
        double difference = Math.abs(computed[i] - expected[i]);
        difference = Double.isNaN(difference) ? Double.POSITIVE_INFINITY : difference;
        double here = bound < 0 ? 2e-5 + 2e-5 * Math.abs(expected[i]) : allowed;
        deviation = Math.max(deviation, difference);
        share = difference == 0 ? share : Math.max(share, difference / here);
      }
      return new Comparison("out", deviation, allowed, share);
    }

    /// Number of elements that differ, of which none may.
    private static Comparison exact(String name, long different) {
      return new Comparison(name, different, 0, different == 0 ? 0 : Double.POSITIVE_INFINITY);
    }
  }

  private static List<Comparison> compressed(Problem problem) throws TensorFileException {
    Map<String, String> parameters = new HashMap<>(problem.parameters);
    parameters.keySet().removeAll(DECODING);
    String name = problem.text("policy", "");
    RecordType<CachePolicy> type = CachePolicies.type(name);
    Set<String> own =
        type.parameters().stream().map(RecordType.ParameterInfo::name).collect(Collectors.toSet());
    parameters.keySet().removeIf(key -> ROTATION.contains(key) && !own.contains(key));
    CachePolicy policy = type.createGolden(parameters);
    AttentionShape shape = problem.shape;
    int n = problem.n;
    int prompt = problem.integer("prefix_length", 0);
    require(
        prompt >= 1 && prompt <= n,
        "prefix_length must be from 1 to n (" + n + "), but was " + prompt);
    float[] q = rotated(problem, problem.q);
    float[] k = rotated(problem, problem.k);
    CompressedDecoder decoder =
        new CompressedDecoder(policy, problem.integer("decode_interval", 0), Storage.F32, shape, 1);
    float[] out = new float[shape.problems() * n * shape.valueDim()];
    Arrays.fill(out, Float.NaN);
    int queries = shape.batchSize() * shape.numHeads();
    int keyHeads = shape.batchSize() * shape.numKeyValueHeads();
    int d = shape.headDim();
    int dv = shape.valueDim();
    float[] outputs = new float[queries * prompt * dv];
    decoder.prefill(
        rows(q, queries, n, d, 0, prompt),
        rows(k, keyHeads, n, d, 0, prompt),
        rows(problem.v.data(), keyHeads, n, dv, 0, prompt),
        rows(problem.q.data(), queries, n, d, 0, prompt),
        prompt,
        outputs);
    place(outputs, queries, prompt, dv, 0, out, n);
    long different = 0;
    double[] kept = problem.file.doubles("kept");
    long[] shapeOfKept = problem.file.shape("kept");
    int width = Math.toIntExact(shapeOfKept[3]);
    int lists = Math.toIntExact(shapeOfKept[1]);
    boolean perQuery = policy.paging() != null;
    require(
        lists == (perQuery ? shape.numHeads() : shape.numKeyValueHeads()),
        "kept must have one list per head, but has " + lists);
    for (int t = prompt; t < n; t++) {
      float[] one = new float[queries * dv];
      decoder.step(
          rows(q, queries, n, d, t, 1),
          rows(k, keyHeads, n, d, t, 1),
          rows(problem.v.data(), keyHeads, n, dv, t, 1),
          one);
      place(one, queries, 1, dv, t, out, n);
      for (int list = 0; list < shape.batchSize() * lists; list++) {
        int at = (list * (n - prompt) + t - prompt) * width;
        Set<Integer> expected = new HashSet<>();
        for (int s = 0; s < width && kept[at + s] >= 0; s++) {
          expected.add((int) kept[at + s]);
        }
        int first = perQuery ? list : list * shape.groupSize();
        Set<Integer> found = new HashSet<>();
        for (int position : decoder.attended(first)) {
          found.add(position);
        }
        different += expected.equals(found) ? 0 : 1;
      }
    }
    return List.of(problem.output(out), Problem.exact("kept", different));
  }

  /// Some rows of every head.
  private static float[] rows(float[] from, int heads, int n, int width, int first, int count) {
    float[] rows = new float[heads * count * width];
    for (int h = 0; h < heads; h++) {
      System.arraycopy(from, (h * n + first) * width, rows, h * count * width, count * width);
    }
    return rows;
  }

  private static void place(
      float[] rows, int heads, int count, int width, int first, float[] out, int n) {
    for (int h = 0; h < heads; h++) {
      System.arraycopy(rows, h * count * width, out, (h * n + first) * width, count * width);
    }
  }

  /// Rows rotated at their positions, as the file's `rope` says; angles in double.
  private static float[] rotated(Problem problem, Tensor rows) {
    String form = problem.text("rope", "none");
    float[] data = rows.data().clone();
    if (form.equals("none")) {
      return data;
    }
    ExpectedAttention.Rope rope =
        switch (form) {
          case "half", "interleaved" ->
              ExpectedAttention.Rope.valueOf(form.toUpperCase(Locale.ROOT));
          default ->
              throw new IllegalArgumentException(
                  "rope must be none, half or interleaved, but was " + form);
        };
    int d = rows.extent(3);
    int n = rows.extent(2);
    int rotated = problem.integer("rope_dim", d);
    double base = problem.number("rope_base", 10000);
    for (int r = 0; r < data.length / d; r++) {
      for (int a = 0; a < rotated / 2; a++) {
        double angle = r % n * Math.pow(base, -2.0 * a / rotated);
        int u = r * d + rope.first(a);
        int w = r * d + rope.second(a, rotated);
        double x = data[u];
        double y = data[w];
        data[u] = (float) (x * Math.cos(angle) - y * Math.sin(angle));
        data[w] = (float) (y * Math.cos(angle) + x * Math.sin(angle));
      }
    }
    return data;
  }

  private static List<Comparison> quantised(Problem problem) throws TensorFileException {
    Set<String> known = new HashSet<>(problem.parameters.keySet());
    known.removeAll(Set.of("storage", "prefix_length", "bits", "group_size", "residual_length"));
    require(known.isEmpty(), "parameter must be known, but was " + known);
    Storage storage = storage(problem);
    AttentionShape shape = problem.shape;
    int n = problem.n;
    int prompt = problem.integer("prefix_length", 0);
    KeyValueStore exact = new KeyValueStore(Storage.F32, shape);
    KeyValueStore store = new KeyValueStore(storage, shape);
    StoredAttention attention =
        new StoredAttention(new Scratch(), shape.groupSize(), shape.headDim(), shape.valueDim());
    boolean[] hidden = hidden(problem);
    float[] out = new float[shape.problems() * n * shape.valueDim()];
    Arrays.fill(out, Float.NaN);
    int heads = store.heads();
    int group = shape.groupSize();
    int d = shape.headDim();
    int dv = shape.valueDim();
    float[] query = new float[group * d];
    float[] answer = new float[group * dv];
    for (int t = 0; t < n; t++) {
      exact.append(problem.k.data(), problem.v.data(), t, 1, n);
      store.append(problem.k.data(), problem.v.data(), t, 1, n);
      for (int h = 0; h < heads; h++) {
        for (int m = 0; m < group; m++) {
          System.arraycopy(problem.q.data(), ((h * group + m) * n + t) * d, query, m * d, d);
        }
        attention.begin(query, 0, group, (float) (1 / Math.sqrt(d)));
        int batch = h / shape.numKeyValueHeads();
        attention.attend(t < prompt ? exact : store, h, 0, t + 1, hidden, batch * n);
        attention.finish(answer, 0);
        for (int m = 0; m < group; m++) {
          System.arraycopy(answer, m * dv, out, ((h * group + m) * n + t) * dv, dv);
        }
      }
    }
    store.settle();
    List<Comparison> comparisons = new ArrayList<>();
    comparisons.add(problem.output(out));
    compareStored(problem, store, comparisons);
    return comparisons;
  }

  private static void compareStored(
      Problem problem, KeyValueStore store, List<Comparison> comparisons)
      throws TensorFileException {
    for (boolean keys : new boolean[] {true, false}) {
      String name = keys ? "key" : "value";
      int width = keys ? store.dim() : store.valueDim();
      int n = problem.n;
      double[] restored = problem.file.doubles(name + "_dequantised");
      double[] codes = problem.file.doubles(name + "_codes");
      float[] row = new float[width];
      long wrongCodes = 0;
      long wrongNumbers = 0;
      for (int at = 0; at < store.heads() * n; at++) {
        int head = at / n;
        int place = at % n;
        if (keys) {
          store.readKeys(head, place, place + 1, row, 0);
        } else {
          store.readValues(head, place, place + 1, row, 0);
        }
        for (int c = 0; c < width; c++) {
          int code = keys ? store.keyCode(head, place, c) : store.valueCode(head, place, c);
          wrongCodes += code == (int) codes[at * width + c] ? 0 : 1;
          wrongNumbers += row[c] == restored[at * width + c] ? 0 : 1;
        }
      }
      comparisons.add(Problem.exact(name + "_codes", wrongCodes));
      comparisons.add(Problem.exact(name + "_dequantised", wrongNumbers));
    }
  }

  private static Storage storage(Problem problem) {
    String storage = problem.text("storage", "none");
    return switch (storage) {
      case "fp16" -> Storage.F16;
      case "bf16" -> Storage.BF16;
      case "int8_row" -> Storage.INT8_ROW;
      case "grouped" ->
          Storage.grouped(
              problem.integer("bits", 0),
              problem.integer("group_size", 0),
              problem.integer("residual_length", 0));
      default ->
          throw new IllegalArgumentException(
              "storage must be one of [fp16, bf16, int8_row, grouped], but was " + storage);
    };
  }

  private static boolean[] hidden(Problem problem) throws TensorFileException {
    boolean[] hidden = new boolean[problem.shape.batchSize() * problem.n];
    if (problem.file.contains("key_mask")) {
      double[] mask = problem.file.doubles("key_mask");
      for (int i = 0; i < mask.length; i++) {
        hidden[i] = mask[i] == 0;
      }
    }
    return hidden;
  }
}
