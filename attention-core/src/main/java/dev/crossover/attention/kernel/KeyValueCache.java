// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;

/// Keys and values of the positions seen so far, for decoding with [SoftmaxTile]: one slot per
/// position and key/value head.
///
/// Slots may be rewritten, so that a ring of slots holds a window.
public final class KeyValueCache {
  private final int slots;
  private final int dim;
  private final int valueDim;
  private final KeyPanels[] keys;
  private final float[] values;

  /// @param scratch allocator
  /// @param heads number of (batch entry, key/value head) pairs
  /// @param slots largest number of positions held
  /// @param dim width of a key row
  /// @param valueDim width of a value row
  public KeyValueCache(Scratch scratch, int heads, int slots, int dim, int valueDim) {
    this.slots = slots;
    this.dim = dim;
    this.valueDim = valueDim;
    keys = new KeyPanels[heads];
    for (int h = 0; h < heads; h++) {
      keys[h] = new KeyPanels(scratch, slots, dim);
    }
    values = scratch.floats(Math.multiplyExact((long) heads * slots, (long) valueDim));
  }

  /// Writes one slot of a head.
  public void put(int head, int slot, float[] key, int ko, float[] value, int vo) {
    keys[head].replace(key, ko, slot);
    System.arraycopy(value, vo, values, (head * slots + slot) * valueDim, valueDim);
  }

  /// Lets every row of a tile see the slots `from … to - 1` of a head.
  public void attend(SoftmaxTile tile, int head, int from, int to) {
    tile.attend(keys[head], values, head * slots * valueDim, valueDim, from, to);
  }

  /// Lets row r of a tile see the slots `from … to - 1` of a head with an addition to each scaled
  /// score; −∞ means *may not attend*.
  ///
  /// @param bias the addition for row r and slot j is at `bo + r * ldb + (j - from)`
  public void attendBiased(
      SoftmaxTile tile, int head, int from, int to, float[] bias, int bo, int ldb) {
    tile.attendBiased(
        keys[head], values, head * slots * valueDim, valueDim, from, to, bias, bo, ldb);
  }

  /// Bytes that `used` slots of every head hold.
  public long bytes(int used) {
    return (long) keys.length * used * (dim + valueDim) * Float.BYTES;
  }
}
