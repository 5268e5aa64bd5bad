// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.AttentionShape;
import org.jspecify.annotations.Nullable;

/// Cached keys and values of every (batch entry, key/value head) pair, in one form of [Storage].
///
/// Positions are appended at the end, restored when read, and dropped from the end ([#truncate]) or
/// from among them ([#keep], a different set for every head, of the same size). Until its capacity
/// is reached nothing is allocated; then it doubles.
public final class KeyValueStore {
  private final Storage storage;
  private final int dim;
  private final int valueDim;
  private final boolean latent;
  private final RowStore[] keys;

  /// Values of every head; the keys themselves where a value is the first part of its key.
  private final RowStore[] values;

  /// @param storage form of the rows
  /// @param shape batch entries, key/value heads and widths; `keySeqLen` is the capacity
  /// @throws IllegalArgumentException if a width does not fit the storage's groups
  public KeyValueStore(Storage storage, AttentionShape shape) {
    this(storage, shape, false);
  }

  /// @param latent whether a value is the first `valueDim` numbers of its key and not stored again
  public KeyValueStore(Storage storage, AttentionShape shape, boolean latent) {
    this.storage = storage;
    this.latent = latent;
    dim = shape.headDim();
    valueDim = shape.valueDim();
    int heads = shape.batchSize() * shape.numKeyValueHeads();
    keys = new RowStore[heads];
    values = latent ? keys : new RowStore[heads];
    for (int h = 0; h < heads; h++) {
      keys[h] = storage.keys(dim, shape.keySeqLen());
      if (!latent) {
        values[h] = storage.values(valueDim, shape.keySeqLen());
      }
    }
  }

  private KeyValueStore(KeyValueStore other) {
    storage = other.storage;
    latent = other.latent;
    dim = other.dim;
    valueDim = other.valueDim;
    keys = new RowStore[other.keys.length];
    values = latent ? keys : new RowStore[other.values.length];
    for (int h = 0; h < keys.length; h++) {
      keys[h] = other.keys[h].copy();
      if (!latent) {
        values[h] = other.values[h].copy();
      }
    }
  }

  /// Form of the rows.
  public Storage storage() {
    return storage;
  }

  /// Number of (batch entry, key/value head) pairs.
  public int heads() {
    return keys.length;
  }

  /// Width of a key row.
  public int dim() {
    return dim;
  }

  /// Width of a value row.
  public int valueDim() {
    return valueDim;
  }

  /// Numbers between the starts of two value rows that [#readValues] restores: `valueDim`, or `dim`
  /// where a value is a part of its key.
  public int valueStride() {
    return latent ? dim : valueDim;
  }

  /// Positions stored; the same for every head.
  public int positions() {
    return keys.length == 0 ? 0 : keys[0].count();
  }

  /// Appends some positions of every head.
  ///
  /// @param k key rows `[heads, tokens, dim]`
  /// @param v value rows `[heads, tokens, valueDim]`
  /// @param first first row taken of every head
  /// @param count rows taken
  /// @param tokens rows of every head in `k` and `v`
  public void append(float[] k, float[] v, int first, int count, int tokens) {
    for (int h = 0; h < keys.length; h++) {
      for (int t = first; t < first + count; t++) {
        append(h, k, (h * tokens + t) * dim, v, (h * tokens + t) * valueDim);
      }
    }
  }

  /// Appends one position of one head; heads may be filled at the same time by different threads,
  /// each by one.
  ///
  /// @param ko first number of the key row
  /// @param vo first number of the value row
  public void append(int head, float[] k, int ko, float[] v, int vo) {
    keys[head].append(k, ko);
    if (!latent) {
      values[head].append(v, vo);
    }
  }

  /// Restores the keys of the stored positions `from … to - 1` of a head.
  public void readKeys(int head, int from, int to, float[] into, int at) {
    keys[head].read(from, to, into, at);
  }

  /// Restores the values of the stored positions `from … to - 1` of a head, [#valueStride] apart.
  public void readValues(int head, int from, int to, float[] into, int at) {
    values[head].read(from, to, into, at);
  }

