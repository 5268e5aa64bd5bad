// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.KeyValueCache;
import dev.crossover.attention.kernel.SoftmaxTile;
import org.jspecify.annotations.Nullable;

/// Keys and values in numbered slots for decoding with [SoftmaxTile], in one form of [Storage]:
/// floats lie packed as the tile reads them; other rows are restored and packed 128 at a time.
///
/// Slots may be rewritten, so that a ring of slots holds a window.
public final class SlotCache {
  private static final int TILE = 128;

  private final int dim;
  private final int valueDim;
  private final @Nullable KeyValueCache floats;
  private final SlotStore[] keys;
  private final SlotStore[] values;
  private final KeyPanels panel;
  private final float[] keyRows;
  private final float[] valueRows;
  private final long rowBytes;
  private final int heads;

  /// @param storage any but grouped, whose rows share scales
  /// @param scratch allocator of what is not stored
  /// @param heads number of (batch entry, key/value head) pairs
  /// @param slots largest number of positions held
  /// @param dim width of a key row
  /// @param valueDim width of a value row
  public SlotCache(Storage storage, Scratch scratch, int heads, int slots, int dim, int valueDim) {
    this.heads = heads;
    this.dim = dim;
    this.valueDim = valueDim;
    rowBytes = SlotStore.rowBytes(storage, dim) + SlotStore.rowBytes(storage, valueDim);
    boolean plain = storage.kind() == Storage.Kind.F32;
    floats = plain ? new KeyValueCache(scratch, heads, slots, dim, valueDim) : null;
    keys = new SlotStore[plain ? 0 : heads];
    values = new SlotStore[plain ? 0 : heads];
    for (int h = 0; h < keys.length; h++) {
      keys[h] = new SlotStore(storage, dim, slots);
      values[h] = new SlotStore(storage, valueDim, slots);
    }
    int rows = plain ? 0 : TILE;
    panel = new KeyPanels(scratch, rows, dim);
    keyRows = scratch.floats((long) rows * dim);
    valueRows = scratch.floats((long) rows * valueDim);
  }

  /// Writes one slot of a head.
  public void put(int head, int slot, float[] key, int ko, float[] value, int vo) {
    KeyValueCache inPlace = floats;
    if (inPlace != null) {
      inPlace.put(head, slot, key, ko, value, vo);
      return;
    }
    keys[head].put(slot, key, ko);
    values[head].put(slot, value, vo);
  }

  /// Lets every row of a tile see the slots `from … to - 1` of a head.
  public void attend(SoftmaxTile tile, int head, int from, int to) {
    KeyValueCache inPlace = floats;
    if (inPlace != null) {
      inPlace.attend(tile, head, from, to);
      return;
    }
    for (int start = from; start < to; start += TILE) {
      int count = Math.min(TILE, to - start);
      restore(head, start, count);
      tile.attend(panel, valueRows, 0, valueDim, 0, count);
    }
  }

  /// Lets row r of a tile see the slots `from … to - 1` of a head with an addition to each scaled
  /// score; −∞ means *may not attend*.
  ///
  /// @param bias the addition for row r and slot j is at `bo + r * ldb + (j - from)`
  public void attendBiased(
      SoftmaxTile tile, int head, int from, int to, float[] bias, int bo, int ldb) {
    KeyValueCache inPlace = floats;
    if (inPlace != null) {
      inPlace.attendBiased(tile, head, from, to, bias, bo, ldb);
      return;
    }
    for (int start = from; start < to; start += TILE) {
      int count = Math.min(TILE, to - start);
      restore(head, start, count);
      int at = bo + start - from;
      tile.attendBiased(panel, valueRows, 0, valueDim, 0, count, bias, at, ldb);
    }
  }

  private void restore(int head, int start, int count) {
    for (int j = 0; j < count; j++) {
      keys[head].read(start + j, keyRows, j * dim);
      values[head].read(start + j, valueRows, j * valueDim);
    }
    panel.pack(keyRows, 0, dim, count, 0);
  }

  /// Bytes that `used` slots of every head hold.
  public long bytes(int used) {
    return heads * (long) used * rowBytes;
  }
}
