// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.conformance;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.FittedAttention;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.TokenSlices;
import dev.crossover.attention.conformance.ReplayResult.Status;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/// Replays a golden file through a mechanism: parameters from the metadata, inputs by name, outputs
/// compared in double precision.
///
/// `out` and every extra result the mechanism declares are computed with one thread and with two,
/// which must agree bit for bit; so are gradients where the mechanism has a backward pass. Where
/// the mechanism decodes and the case is causal self-attention without padding, the sequence is
/// also fed token by token.
public final class Replay {
  private final GoldenFile file;
  private final MechanismType type;
  private final List<Comparison> comparisons = new ArrayList<>();
  private final List<String> skipped = new ArrayList<>();
  private String mechanism;
  private Tensors inputs = Tensors.NONE;

  private Replay(GoldenFile file, MechanismType type) {
    this.file = file;
    this.type = type;
    this.mechanism = type.name();
  }

  /// Replays a file.
  ///
  /// @param file the problem and its answer
  /// @param type the mechanism to ask; its golden name must be the file's
  public static ReplayResult run(GoldenFile file, MechanismType type) {
    return new Replay(file, type).run();
  }

  /// Whether a mechanism has every parameter and reads every input of a file.
  public static boolean covers(GoldenFile file, MechanismType type) {
    try {
      Attention attention = FittedAttention.of(type.createGolden(file.parameters()), file.given());
      List<String> read =
          attention.inputs(attention.shapeOf(file.inputs())).stream()
              .map(TensorSpec::name)
              .toList();
      return read.containsAll(file.inputs().names());
    } catch (IllegalArgumentException e) {
      return false;
    }
  }

  private ReplayResult run() {
    try {
      return verdict(replay());
    } catch (CannotReplay | IllegalArgumentException | UnsupportedOperationException e) {
      return result(Status.CANNOT_REPLAY, String.valueOf(e.getMessage()));
    }
  }

  private ReplayResult verdict(String fault) {
    for (Comparison comparison : comparisons) {
      if (!comparison.passed()) {
        return result(Status.DEVIATED, fault);
      }
    }
    return result(fault.isEmpty() ? Status.PASSED : Status.DEVIATED, fault);
  }

  private ReplayResult result(Status status, String detail) {
    String name = String.valueOf(file.path().getFileName());
    return new ReplayResult(name, mechanism, status, detail, comparisons, skipped);
  }

  /// Makes every comparison; returns a fault that is no deviation from the file, or an empty text.
  private String replay() {
    if (!type.goldenName().equals(file.mechanism())) {
      throw new CannotReplay(
          "mechanism must be " + type.goldenName() + ", but was " + file.mechanism());
    }
    Attention attention = FittedAttention.of(type.createGolden(file.parameters()), file.given());
    mechanism = type.describe(attention);
    AttentionShape shape = attention.shapeOf(file.inputs());
    List<String> taken = attention.inputs(shape).stream().map(TensorSpec::name).toList();
    inputs = file.inputs(taken);
    requireFloats(taken);
    requireKeyValueHeads(shape);
    requirePaddedRows(attention);
    requireExpectedShape("out", attention.outputShape(shape));

    Tensors one = computed(attention, shape, 1);
    for (int t = 0; t < one.size(); t++) {
      compare(one.name(t), one.name(t), comparable(attention, one.name(t), one.tensor(t)));
    }
    Tensors two = computed(attention, shape, 2);
    for (int t = 0; t < one.size(); t++) {
      if (!sameBits(one.tensor(t), two.tensor(t))) {
        return one.name(t) + " must have the same bits with two threads";
      }
    }
    decode(attention, shape);
    return gradients(attention, shape);
  }

  /// Compares the gradients where the mechanism has a backward pass; returns a fault like
  /// [#replay].
  private String gradients(Attention attention, AttentionShape shape) {
    if (!attention.capabilities().gradients()) {
      for (String name : file.gradients()) {
        skipped.add(name + ": " + attention.name() + " has no backward pass");
      }
      return "";
    }
    if (file.gradients().isEmpty()) {
      return "";
    }
    Tensors one = backward(attention, shape, 1);
    Tensors two = backward(attention, shape, 2);
    for (String name : file.gradients()) {
      compare(name, name, one.get(name));
    }
    String out = one.name(one.size() - 1);
    compare(out, "out", comparable(attention, "out", one.get(out)));
    for (int t = 0; t < one.size(); t++) {
      if (!sameBits(one.tensor(t), two.tensor(t))) {
        return one.name(t) + " must have the same bits with two threads";
      }
    }
    return "";
  }