  /// Dot products of some query rows with the keys `from … to - 1` of a head.
  ///
  /// @param count query rows, one after the other from `qo`
  /// @param scores that of row r and position j goes to `so + r * lds + j - from`
  public void dots(
      int head,
      int from,
      int to,
      int count,
      float[] q,
      int qo,
      float[] scores,
      int so,
      int lds,
      RowTile tile) {
    keys[head].dots(count, q, qo, from, to, scores, so, lds, tile);
  }

  /// Adds weighted sums of the values `from … to - 1` of a head to some rows.
  ///
  /// @param count rows of `out`, one after the other from `oo`
  /// @param w the weight of position j for row r is at `wo + r * ldw + j - from`; multiplies every
  ///     value, so that one of zero does not hide what is not finite
  public void mix(
      int head,
      int from,
      int to,
      int count,
      float[] w,
      int wo,
      int ldw,
      float[] out,
      int oo,
      RowTile tile) {
    values[head].mix(count, w, wo, ldw, from, to, valueDim, out, oo, tile);
  }

  /// Width of the widest row that is restored.
  public int widest() {
    return Math.max(dim, valueDim);
  }

  /// The keys of a head where they lie, where they are floats: row p starts at `p * dim`. Null for
  /// other storage. Valid until the next change.
  public float @Nullable [] keysInPlace(int head) {
    return keys[head].inPlace();
  }

  /// The values of a head where they lie, where they are floats; see [#keysInPlace].
  public float @Nullable [] valuesInPlace(int head) {
    return values[head].inPlace();
  }

  /// The stored code of a key's number: the bits of f16 and bf16 as an unsigned number, the integer
  /// of int8 and grouped storage; −1 where it is kept in full precision.
  public int keyCode(int head, int position, int channel) {
    return keys[head].code(position, channel);
  }

  /// The stored code of a value's number; see [#keyCode].
  public int valueCode(int head, int position, int channel) {
    return values[head].code(position, channel);
  }

  /// Encodes what the next appended position would find encoded: grouped storage encodes late.
  public void settle() {
    for (int h = 0; h < keys.length; h++) {
      keys[h].settle();
      values[h].settle();
    }
  }

  /// Forgets all but the first positions.
  ///
  /// @throws IllegalArgumentException if fewer are stored
  /// @throws IllegalStateException if grouped storage has already encoded later ones together
  public void truncate(int positions) {
    if (positions < 0 || positions > positions()) {
      throw new IllegalArgumentException(
          "positions must be from 0 to " + positions() + ", but was " + positions);
    }
    for (int h = 0; h < keys.length; h++) {
      keys[h].truncate(positions);
      if (!latent) {
        values[h].truncate(positions);
      }
    }
  }

  /// Fewest positions, besides none, that [#truncate] may leave: 0, or what grouped storage has
  /// encoded.
  public int earliest() {
    int earliest = 0;
    for (int h = 0; h < keys.length; h++) {
      earliest = Math.max(earliest, Math.max(keys[h].earliest(), values[h].earliest()));
    }
    return earliest;
  }

  /// Forgets the stored positions `from … to - 1` of one head; later ones move up. All heads must
  /// be treated alike before the store is read again.
  ///
  /// @throws UnsupportedOperationException for grouped storage, whose rows share scales
  public void drop(int head, int from, int to) {
    keys[head].drop(from, to);
    if (!latent) {
      values[head].drop(from, to);
    }
  }

  /// Keeps only the listed rows of every head.
  ///
  /// @param rows ascending row numbers, `kept` per head
  /// @param kept rows per head
  /// @throws UnsupportedOperationException for grouped storage, whose rows share scales
  public void keep(int[] rows, int kept) {
    for (int h = 0; h < keys.length; h++) {
      keys[h].keep(rows, h * kept, kept);
      if (!latent) {
        values[h].keep(rows, h * kept, kept);
      }
    }
  }

  /// A copy that grows apart.
  public KeyValueStore fork() {
    return new KeyValueStore(this);
  }

  /// Bytes that the stored positions need, scales included.
  public long bytes() {
    long bytes = 0;
    for (int h = 0; h < keys.length; h++) {
      bytes += keys[h].bytes() + (latent ? 0 : values[h].bytes());
    }
    return bytes;
  }
}
