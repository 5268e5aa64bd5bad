// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.TensorSpec;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.function.IntPredicate;

/// Where an element of a mechanism's input lies: its batch entry, key/value head, query and key
/// position. Where both lengths are equal every position is a token, query and key at once. A
/// dimension may have several rows per position; parameters have no positions, whatever their axes.
final class Axes {
  private final AttentionShape shape;
  private final boolean separate;
  private final Map<String, TensorSpec> specs = new HashMap<>();

  Axes(Attention attention, AttentionShape shape) {
    this.shape = shape;
    separate =
        attention.capabilities().crossAttention() && shape.querySeqLen() != shape.keySeqLen();
    for (TensorSpec spec : attention.inputs(shape)) {
      specs.put(spec.name(), spec);
    }
  }

  private TensorSpec spec(String name) {
    return Objects.requireNonNull(specs.get(name), name);
  }

  /// Whether these coordinates of an input lie at a query position for which the test holds.
  boolean query(String name, int[] at, IntPredicate test) {
    return any(Axis.QUERY, name, at, test);
  }

  /// Whether these coordinates of an input lie at a key position for which the test holds.
  boolean key(String name, int[] at, IntPredicate test) {
    return any(Axis.KEY, name, at, test);
  }

  /// Whether queries and keys are different tokens, with lengths of their own.
  boolean separate() {
    return separate;
  }

  /// Whether an input has a dimension of key positions and none of query positions, or of tokens
  /// that are both.
  boolean keyOnly(String name) {
    TensorSpec spec = spec(name);
    return spec.axes().stream().anyMatch(axis -> runs(spec, axis, Axis.KEY))
        && !(separate && spec.has(Axis.QUERY));
  }

  /// The batch entry of these coordinates, or −1 if the input is shared by all.
  int batch(String name, int[] at) {
    int dimension = batchDimension(name);
    return dimension < 0 ? -1 : at[dimension];
  }

  /// The key/value head of these coordinates, or −1 if the input is shared by all heads.
  int keyValueHead(String name, int[] at, int[] extents) {
    int dimension = spec(name).dimension(Axis.HEADS, Axis.KEY_VALUE_HEADS);
    return dimension < 0 ? -1 : at[dimension] / (extents[dimension] / shape.numKeyValueHeads());
  }

  /// Number of the dimension that runs over batch entries, or −1.
  int batchDimension(String name) {
    return spec(name).dimension(Axis.BATCH);
  }

  /// Whether some input has a dimension of heads.
  boolean hasHeads() {
    return specs.values().stream().anyMatch(spec -> spec.has(Axis.HEADS, Axis.KEY_VALUE_HEADS));
  }

  private boolean runs(TensorSpec spec, Axis axis, Axis positions) {
    return spec.role() != TensorSpec.Role.PARAMETER
        && (separate ? axis.is(positions) : axis.isPosition());
  }

  private boolean any(Axis positions, String name, int[] at, IntPredicate test) {
    TensorSpec spec = spec(name);
    for (int d = 0; d < at.length; d++) {
      Axis axis = spec.axes().get(d);
      if (runs(spec, axis, positions) && test.test(at[d] / axis.rows())) {
        return true;
      }
    }
    return false;
  }
}