  private Tensors backward(Attention attention, AttentionShape shape, int threads) {
    Tensors results = Tensors.NONE;
    Tensors upstream = Tensors.NONE;
    for (TensorSpec spec : attention.results(shape)) {
      String name = "grad_" + spec.name();
      if (file.upstream().has(name)) {
        results = results.with(spec.name(), unwritten(spec.shape().toArray()));
        upstream = upstream.with(name, file.upstream().get(name));
      }
    }
    if (upstream.size() != file.upstream().size()) {
      throw new CannotReplay(
          "upstream gradients must belong to results of the mechanism, but were "
              + file.upstream().names());
    }
    Tensors gradients = Tensors.NONE;
    for (String name : file.gradients()) {
      String input = name.substring("grad_".length());
      if (!inputs.has(input)) {
        throw new CannotReplay(name + " must belong to one of " + inputs.names());
      }
      gradients = gradients.with(name, unwritten(inputs.get(input).shape()));
    }
    Tensor out = unwritten(attention.outputShape(shape));
    DifferentiablePlan plan = attention.differentiable(shape, file.mask(), threads);
    plan.forward(inputs, out, results);
    plan.backward(file.outputGradient().orElseThrow(), upstream, gradients);
    return gradients.with("out of the differentiable plan", out);
  }

  /// Answers are doubles: an input that is one would be taken for information.
  private void requireFloats(List<String> taken) {
    for (String name : file.expected().keySet()) {
      if (taken.contains(name)) {
        throw new CannotReplay("input '" + name + "' must be F32, but was F64");
      }
    }
  }

  private void requireKeyValueHeads(AttentionShape shape) {
    if (file.keyValueHeads().isPresent()) {
      int written = file.keyValueHeads().getAsInt();
      if (written != shape.numKeyValueHeads()) {
        throw new CannotReplay(
            "kv_heads must be that of k (" + shape.numKeyValueHeads() + "), but was " + written);
      }
    } else if (inputs.has("q")
        && inputs.has("k")
        && inputs.get("q").rank() == 4
        && inputs.get("k").rank() == 4
        && inputs.get("q").extent(1) != inputs.get("k").extent(1)) {
      throw new CannotReplay("kv_heads must be written where k has other heads than q");
    }
  }

  /// Whether some key is padding; a mask of ones leaves nothing to say about padded rows.
  private boolean hidesKeys() {
    Mask mask = file.mask();
    boolean hides = false;
    for (int b = 0; mask.hasKeyPadding() && b < mask.padding().batchSize(); b++) {
      hides |= mask.padding().count(b) < mask.padding().keySeqLen();
    }
    return hides;
  }

  private void requirePaddedRows(Attention attention) {
    if (hidesKeys() && !file.zeroPaddedRows() && attention.capabilities().zeroesPaddedQueries()) {
      throw new CannotReplay(
          "padded_query_rows must be zero (the mechanism zeroes them), but was computed");
    }
  }

  private void requireExpectedShape(String name, int[] computed) {
    GoldenFile.Expected expected = file.answers(name) ? file.answer(name) : null;
    List<Long> shape = Arrays.stream(computed).asLongStream().boxed().toList();
    if (expected == null || !expected.shape().equals(shape)) {
      throw new CannotReplay(
          name
              + " must have shape "
              + shape
              + ", but has "
              + (expected == null ? "none" : expected.shape()));
    }
  }

  /// `out` and every expected extra result.
  private Tensors computed(Attention attention, AttentionShape shape, int threads) {
    Tensors results = Tensors.NONE;
    for (TensorSpec spec : attention.results(shape)) {
      if (file.answers(spec.name())) {
        requireExpectedShape(spec.name(), spec.shape().toArray());
        results = results.with(spec.name(), unwritten(spec.shape().toArray()));
      }
    }
    for (String name : file.expected().keySet()) {
      if (file.demands(name) && !name.equals("out") && !results.has(name)) {
        throw new CannotReplay(name + " must be among the mechanism's results");
      }
    }
    Tensor out = unwritten(attention.outputShape(shape));
    attention.plan(shape, file.mask(), threads).forward(inputs, out, results);
    Tensors all = Tensors.NONE.with("out", out);
    for (int t = 0; t < results.size(); t++) {
      all = all.with(results.name(t), results.tensor(t));
    }
    return all;
  }

