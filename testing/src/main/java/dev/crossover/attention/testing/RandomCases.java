// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.conformance.GoldenFile;
import dev.crossover.attention.conformance.Replay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.DType;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileWriter;
import dev.crossover.attention.testing.ContractSubject.Reference;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.apache.commons.rng.UniformRandomProvider;

/// Seeded random problems for a mechanism, each compared with a double-precision expectation.
///
/// A test draws the settings; lengths, heads, widths, masks and optional inputs are drawn from what
/// the setting's capabilities allow. Every case is a stream of its own, so that one that fails can
/// be run alone.
///
/// ```java
/// RandomCases.check(100, 1, r -> r.problem(new Local(r.from(1, 9))), LocalTest::expected);
/// ```
///
/// The system property `cases.factor` multiplies the number of problems, for a search by hand.
public final class RandomCases {
  /// What conformance allows a float32 mechanism that states no error of its own: `2e-5 + 2e-5
  /// |value|`, the value being the largest of its row.
  public static final double TOLERANCE = 2e-5;

  private static final String FACTOR = "cases.factor";
  private static final int SHORT = 140;
  private static final int LONGEST = 1100;

  private final UniformRandomProvider generator;

  private final boolean thorough;

  RandomCases(long seed, boolean thorough) {
    generator = Draws.generator(seed);
    this.thorough = thorough;
  }

  /// One problem.
  ///
  /// @param attention a setting
  /// @param shape sizes within its capabilities
  /// @param mask a mask within its capabilities
  /// @param change what to change in the inputs that were drawn
  public record Problem(
      Attention attention, AttentionShape shape, Mask mask, UnaryOperator<Tensors> change) {

    /// The same problem with its inputs changed.
    public Problem changed(UnaryOperator<Tensors> newChange) {
      return new Problem(attention, shape, mask, newChange);
    }

    /// The same problem with another mask.
    public Problem masked(Mask newMask) {
      return new Problem(attention, shape, newMask, change);
    }
  }

  /// Compares a mechanism with an expectation on random problems, within [#TOLERANCE].
  ///
  /// @param count number of problems
  /// @param seed seed of all of them
  /// @param draw draws one problem
  /// @param expected the output, row-major; an empty array where there is no expectation
  public static void check(
      int count, long seed, Function<RandomCases, Problem> draw, Reference expected) {
    check(count, seed, TOLERANCE, draw, expected);
  }

  /// Compares a mechanism with an expectation on random problems.
  ///
  /// @param tolerance largest `|a − b| / (1 + largest |b| of the row)`
  public static void check(
      int count,
      long seed,
      double tolerance,
      Function<RandomCases, Problem> draw,
      Reference expected) {
    check(count, seed, false, tolerance, draw, expected);
  }

  /// As [#check], half of the problems as golden files that are replayed, some of the sequences
  /// beyond a thousand tokens, and some with zero and equal rows.
  ///
  /// @param count number of problems
  /// @param seed seed of all of them
  /// @param draw draws one problem
  /// @param expected the output, row-major
  public static void checkThoroughly(
      int count, long seed, Function<RandomCases, Problem> draw, Reference expected) {
    check(count, seed, true, TOLERANCE, draw, expected);
  }

  private static void check(
      int count,
      long seed,
      boolean thorough,
      double tolerance,
      Function<RandomCases, Problem> draw,
      Reference expected) {
    int factor = Integer.getInteger(FACTOR, 1);
    for (int i = 0; i < count * factor; i++) {
      long own = Draws.seedFor(seed, "case " + i);
      RandomCases random = new RandomCases(own, thorough);
      random.checkOne(own, "case " + i, tolerance, draw, expected);
    }
  }

  private void checkOne(
      long seed,
      String name,
      double tolerance,
      Function<RandomCases, Problem> draw,
      Reference expected) {
    Problem problem = draw.apply(this);
    Attention attention = problem.attention();
    AttentionShape shape = problem.shape();
    Mask mask = problem.mask();
    String what = name + ": " + attention + " on " + shape + ", mask " + mask;
    MechanismType type = MechanismType.of(attention.getClass());
    if (!attention.equals(type.create(type.parametersOf(attention)))) {
      throw new AssertionError(what + " must be what its parameters as text say");
    }
    Tensors inputs = problem.change().apply(inputs(attention, shape, seed));
    try {
      double[] wanted = expected.out(attention, shape, mask, inputs);
      boolean plain = chance(2);
      if (plain && thorough) {
        requireReplay(type, problem, inputs, wanted, tolerance, what);
        return;
      }
      Tensor out = Tensor.zeros(attention.outputShape(shape));
      Arrays.fill(out.data(), Float.NaN);
      Tensors poisoned = plain ? inputs : withHiddenNaN(shape, mask, inputs);
      attention.plan(shape, mask, from(1, 3)).forward(poisoned, out);
      requireClose(wanted, out, tolerance, what + ", inputs " + inputs);
    } catch (RuntimeException | IOException e) {
      throw new AssertionError(what, e);
    }
  }

