// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import java.util.Arrays;
import java.util.List;

/// What runs along one dimension of a tensor.
///
/// The common ones take their size from the [AttentionShape]; a mechanism names its own with
/// [#of(String, int)]. Two axes are the same when their names are.
///
/// @param name as documents and `crossover list` show it
/// @param extent number of batch entries, heads, positions, … for a problem
/// @param rows rows of the tensor for each of them, mostly 1
public record Axis(String name, Extent extent, int rows) {

  /// How many there are of what runs along an axis.
  @FunctionalInterface
  public interface Extent {
    /// The number for a problem, at least 0.
    int of(AttentionShape shape);
  }

  /// Sequences.
  public static final Axis BATCH = new Axis("batch", AttentionShape::batchSize, 1);

  /// Query heads.
  public static final Axis HEADS = new Axis("heads", AttentionShape::numHeads, 1);

  /// Key and value heads, each of which is shared by a group of query heads.
  public static final Axis KEY_VALUE_HEADS =
      new Axis("key_value_heads", AttentionShape::numKeyValueHeads, 1);

  /// Query positions.
  public static final Axis QUERY = new Axis("query", AttentionShape::querySeqLen, 1);

  /// Key positions.
  public static final Axis KEY = new Axis("key", AttentionShape::keySeqLen, 1);

  /// Features of a query.
  public static final Axis HEAD_DIM = new Axis("head_dim", AttentionShape::headDim, 1);

  /// Features of a key.
  public static final Axis KEY_DIM = new Axis("key_dim", AttentionShape::keyDim, 1);

  /// Features of a value.
  public static final Axis VALUE_DIM = new Axis("value_dim", AttentionShape::valueDim, 1);

  /// Features of all query heads side by side: what a layer maps to itself.
  public static final Axis MODEL_DIM =
      new Axis("model_dim", s -> Math.multiplyExact(s.numHeads(), s.headDim()), 1);

  /// A dimension along which nothing runs: what is shared by all.
  public static final Axis ONE = of("1", 1);

  /// An axis of the mechanism's own.
  ///
  /// @param name in small letters, for example `features`
  /// @param size at least 0
  public static Axis of(String name, int size) {
    return new Axis(name, _ -> size, 1);
  }

  /// The same axis with several rows of the tensor for each one: DeltaProduct's keys, for example,
  /// are several per position.
  public Axis times(int rowsOfEach) {
    return new Axis(name, extent, Math.multiplyExact(rows, rowsOfEach));
  }

  /// The dimension's size.
  ///
  /// @throws ArithmeticException if it exceeds 2³¹ − 1
  public int size(AttentionShape shape) {
    return Math.multiplyExact(extent.of(shape), rows);
  }

  /// The sizes of a tensor.
  public static int[] sizes(AttentionShape shape, List<Axis> axes) {
    return axes.stream().mapToInt(axis -> axis.size(shape)).toArray();
  }

  /// Whether the same runs along both, with however many rows of each.
  public boolean is(Axis other) {
    return name.equals(other.name);
  }

  /// Whether positions of the sequence run along it.
  public boolean isPosition() {
    return is(QUERY) || is(KEY);
  }

  /// Number of the first dimension along which one of these runs, or −1.
  public static int dimension(List<Axis> axes, Axis... any) {
    for (int d = 0; d < axes.size(); d++) {
      if (Arrays.stream(any).anyMatch(axes.get(d)::is)) {
        return d;
      }
    }
    return -1;
  }

  @Override
  public String toString() {
    return rows == 1 ? name : rows + " " + name;
  }
}
