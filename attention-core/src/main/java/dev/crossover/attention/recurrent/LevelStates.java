// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// A hierarchy of states over the chunks of a sequence, a Fenwick tree: before chunk m there is a
/// state of level b for every set bit b of m, over the 2^b chunks before `m` with its bits below
/// b + 1 cleared plus 2^b. Together they cover all chunks before m once.
///
/// ```
/// after chunk m, with z the trailing zeros of m + 1:
/// S⁽ᶻ⁾ ← e^{c} (S⁽⁰⁾ + … + S⁽ᶻ⁻¹⁾) + the chunk,   levels above decay by e^{c}
/// ```
///
/// Seen backwards, a level's gradient is collected over the chunks whose bit b is set, which read
/// the state, and handed to the chunks below whose bit is clear, which wrote it.
public final class LevelStates {
  private final Kernels kernels = Kernels.get();
  private final int size;
  private final float[] data;
  private final int[] live;

  /// @param chunks number of chunks of the sequence
  /// @param size elements of a state
  public LevelStates(int chunks, int size, Scratch scratch) {
    this.size = size;
    int levels = levels(chunks);
    data = scratch.floats((long) levels * size);
    live = scratch.ints(levels);
  }

  /// Number of levels: bits of the largest chunk number.
  public static int levels(int chunks) {
    return Integer.SIZE - Integer.numberOfLeadingZeros(Math.max(0, chunks - 1));
  }

  /// Forgets everything.
  public void clear() {
    Arrays.fill(live, 0);
  }

  /// All states.
  public float[] data() {
    return data;
  }

  /// Where the state of a level starts.
  public int at(int level) {
    return level * size;
  }

  /// Whether a chunk reads the state of a level.
  public static boolean reads(int chunk, int level) {
    return ((chunk >> level) & 1) != 0;
  }

  /// Passes a chunk that is not the last: the lower states decay and merge, those above decay.
  ///
  /// @param factor decay over the chunk
  /// @return where the state starts that what the chunk wrote must be added to
  public int merge(int chunk, float factor) {
    int level = Integer.numberOfTrailingZeros(chunk + 1);
    int to = at(level);
    Arrays.fill(data, to, to + size, 0);
    for (int b = 0; at(b) < data.length; b++) {
      if (b < level) {
        kernels.axpy(size, factor, data, at(b), data, to);
      } else if (b > level && reads(chunk, b)) {
        kernels.scale(size, factor, data, at(b), data, at(b));
      }
    }
    return to;
  }

  /// Backwards: the sum of the gradients of the states that a chunk's keys went into.
  ///
  /// @param to where it is written, from 0
  /// @return whether there are any
  public boolean collected(int chunk, float[] to) {
    boolean any = false;
    for (int b = 0; b < live.length; b++) {
      if (live[b] != 0 && !reads(chunk, b)) {
        if (any) {
          kernels.add(size, to, 0, data, at(b), to, 0);
        } else {
          System.arraycopy(data, at(b), to, 0, size);
        }
        any = true;
      }
    }
    return any;
  }

  /// Backwards: brings all gradients over a chunk; those of levels of which the chunk is the last
  /// reader, or the first that is met, start from zero.
  ///
  /// @param factor decay over the chunk
  public void pass(int chunk, float factor) {
    for (int b = 0; b < live.length; b++) {
      boolean read = reads(chunk, b);
      int low = (2 << b) - 1;
      if (read && (live[b] == 0 || (chunk & low) == low)) {
        Arrays.fill(data, at(b), at(b) + size, 0);
        live[b] = 1;
      } else if (live[b] != 0) {
        kernels.scale(size, factor, data, at(b), data, at(b));
      }
    }
  }
}