  /// Writes the problem and its answer as a golden file and replays that: the parameters as text,
  /// one thread and two, and token by token where the mechanism decodes.
  private static void requireReplay(
      MechanismType type,
      Problem problem,
      Tensors inputs,
      double[] wanted,
      double tolerance,
      String what)
      throws IOException {
    Attention attention = problem.attention();
    AttentionShape shape = problem.shape();
    Mask mask = problem.mask();
    TensorFileWriter file = new TensorFileWriter();
    file.metadata("format", "2").metadata("mechanism", type.goldenName()).metadata("case", "drawn");
    file.metadata("source", "own").metadata("causal", Boolean.toString(mask.isCausal()));
    file.metadata("float32_error", Double.toString(tolerance / 4));
    double largest = Arrays.stream(wanted).map(Math::abs).max().orElse(0);
    file.metadata("max_abs_out", Double.toString(tolerance * largest * 1e6));
    if (mask.isCausal()) {
      int offset = mask.causalOffset(shape.querySeqLen(), shape.keySeqLen());
      file.metadata("causal_offset", Integer.toString(offset));
    }
    if (shape.groupSize() > 1) {
      file.metadata("kv_heads", Integer.toString(shape.numKeyValueHeads()));
    }
    if (mask.hasKeyPadding()) {
      int[] real = new int[shape.batchSize() * shape.keySeqLen()];
      for (int j = 0; j < real.length; j++) {
        real[j] = mask.isRealKey(j / shape.keySeqLen(), j % shape.keySeqLen()) ? 1 : 0;
      }
      boolean padded = Arrays.stream(real).anyMatch(j -> j == 0);
      boolean zero = attention.capabilities().zeroesPaddedQueries() && padded;
      file.metadata("padded_query_rows", zero ? "zero" : "computed");
      file.add("key_mask", DType.U8, real, shape.batchSize(), shape.keySeqLen());
    }
    type.goldenLevels().stream().findFirst().ifPresent(level -> file.metadata("level", level));
    type.parametersOf(attention).forEach((key, value) -> file.metadata(key, value));
    for (int t = 0; t < inputs.size(); t++) {
      file.add(inputs.name(t), inputs.tensor(t));
    }
    file.add("out", DType.F64, wanted, attention.outputShape(shape));
    Path path = Files.createTempFile("case", ".safetensors");
    try {
      file.writeSafeTensors(path);
      ReplayResult result = Replay.run(GoldenFile.read(path), type);
      if (!result.passed()) {
        throw new AssertionError(what + ": " + result.line());
      }
    } finally {
      Files.delete(path);
    }
  }

  /// A number from `low` to `high`, both included.
  public int from(int low, int high) {
    return low + generator.nextInt(high - low + 1);
  }

  /// A real number from `low` to `high`.
  public double between(double low, double high) {
    return low + (high - low) * generator.nextDouble();
  }

  /// True once in so many times.
  public boolean chance(int times) {
    return generator.nextInt(times) == 0;
  }

  /// One of some values.
  @SafeVarargs
  public final <T> T of(T... values) {
    return values[generator.nextInt(values.length)];
  }

