// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Cost;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ErrorStudy;
import dev.crossover.bench.error.ExactRows;
import dev.crossover.bench.input.AttentionRows;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.models.layer.LayerCatalogue;
import dev.crossover.models.layer.MultiHeadLayer;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/// A point made concrete: the mechanism, the sizes its input gives, and the mask it can honour.
///
/// @param point what was asked for
/// @param type the mechanism's description; of a layer, that of the mechanism inside
/// @param attention the mechanism
/// @param shape sizes
/// @param mask the mask in force
/// @param input where tensors come from
public record Problem(
    Point point,
    MechanismType type,
    Attention attention,
    AttentionShape shape,
    Mask mask,
    InputSource input) {
  private static final int DEFAULT_DIM = 64;
  private static final int DEFAULT_HEADS = 2;
  private static final int DECODED_TOKENS = 32;
  private static final double FLOPS_OF_RECOMPUTED_TOKENS = 20e9;
  private static final long JVM_BYTES = 128L << 20;

  /// Makes a point concrete.
  ///
  /// @throws IllegalArgumentException if the mechanism, input or sizes are unknown or do not fit,
  ///     one line
  /// @throws IOException if a file cannot be read
  public static Problem of(Point point) throws IOException {
    return of(point, InputSource.parse(point.input()));
  }

  /// Makes a point concrete with a source that was made from its label before.
  ///
  /// @throws IllegalArgumentException if the mechanism or sizes are unknown or do not fit, one line
  /// @throws IOException if a file cannot be read
  public static Problem of(Point point, InputSource input) throws IOException {
    Attention attention = LayerCatalogue.parse(point.spec());
    AttentionShape wish =
        AttentionShape.of(
            Math.max(1, point.batch()),
            point.heads() == 0 ? DEFAULT_HEADS : point.heads(),
            point.n(),
            point.dim() == 0 ? DEFAULT_DIM : point.dim());
    AttentionShape shape = input.shapeFor(wish);
    requireAsked("batch", point.batch(), shape.batchSize(), input);
    requireAsked("heads", point.heads(), shape.numHeads(), input);
    requireAsked("dim", point.dim(), shape.headDim(), input);
    Problem problem =
        new Problem(
            point,
            LayerCatalogue.typeOf(attention),
            attention,
            shape,
            maskFor(attention, point.mask()),
            input);
    try {
      if (problem.cost().scratchBytes() < 0 || problem.heapBytes() < 0) {
        throw new ArithmeticException("bytes exceed 2^63");
      }
    } catch (ArithmeticException e) {
      throw shape.tooLarge(point.spec(), e);
    }
    return problem;
  }

  /// A size that was asked for must be the one that will be measured.
  private static void requireAsked(String name, int asked, int own, InputSource input) {
    if (asked != 0 && asked != own) {
      throw new IllegalArgumentException(
          name
              + " must be that of input "
              + input.label()
              + " ("
              + own
              + ") or absent, but was "
              + asked);
    }
  }

  /// The tensors the mechanism reads, drawn or loaded afresh.
  public Tensors load() throws IOException {
    return attention.adapt(shape, input.load(shape, point.seed()), point.seed());
  }

  /// Work and memory of one forward pass.
  public Cost cost() {
    return attention.cost(shape, mask, point.threads());
  }

  /// Tokens that one measurement of decoding times: [#DECODED_TOKENS], fewer where the context is
  /// shorter or each token computes the whole prefix anew.
  public int decodedTokens() {
    int most = Math.min(DECODED_TOKENS, shape.keySeqLen());
    if (attention instanceof Materialised) {
      double affordable = FLOPS_OF_RECOMPUTED_TOKENS / cost().flops();
      return (int) Math.clamp(affordable, Math.min(2, most), most);
    }
    return most;
  }

  /// Work and memory of one backward pass.
  ///
  /// @throws UnsupportedOperationException if the mechanism has no gradients, by name
  private GradientCost gradientCost() {
    return attention.gradientCost(shape, mask, point.threads());
  }

  /// Whether both passes are timed, and can be.
  private boolean trains() {
    return point.study().kind().differentiates() && attention.capabilities().gradients();
  }

  /// Counted operations of what is timed, see [dev.crossover.bench.study.StudyKind#flops].
  double callFlops() {
    double backward = trains() ? gradientCost().flops() : 0;
    return point.study().kind().flops(attention, shape.querySeqLen(), cost().flops(), backward);
  }

  /// Counted bytes that what is timed moves at least once: those of the forward pass and, when
  /// training, what is kept, twice, the tensors again, and their gradients.
  double callBytes() {
    double forward = cost().bytesMoved();
    return trains()
        ? forward + 2 * Cost.tensorBytes(shape) + 2.0 * gradientCost().keptBytes()
        : forward;
  }

  /// Why the mechanism cannot run this point at all, or an empty text.
  public String refusal() {
    return point.study().kind().refusal(point.spec(), attention);
  }

  /// Bytes of heap a process needs to run this point: tensors, scratch, parameters, and the exact
  /// output it is compared with.
  public long heapBytes() {
    double tensors = 2 * Cost.tensorBytes(shape) + 2.0 * Float.BYTES * outputSize();
    double parameters = 0;
    for (TensorSpec spec : attention.inputs(shape)) {
      if (spec.role() == TensorSpec.Role.OPTIONAL) {
        continue; // sweeps leave options off
      }
      double size = 1;
      for (int extent : spec.shape().sizes()) {
        size *= extent;
      }
      parameters += size * Float.BYTES;
    }
    Attention exactly = isLayer() ? new MultiHeadLayer(new Tiled()) : new Tiled();
    double exact = exactly.cost(shape, mask, point.threads()).scratchBytes();
    if (isLayer()) {
      exact += 3 * Cost.tensorBytes(shape); // x, the copies of the target, the exact heads
    }
    double file = 0;
    try {
      file = input.maxSeqLen() == Integer.MAX_VALUE ? 0 : 2 * fileBytes();
    } catch (IOException e) {
      // the fork will find the same fault and say so
    }
    double all = tensors + parameters + exact + cost().scratchBytes() + file;
    if (trains()) {
      GradientCost both = gradientCost();
      all += tensors + parameters + both.keptBytes() + both.scratchBytes();
      all += 3 * Cost.tensorBytes(shape); // exact gradients in double precision
    }
    return JVM_BYTES + (long) (1.15 * all);
  }

  /// Whether this is a multi-head layer around a mechanism.
  public boolean isLayer() {
    return attention instanceof MultiHeadLayer;
  }

  /// Error of an output against exact attention in double precision on the mechanism's own inputs,
  /// at the positions of [ExactRows]; of a layer, against the same projections around it.
  ///
  /// @param inputs as [#load] gives them
  /// @param output what the mechanism gave
  /// @return nothing for a mechanism that approximates nothing, or whose output is of another shape
  public @Nullable ErrorNorms error(Tensors inputs, Tensor output) {
    if (type.mechanism().approximates() == Approximates.NONE) {
      return null;
    }
    int[] positions = ExactRows.positions(shape);
    if (attention instanceof MultiHeadLayer(Attention core)) {
      Tensor exact = ExactLayer.output(core, this, inputs, positions);
      return ErrorStudy.compare(asOneHead(output), ExactRows.of(asOneHead(exact), positions));
    }
    ExactTarget target = attention.exactTarget(shape, mask, inputs);
    AttentionShape of = target.shape();
    return output.hasShape(of.batchSize(), of.numHeads(), of.querySeqLen(), of.valueDim())
        ? ErrorStudy.compare(output, ExactRows.of(target, positions, point.threads()))
        : null;
  }

  /// Whether decoding has an error of its own, because it runs over a cache that rounds or drops.
  /// For others it is that of the forward pass; of layers it is not measured.
  public boolean hasDecodedError() {
    return LayerCatalogue.changesOutputs(attention)
        && !isLayer()
        && type.mechanism().approximates() != Approximates.NONE;
  }

  /// Error of decoded tokens against exact attention in double precision on the same tensors.
  ///
  /// @param inputs as [#load] gives them
  /// @param output `[batch, heads, n, valueDim]`, of which only some positions have been decoded
  /// @param positions those, ascending
  public ErrorNorms decodedError(Tensors inputs, Tensor output, int[] positions) {
    ExactTarget target = attention.exactTarget(shape, mask, inputs);
    return ErrorStudy.compare(output, ExactRows.of(target, positions, point.threads()));
  }

  /// A layer's output `[batch, n, width]` as that of one wide head.
  private static Tensor asOneHead(Tensor output) {
    return Tensor.of(output.data(), output.extent(0), 1, output.extent(1), output.extent(2));
  }

  /// How peaked exact attention is on this problem's input; of a layer, behind its projections.
  public AttentionRows attentionRows() throws IOException {
    Tensors qkv = input.load(shape, point.seed());
    return AttentionRows.of(
        isLayer() ? ExactLayer.target(this, qkv) : new Tiled().exactTarget(shape, mask, qkv));
  }

  private double outputSize() {
    double size = 1;
    for (int extent : attention.outputShape(shape)) {
      size *= extent;
    }
    return size;
  }

  private double fileBytes() throws IOException {
    return Cost.tensorBytes(shape.withSeqLens(input.maxSeqLen(), input.maxSeqLen()));
  }

  private static Mask maskFor(Attention attention, String wished) {
    boolean causal =
        switch (attention.capabilities().causal()) {
          case Causality.NEVER -> false;
          case Causality.ALWAYS -> true;
          case Causality.OPTIONAL -> wished.equals("causal");
        };
    return causal ? Mask.causal() : Mask.none();
  }

  /// A fresh output tensor.
  public Tensor newOutput() {
    return Tensor.zeros(attention.outputShape(shape));
  }
}
