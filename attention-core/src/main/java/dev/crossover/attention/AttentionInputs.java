// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.KEY_DIM;
import static dev.crossover.attention.Axis.KEY_VALUE_HEADS;
import static dev.crossover.attention.Axis.QUERY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.List;

/// The common part of what mechanisms read: `q`, `k`, `v`, and how missing inputs are drawn.
public final class AttentionInputs {
  private AttentionInputs() {}

  /// Specs of `q`, `k`, `v` for a shape, drawn from a standard normal distribution.
  public static List<TensorSpec> qkv(AttentionShape s) {
    return List.of(
        TensorSpec.input("q", "queries, N(0,1)", Draws::gaussian, s, BATCH, HEADS, QUERY, HEAD_DIM),
        TensorSpec.input(
            "k", "keys, N(0,1)", Draws::gaussian, s, BATCH, KEY_VALUE_HEADS, KEY, KEY_DIM),
        TensorSpec.input(
            "v", "values, N(0,1)", Draws::gaussian, s, BATCH, KEY_VALUE_HEADS, KEY, VALUE_DIM));
  }

  /// Reads the sizes from `q`, `k`, `v`.
  ///
  /// @throws IllegalArgumentException if one is missing, not of rank 4, or does not fit the others
  public static AttentionShape shapeOf(Tensors inputs) {
    Tensor q = rank4(inputs, "q");
    Tensor k = rank4(inputs, "k");
    Tensor v = rank4(inputs, "v");
    same("k batchSize", k.extent(0), "q", q.extent(0));
    same("v batchSize", v.extent(0), "q", q.extent(0));
    same("v heads", v.extent(1), "k", k.extent(1));
    same("v seqLen", v.extent(2), "k", k.extent(2));
    return new AttentionShape(
        q.extent(0),
        q.extent(1),
        k.extent(1),
        q.extent(2),
        k.extent(2),
        q.extent(3),
        k.extent(3),
        v.extent(3));
  }

  /// Keeps the tensors a mechanism takes and draws the per-token inputs it needs beyond them.
  ///
  /// @param attention the mechanism
  /// @param shape the problem
  /// @param given tensors at hand, usually `q`, `k`, `v`
  /// @param seed seed of the drawn ones; each name has a stream of its own
  public static Tensors complete(
      Attention attention, AttentionShape shape, Tensors given, long seed) {
    Tensors inputs = Tensors.NONE;
    for (TensorSpec spec : attention.inputs(shape)) {
      if (given.has(spec.name())) {
        inputs = inputs.with(spec.name(), given.get(spec.name()));
      } else if (spec.role() == TensorSpec.Role.INPUT) {
        inputs = inputs.with(spec.name(), spec.drawn(Draws.seedFor(seed, spec.name())));
      }
    }
    return inputs;
  }

  private static Tensor rank4(Tensors inputs, String name) {
    Tensor tensor = inputs.get(name);
    if (tensor.rank() != 4) {
      throw new IllegalArgumentException(
          name + " must have shape [batch, heads, seqLen, dim], but was " + tensor);
    }
    return tensor;
  }

  private static void same(String what, int actual, String of, int expected) {
    if (actual != expected) {
      throw new IllegalArgumentException(
          what + " must equal that of " + of + " (" + expected + "), but was " + actual);
    }
  }
}