  /// The output with padded rows zeroed where the file has them zero and the mechanism computes
  /// them.
  private Tensor comparable(Attention attention, String name, Tensor computed) {
    Mask mask = file.mask();
    if (!name.equals("out")
        || !hidesKeys()
        || !file.zeroPaddedRows()
        || attention.capabilities().zeroesPaddedQueries()) {
      return computed;
    }
    Tensor zeroed = computed.copy();
    int width = zeroed.extent(zeroed.rank() - 1);
    int rows = zeroed.extent(zeroed.rank() - 2);
    if (rows != mask.padding().keySeqLen()) {
      throw new CannotReplay("padded_query_rows must not be zero where nq and nk differ");
    }
    int rowsPerEntry = zeroed.size() / width / zeroed.extent(0);
    for (int row = 0; row < zeroed.size() / width; row++) {
      if (!mask.isRealKey(row / rowsPerEntry, row % rows)) {
        Arrays.fill(zeroed.data(), row * width, (row + 1) * width, 0);
      }
    }
    return zeroed;
  }

  private void compare(String label, String name, Tensor computed) {
    double[] values = file.answer(name).values();
    if (values.length != computed.size()) {
      comparisons.add(new Comparison(label, Double.POSITIVE_INFINITY, 0, Double.POSITIVE_INFINITY));
      return;
    }
    double deviation = 0;
    double allowed = values.length == 0 ? 0 : file.tolerance(name, values[0]);
    double share = 0;
    for (int e = 0; e < values.length; e++) {
      double difference = Math.abs(computed.data()[e] - values[e]);
      difference = Double.isNaN(difference) ? Double.POSITIVE_INFINITY : difference;
      double tolerance = file.tolerance(name, values[e]);
      deviation = Math.max(deviation, difference);
      double quotient = difference == 0 ? 0 : difference / tolerance;
      if (quotient > share) {
        share = quotient;
        allowed = tolerance;
      }
    }
    comparisons.add(new Comparison(label, deviation, allowed, share));
  }

  /// Feeds the tokens one by one and compares the outputs, where that is the same question: an
  /// option of every sequence that has no positions, an initial state, is not given to a session.
  private void decode(Attention attention, AttentionShape shape) {
    int n = shape.querySeqLen();
    if (!attention.capabilities().decoding()
        || !file.isPlainCausal()
        || n != shape.keySeqLen()
        || n == 0) {
      return;
    }
    if (attention.capabilities().can(Capabilities.Ability.CHOOSES_AHEAD)) {
      skipped.add("token by token: a session cannot choose with the help of later tokens");
      return;
    }
    for (TensorSpec spec : attention.inputs(shape)) {
      boolean belongsToStart =
          spec.role() == TensorSpec.Role.OPTIONAL
              && inputs.has(spec.name())
              && spec.has(Axis.BATCH)
              && !spec.has(Axis.QUERY, Axis.KEY);
      if (belongsToStart) {
        skipped.add("token by token: " + spec.name() + " is not given to a session");
        return;
      }
    }
    Tensor out = unwritten(attention.outputShape(shape));
    try {
      steps(attention, shape, out);
    } catch (IllegalArgumentException | UnsupportedOperationException refused) {
      skipped.add("token by token: " + refused.getMessage());
      return;
    }
    compare("out, token by token", "out", out);
  }

  private void steps(Attention attention, AttentionShape shape, Tensor out) {
    DecodeSession session = attention.decode(shape);
    TokenSlices tokens = new TokenSlices(attention, shape, inputs);
    Tensor row = unwritten(attention.outputShape(shape.withSeqLens(1, 1)));
    int width = out.extent(out.rank() - 1);
    int n = out.extent(out.rank() - 2);
    for (int t = 0; t < n; t++) {
      session.step(tokens.range(t, t + 1), row);
      for (int r = 0; r < row.size() / width; r++) {
        System.arraycopy(row.data(), r * width, out.data(), (r * n + t) * width, width);
      }
    }
  }

  private static Tensor unwritten(int[] shape) {
    Tensor tensor = Tensor.zeros(shape);
    Arrays.fill(tensor.data(), Float.NaN);
    return tensor;
  }

  private static boolean sameBits(Tensor a, Tensor b) {
    for (int e = 0; e < a.size(); e++) {
      if (Float.floatToRawIntBits(a.data()[e]) != Float.floatToRawIntBits(b.data()[e])) {
        return false;
      }
    }
    return true;
  }

  private static final class CannotReplay extends RuntimeException {
    private static final long serialVersionUID = 1;

    CannotReplay(String message) {
      super(message);
    }
  }
}
