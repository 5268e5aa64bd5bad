// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.Attention;

/// Rows of one head in numbered slots that are written again and again, in one form of [Storage]:
/// for caches whose layout a mechanism decides.
public final class SlotStore {
  private final RowStore rows;

  /// @param storage any but grouped, whose rows share scales
  /// @param dim numbers of a row
  /// @param slots room at first
  public SlotStore(Storage storage, int dim, int slots) {
    if (storage.kind() == Storage.Kind.GROUPED) {
      throw new IllegalArgumentException(
          "store must not be grouped where rows are written again, but was " + storage.label());
    }
    rows = storage.keys(dim, slots);
  }

  /// Makes room for more slots.
  public void reserve(int slots) {
    rows.reserve(slots);
  }

  /// Writes a row into a slot.
  public void put(int slot, float[] from, int at) {
    rows.write(slot, from, at);
  }

  /// Restores the row of a slot.
  public void read(int slot, float[] into, int at) {
    rows.read(slot, slot + 1, into, at);
  }

  /// Bytes of a row in a slot, its scale included.
  public static long rowBytes(Storage storage, int dim) {
    return switch (storage.kind()) {
      case F16, BF16 -> 2L * dim;
      case INT8_ROW -> dim + (long) Float.BYTES;
      default -> (long) Float.BYTES * dim;
    };
  }

  /// The storage that a mechanism with a cache of slots is asked for.
  ///
  /// @throws IllegalArgumentException if a policy or grouped storage is among the options, by name
  public static Storage storageOf(Attention attention, CacheOptions cache) {
    cache.requireWhole(attention);
    if (cache.storage().kind() == Storage.Kind.GROUPED) {
      throw new IllegalArgumentException(
          attention.name()
              + ": store must not be grouped, because rows share scales, but was "
              + cache.storage().label());
    }
    return cache.storage();
  }
}
