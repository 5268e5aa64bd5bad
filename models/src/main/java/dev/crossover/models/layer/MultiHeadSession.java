// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.InputBinding;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.TensorSpec.Role;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// Decoding through a [MultiHeadLayer]: rows of one token are `[batch, heads, 1, dim]` as they come
/// out of a projection.
final class MultiHeadSession implements DecodeSession {
  private final Kernels kernels = Kernels.get();
  private final MultiHeadLayer layer;
  private final AttentionShape shape;
  private final DecodeSession inner;
  private final int width;
  private final InputBinding oneToken;
  private final Tensors oneMade;
  private final Tensor heads;
  private final CoreParameters parameters;
  private final float[] pack;
  private final Function<String, float @Nullable []> lookUp = this::given;
  private InputBinding bound;

  MultiHeadSession(MultiHeadLayer layer, AttentionShape shape, int threads) {
    this.layer = layer;
    this.shape = shape;
    inner = layer.core().decode(shape, threads);
    width = MultiHeadLayer.modelDim(shape);
    AttentionShape one = shape.withSeqLens(1, 1);
    oneToken = new InputBinding(layer, one);
    bound = oneToken;
    oneMade = made(one);
    heads = Tensor.zeros(shape.batchSize(), shape.numHeads(), 1, shape.valueDim());
    parameters = new CoreParameters(layer.coreParameters(one));
    pack = new float[MultiHeadLayer.packFloats(shape)];
  }

  /// Places for what the mechanism reads of some tokens.
  private Tensors made(AttentionShape s) {
    Tensors places = Tensors.NONE;
    for (TensorSpec spec : layer.core().inputs(s)) {
      if (spec.role() == Role.INPUT) {
        places = places.with(spec.name(), Tensor.zeros(spec.shape().toArray()));
      }
    }
    return places;
  }

  @Override
  public void step(Tensors inputs, Tensor output) {
    if (!output.hasShape(shape.batchSize(), 1, width)) {
      throw new IllegalArgumentException(
          layer.name()
              + ": output must have shape ["
              + shape.batchSize()
              + ", 1, "
              + width
              + "], but was "
              + output);
    }
    oneToken.bind(inputs);
    bound = oneToken;
    project(oneMade, 1);
    inner.step(parameters.with(oneMade, lookUp), heads);
    int dv = shape.numHeads() * shape.valueDim();
    kernels.multiplyTransposedB(
        shape.batchSize(),
        width,
        dv,
        heads.data(),
        0,
        dv,
        bound.get("output_weight"),
        0,
        dv,
        output.data(),
        0,
        width,
        false,
        pack,
        0);
  }

  @Override
  public void prefill(Tensors inputs) {
    int tokens = inputs.get("x").extent(1);
    AttentionShape some = shape.withSeqLens(tokens, tokens);
    bound = new InputBinding(layer, some);
    bound.bind(inputs);
    Tensors places = made(some);
    project(places, tokens);
    inner.prefill(parameters.with(places, lookUp));
  }

  private float @Nullable [] given(String name) {
    return bound.has(name) ? bound.get(name) : null;
  }

  private void project(Tensors places, int tokens) {
    for (int i = 0; i < places.size(); i++) {
      Tensor target = places.tensor(i);
      switch (places.name(i)) {
        case "q", "qk" -> rows("query_weight", target, tokens);
        case "k" -> rows("key_weight", target, tokens);
        case "v" -> rows("value_weight", target, tokens);
        default -> {
          float[] given = bound.get(places.name(i));
          System.arraycopy(given, 0, target.data(), 0, given.length);
        }
      }
    }
  }

  private void rows(String weight, Tensor target, int tokens) {
    int count = target.extent(1);
    int dim = target.extent(3);
    for (int problem = 0; problem < shape.batchSize() * count; problem++) {
      kernels.multiplyTransposedB(
          tokens,
          dim,
          width,
          bound.get("x"),
          problem / count * tokens * width,
          width,
          bound.get(weight),
          problem % count * dim * width,
          width,
          target.data(),
          problem * tokens * dim,
          dim,
          false,
          pack,
          0);
    }
  }

  @Override
  public int position() {
    return inner.position();
  }

  @Override
  public long stateBytes() {
    return inner.stateBytes();
  }

  @Override
  public void reset() {
    inner.reset();
  }
}
