// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;

/// Seeded inputs of a mechanism, and ways to change parts of them.
public final class Inputs {
  private Inputs() {}

  /// What a mechanism reads for a shape: standard normal queries, keys and values, adapted to it,
  /// and the per-token inputs it needs beyond them.
  public static Tensors of(Attention attention, AttentionShape shape, long seed) {
    Tensors qkv = Tensors.NONE;
    for (TensorSpec spec : AttentionInputs.qkv(shape)) {
      qkv = qkv.with(spec.name(), spec.drawn(Draws.seedFor(seed, spec.name())));
    }
    return attention.adapt(shape, qkv, seed);
  }

  /// The same with some optional inputs switched on.
  public static Tensors of(
      Attention attention, AttentionShape shape, long seed, List<String> optional) {
    Tensors inputs = of(attention, shape, seed);
    for (TensorSpec spec : attention.inputs(shape)) {
      if (optional.contains(spec.name())) {
        inputs = inputs.with(spec.name(), spec.drawn(Draws.seedFor(seed, spec.name())));
      }
    }
    return inputs;
  }

  /// The inputs and, explicitly, the parameters a plan would draw from the mechanism's seed.
  public static Tensors withParameters(Attention attention, AttentionShape shape, Tensors inputs) {
    Tensors all = inputs;
    for (TensorSpec spec : attention.inputs(shape)) {
      if (spec.role() == TensorSpec.Role.PARAMETER && !inputs.has(spec.name())) {
        all = all.with(spec.name(), spec.drawn(Draws.seedFor(attention.seed(), spec.name())));
      }
    }
    return all;
  }

  /// A tensor like `kept`, with the elements at chosen coordinates taken from `other`.
  public static Tensor mixed(Tensor kept, Tensor other, Predicate<int[]> fromOther) {
    Tensor result = kept.copy();
    int[] at = new int[kept.rank()];
    for (int e = 0; e < kept.size(); e++) {
      if (fromOther.test(at)) {
        result.data()[e] = other.data()[e];
      }
      advance(at, kept.shape());
    }
    return result;
  }

  /// The leading block of a tensor: in every dimension the first `shape[dimension]` positions.
  public static Tensor leading(Tensor tensor, int... shape) {
    return block(tensor, new int[shape.length], shape);
  }

  /// The block of a tensor that starts at `from` and has the sizes `shape`.
  public static Tensor block(Tensor tensor, int[] from, int[] shape) {
    Tensor result = Tensor.zeros(shape);
    int[] at = new int[shape.length];
    for (int e = 0; e < result.size(); e++) {
      int source = 0;
      for (int d = 0; d < shape.length; d++) {
        source = source * tensor.extent(d) + from[d] + at[d];
      }
      result.data()[e] = tensor.data()[source];
      advance(at, shape);
    }
    return result;
  }

  /// A tensor in which every position of one dimension is repeated `times` times in a row.
  public static Tensor repeated(Tensor tensor, int dimension, int times) {
    int[] shape = tensor.shape();
    shape[dimension] *= times;
    Tensor result = Tensor.zeros(shape);
    int[] at = new int[shape.length];
    for (int e = 0; e < result.size(); e++) {
      int source = 0;
      for (int d = 0; d < shape.length; d++) {
        source = source * tensor.extent(d) + (d == dimension ? at[d] / times : at[d]);
      }
      result.data()[e] = tensor.data()[source];
      advance(at, shape);
    }
    return result;
  }

  /// A tensor of the same shape filled with one value.
  public static Tensor filledLike(Tensor tensor, float value) {
    Tensor result = Tensor.zeros(tensor.shape());
    Arrays.fill(result.data(), value);
    return result;
  }

  /// Padding at the end; batch entry b keeps about `1/(b + 2)` of the keys less, at least one if
  /// any.
  public static Mask.KeyPadding endPadding(AttentionShape shape) {
    int[] lengths = new int[shape.batchSize()];
    for (int b = 0; b < lengths.length; b++) {
      int padded = shape.keySeqLen() / (b + 2);
      lengths[b] = shape.keySeqLen() - padded;
    }
    return Mask.lengths(shape.keySeqLen(), lengths);
  }

  /// Padding with holes, and on the left in the last batch entry; every entry keeps a key if it has
  /// any.
  public static Mask.KeyPadding holes(AttentionShape shape, long seed) {
    int nk = shape.keySeqLen();
    boolean[] real = new boolean[shape.batchSize() * nk];
    var generator = Draws.generator(seed);
    for (int b = 0; b < shape.batchSize(); b++) {
      boolean left = b > 0 && b == shape.batchSize() - 1;
      for (int j = 0; j < nk; j++) {
        real[b * nk + j] = left ? j >= nk / 3 : generator.nextInt(3) > 0;
      }
      if (nk > 0) {
        real[b * nk + nk / 2] = true;
      }
    }
    return nk == 0 ? Mask.lengths(0, new int[shape.batchSize()]) : Mask.keys(nk, real);
  }

  private static void advance(int[] at, int[] shape) {
    for (int d = shape.length - 1; d >= 0; d--) {
      if (++at[d] < shape[d]) {
        return;
      }
      at[d] = 0;
    }
  }
}
