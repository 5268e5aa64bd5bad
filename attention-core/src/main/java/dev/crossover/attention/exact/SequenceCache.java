// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.store.KeyValueStore;
import dev.crossover.attention.store.Storage;

/// Cached keys and values of one sequence: all positions, or the sink tokens and those that a
/// window still reaches.
///
/// Rows lie in the order of their positions. Behind a window they are dropped many at a time, when
/// the room for [#SLACK] or a quarter of a window more is used up, so that a position moves a few
/// times at most; the last [#BACK] positions can always be taken back. Grouped storage drops
/// nothing, because its rows share scales.
final class SequenceCache {
  /// Positions that [#truncate] can always take back.
  static final int BACK = 64;

  /// Least number of positions dropped at a time.
  static final int SLACK = 64;

  final KeyValueStore store;

  private final int sinks;
  private final long reach;
  private final long most;
  private int taken;
  private int dropped;

  /// @param shape heads and widths of one sequence; its lengths do not matter
  /// @param reserved positions for which room is made at once
  SequenceCache(ScoreOptions options, Storage storage, AttentionShape shape, int reserved) {
    boolean all = options.windowSize().isEmpty() || storage.kind() == Storage.Kind.GROUPED;
    sinks = options.sinkTokens();
    reach = all ? Integer.MAX_VALUE : options.windowSize().getAsInt();
    most = all ? Integer.MAX_VALUE : sinks + reach - 1 + BACK + Math.max(SLACK, reach / 4);
    int room = (int) Math.min(most, reserved);
    store = new KeyValueStore(storage, shape.withSeqLens(1, room));
  }

  private SequenceCache(SequenceCache other) {
    store = other.store.fork();
    sinks = other.sinks;
    reach = other.reach;
    most = other.most;
    taken = other.taken;
    dropped = other.dropped;
  }

  /// A copy that grows apart.
  SequenceCache fork() {
    return new SequenceCache(this);
  }

  /// Positions taken.
  int taken() {
    return taken;
  }

  /// First place of those that are dropped next.
  int firstDropped() {
    return sinks;
  }

  /// How many places, from [#firstDropped] on, must be dropped before `count` more are appended.
  int surplus(int count) {
    long places = (long) taken - dropped;
    return places + count <= most ? 0 : (int) (places - sinks - (reach - 1 + BACK));
  }

  /// Counts what has been dropped and appended in every head.
  void advance(int newlyDropped, int count) {
    dropped += newlyDropped;
    taken += count;
  }

  /// Place of a position that is cached.
  int place(int position) {
    return position < sinks ? position : position - dropped;
  }

  /// Position of the row at a place.
  int position(int place) {
    return place < sinks ? place : place + dropped;
  }

  /// Refuses a position that [#truncate] cannot go back to.
  void requireBack(int position) {
    if (position < 0 || position > taken) {
      throw new IllegalArgumentException(
          "position must be from 0 to " + taken + ", but was " + position);
    }
    if (position == 0 || position == taken) {
      return;
    }
    long least = store.earliest();
    if (dropped > 0 && position > sinks) {
      least = Math.max(least, sinks + dropped + reach - 1);
    }
    if (position < least) {
      throw new IllegalStateException(
          "position must be 0 or at least "
              + least
              + ", because what is before is encoded or outside of the window, but was "
              + position);
    }
  }

  /// Forgets all but the first positions, which [#requireBack] has allowed.
  void truncate(int position) {
    if (position == taken) {
      return;
    }
    store.truncate(position <= sinks ? position : place(position));
    dropped = position <= sinks ? 0 : dropped;
    taken = position;
  }
}
