// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TensorSpec;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;

/// Which dimensions of a mechanism's inputs run over batch entries, key/value heads, query
/// positions and key positions; found by asking for the inputs of neighbouring shapes. Where both
/// lengths are equal every position is a token, query and key at once. A dimension may have several
/// rows per position.
final class Axes {
  private final Attention attention;
  private final AttentionShape shape;
  private final boolean separate;
  private final Map<String, boolean[]> query;
  private final Map<String, boolean[]> key;
  private final Map<String, boolean[]> batch;
  private final Map<String, boolean[]> heads;
  private final Map<String, int[]> extents = new HashMap<>();

  Axes(Attention attention, AttentionShape shape) {
    this.attention = attention;
    this.shape = shape;
    for (TensorSpec spec : attention.inputs(shape)) {
      extents.put(spec.name(), spec.shape().toArray());
    }
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    int dq = nq > 1 ? -1 : 1;
    int dk = nk > 1 ? -1 : 1;
    Map<String, boolean[]> both = changed(shape.withSeqLens(nq + dq, nk + dk));
    boolean cross = attention.capabilities().crossAttention();
    separate = cross && nq != nk;
    query = separate ? changedOr(shape.withSeqLens(nq + dq, nk), both) : both;
    key = separate ? changedOr(shape.withSeqLens(nq, nk + dk), both) : both;
    int h = shape.numHeads();
    int group = shape.groupSize();
    batch = changed(shape.withBatchAndHeads(shape.batchSize() + 1, h), true);
    heads = changedOr(shape.withBatchAndHeads(shape.batchSize(), h + group), Map.of());
  }

  /// Whether these coordinates of an input lie at a query position for which the test holds.
  boolean query(String name, int[] at, java.util.function.IntPredicate test) {
    return any(query, name, at, shape.querySeqLen(), test);
  }

  /// Whether these coordinates of an input lie at a key position for which the test holds.
  boolean key(String name, int[] at, java.util.function.IntPredicate test) {
    return any(key, name, at, shape.keySeqLen(), test);
  }

  /// Whether queries and keys are different tokens, with lengths of their own.
  boolean separate() {
    return separate;
  }

  /// Whether an input has a dimension of key positions that query positions do not move.
  boolean keyOnly(String name) {
    return has(key, name) && !(separate && has(query, name));
  }

  /// The batch entry of these coordinates, or −1 if the input is shared by all.
  int batch(String name, int[] at) {
    boolean[] dims = batch.get(name);
    for (int d = 0; dims != null && d < at.length; d++) {
      if (dims[d]) {
        return at[d];
      }
    }
    return -1;
  }

  /// The key/value head of these coordinates, or −1 if the input is shared by all heads.
  int keyValueHead(String name, int[] at, int[] extents) {
    boolean[] dims = heads.get(name);
    for (int d = 0; dims != null && d < at.length; d++) {
      if (dims[d] && extents[d] % shape.numKeyValueHeads() == 0) {
        return at[d] / (extents[d] / shape.numKeyValueHeads());
      }
    }
    return -1;
  }

  /// Number of the dimension that runs over batch entries, or −1.
  int batchDimension(String name) {
    boolean[] dims = batch.get(name);
    for (int d = 0; dims != null && d < dims.length; d++) {
      if (dims[d]) {
        return d;
      }
    }
    return -1;
  }

  /// Whether some input has a dimension of heads.
  boolean hasHeads() {
    return heads.values().stream().anyMatch(Axes::any);
  }

  private static boolean has(Map<String, boolean[]> map, String name) {
    boolean[] dims = map.get(name);
    return dims != null && any(dims);
  }

  private static boolean any(boolean[] dims) {
    for (boolean dim : dims) {
      if (dim) {
        return true;
      }
    }
    return false;
  }

  private boolean any(
      Map<String, boolean[]> map,
      String name,
      int[] at,
      int positions,
      java.util.function.IntPredicate test) {
    boolean[] dims = map.get(name);
    for (int d = 0; dims != null && d < at.length; d++) {
      if (dims[d] && test.test(at[d] / rowsPerPosition(name, d, positions))) {
        return true;
      }
    }
    return false;
  }

  private int rowsPerPosition(String name, int dimension, int positions) {
    int extent = Objects.requireNonNull(extents.get(name))[dimension];
    return positions > 0 && extent % positions == 0 ? Math.max(1, extent / positions) : 1;
  }

  private Map<String, boolean[]> changedOr(AttentionShape other, Map<String, boolean[]> otherwise) {
    try {
      return changed(other);
    } catch (IllegalArgumentException refused) {
      return otherwise;
    }
  }

  private Map<String, boolean[]> changed(AttentionShape other) {
    return changed(other, false);
  }

  private Map<String, boolean[]> changed(AttentionShape other, boolean parameters) {
    Map<String, boolean[]> changed = new HashMap<>();
    for (TensorSpec spec : attention.inputs(other)) {
      int[] a = extents.get(spec.name());
      int[] b = spec.shape().toArray();
      boolean perToken =
          parameters
              || spec.role() == TensorSpec.Role.INPUT
              || spec.role() == TensorSpec.Role.OPTIONAL;
      if (perToken && a != null && a.length == b.length) {
        boolean[] dims = new boolean[a.length];
        for (int d = 0; d < a.length; d++) {
          dims[d] = a[d] != b[d];
        }
        changed.put(spec.name(), dims);
      }
    }
    return changed;
  }
}