  /// `count` values, each drawn.
  public <T> List<T> list(int count, Function<RandomCases, T> one) {
    List<T> list = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      list.add(one.apply(this));
    }
    return list;
  }

  /// A length: often 1 to 3, sometimes beyond a few tiles, otherwise up to 40.
  public int length() {
    return switch (from(0, 11)) {
      case 0, 1 -> from(1, 3);
      case 2 -> from(60, SHORT);
      default -> from(1, 40);
    };
  }

  /// A shape within the capabilities: up to three batch entries and key/value heads, shared ones,
  /// different lengths and widths where the mechanism takes them.
  public AttentionShape shape(Attention attention) {
    Capabilities can = attention.capabilities();
    int keyValueHeads = from(1, 3);
    int group = can.groupedQueries() && chance(3) ? from(2, 3) : 1;
    int n = length();
    int nk = can.crossAttention() && chance(2) ? length() : n;
    int d = from(1, 12);
    AttentionShape shape =
        new AttentionShape(
            from(1, 3),
            keyValueHeads * group,
            keyValueHeads,
            n,
            nk,
            d,
            can.keyDim() && chance(2) ? from(1, 12) : d,
            can.valueDim() && chance(2) ? from(1, 12) : d);
    return thorough && chance(24) ? longer(shape) : shape;
  }

  /// One batch entry and one key/value head, beyond a few hundred tokens.
  private AttentionShape longer(AttentionShape s) {
    int n = from(SHORT, LONGEST);
    int nk = s.querySeqLen() == s.keySeqLen() ? n : from(SHORT, LONGEST);
    return new AttentionShape(1, s.groupSize(), 1, n, nk, s.headDim(), s.keyDim(), s.valueDim());
  }

  /// A mask within the capabilities: order aligned, padding at the end, on the left or with holes,
  /// batch entries without a real key among them.
  public Mask mask(Attention attention, AttentionShape shape) {
    Capabilities can = attention.capabilities();
    boolean causal =
        can.causal() == Causality.ALWAYS || (can.causal() == Causality.OPTIONAL && chance(2));
    Mask order = causal ? Mask.causal() : Mask.none();
    if (can.keyPadding() == Padding.NONE || chance(2)) {
      return order;
    }
    Mask.KeyPadding padding =
        can.keyPadding() == Padding.AT_END || chance(2) ? atEnd(shape) : anywhere(shape);
    return causal ? Mask.both(Mask.causal(), padding) : padding;
  }

  private Mask.KeyPadding atEnd(AttentionShape shape) {
    int[] lengths = new int[shape.batchSize()];
    for (int b = 0; b < lengths.length; b++) {
      lengths[b] = from(chance(8) ? 0 : 1, shape.keySeqLen());
    }
    return Mask.lengths(shape.keySeqLen(), lengths);
  }

  private Mask.KeyPadding anywhere(AttentionShape shape) {
    int nk = shape.keySeqLen();
    boolean[] real = new boolean[shape.batchSize() * nk];
    for (int b = 0; b < shape.batchSize(); b++) {
      int left = chance(2) ? from(0, nk) : 0;
      int hole = from(2, 6);
      for (int j = left; j < nk; j++) {
        real[b * nk + j] = !chance(hole);
      }
    }
    return Mask.keys(nk, real);
  }

  /// A problem with a shape and a mask of its own.
  public Problem problem(Attention attention) {
    return problem(attention, shape(attention));
  }

  /// A problem with a mask of its own.
  public Problem problem(Attention attention, AttentionShape shape) {
    return new Problem(attention, shape, mask(attention, shape), UnaryOperator.identity());
  }

  /// Standard normal numbers added to some of the inputs: for parameters whose usual start is a
  /// constant.
  public Tensors blurred(Tensors inputs, String... names) {
    Tensors result = inputs;
    for (String name : names) {
      if (inputs.has(name)) {
        Tensor sum = inputs.get(name).copy();
        Tensor noise = Draws.gaussian(generator.nextLong(), sum.shape());
        for (int e = 0; e < sum.size(); e++) {
          sum.data()[e] += noise.data()[e];
        }
        result = result.with(name, sum);
      }
    }
    return result;
  }

  Tensors inputs(Attention attention, AttentionShape shape, long seed) {
    List<String> on =
        attention.inputs(shape).stream()
            .filter(spec -> spec.role() == TensorSpec.Role.OPTIONAL)
            .map(TensorSpec::name)
            .filter(name -> chance(2))
            .toList();
    Tensors drawn = Inputs.withParameters(attention, shape, Inputs.of(attention, shape, seed, on));
    return thorough && chance(6) ? withZeroAndEqualRows(drawn) : drawn;
  }

  /// Some rows of queries, keys and values made zero, some equal to the row before.
  private Tensors withZeroAndEqualRows(Tensors inputs) {
    Tensors result = inputs;
    for (String name : List.of("q", "k", "v", "qk", "x")) {
      if (inputs.has(name)) {
        Tensor tensor = inputs.get(name).copy();
        int width = tensor.extent(tensor.rank() - 1);
        for (int row = width; row < tensor.size(); row += width) {
          if (chance(5)) {
            Arrays.fill(tensor.data(), row, row + width, 0);
          } else if (chance(5)) {
            System.arraycopy(tensor.data(), row - width, tensor.data(), row, width);
          }
        }
        result = result.with(name, tensor);
      }
    }
    return result;
  }

  /// NaN in the rows of k and v that padding hides.
  private static Tensors withHiddenNaN(AttentionShape shape, Mask mask, Tensors inputs) {
    Tensors result = inputs;
    for (String name : List.of("k", "v")) {
      if (mask.hasKeyPadding() && inputs.has(name)) {
        Tensor tensor = inputs.get(name).copy();
        int width = tensor.extent(3);
        int rowsPerKey = Math.max(1, tensor.extent(2) / Math.max(1, shape.keySeqLen()));
        for (int row = 0; row < tensor.size() / width; row++) {
          int key = row / rowsPerKey;
          int batch = key / shape.keySeqLen() / tensor.extent(1);
          if (!mask.isRealKey(batch, key % shape.keySeqLen())) {
            Arrays.fill(tensor.data(), row * width, (row + 1) * width, Float.NaN);
          }
        }
        result = result.with(name, tensor);
      }
    }
    return result;
  }

  private static void requireClose(
      double[] expected, Tensor actual, double tolerance, String what) {
    if (expected.length == 0) {
      return;
    }
    if (expected.length != actual.size()) {
      throw new AssertionError(
          what + " must have " + expected.length + " elements, but had " + actual.size());
    }
    int width = actual.extent(actual.rank() - 1);
    for (int row = 0; row < expected.length; row += width) {
      double largest = 0;
      for (int c = row; c < row + width; c++) {
        largest = Math.max(largest, Math.abs(expected[c]));
      }
      for (int c = row; c < row + width; c++) {
        if (!(Math.abs(expected[c] - actual.data()[c]) <= tolerance * (1 + largest))) {
          throw new AssertionError(
              what + " [" + c + "] must be " + expected[c] + ", but was " + actual.data()[c]);
        }
      }
    }
  }
}
