// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.store.SlotStore;
import dev.crossover.attention.store.Storage;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// Decoding from a cache of keys and values: each token's query meets a list of cached positions.
///
/// The cache is a ring of `capacity` positions per key/value head: position t lives in slot t mod
/// capacity, unless a subclass lays its slots out otherwise or reserves slots beyond the ring.
/// Subclasses say which positions a token sees.
public abstract class KeyValueSession extends TokenSession {
  private final int capacity;
  private final float factor;
  private final int heads = shape.batchSize() * shape.numKeyValueHeads();
  private final Storage storage;
  private final SlotStore[] storedKeys;
  private final SlotStore[] storedValues;
  /// A restored row per worker, and one of [#cachedKey].
  private final float[][] restored;

  private int slots;
  private float[] keys;
  private float[] values;
  private final int[][] seen;
  private final float[][] scores;
  private final Workers workers;
  private final Workers.Task head = this::head;
  private final Kernels kernels = Kernels.get();

  /// @param attention the mechanism
  /// @param shape widths and heads; `keySeqLen` is the largest number of positions
  /// @param threads number of threads, at least 1
  /// @param reach positions kept, the current one included; all of them if there are fewer
  protected KeyValueSession(Attention attention, AttentionShape shape, int threads, long reach) {
    this(attention, shape, threads, reach, Storage.F32);
  }

  /// @param attention the mechanism
  /// @param shape widths and heads; `keySeqLen` is the largest number of positions
  /// @param threads number of threads, at least 1
  /// @param reach positions kept, the current one included; all of them if there are fewer
  /// @param storage form of the cached rows, any but grouped
  protected KeyValueSession(
      Attention attention, AttentionShape shape, int threads, long reach, Storage storage) {
    super(attention, shape);
    capacity = Math.clamp(reach, 1, Math.max(1, shape.keySeqLen()));
    factor = (float) Attention.defaultScale(shape);
    slots = capacity;
    this.storage = storage;
    boolean floats = storage.kind() == Storage.Kind.F32;
    int inPlace = floats ? capacity : 0;
    keys = new float[Tensor.sizeOf(heads, inPlace, shape.headDim())];
    values = new float[Tensor.sizeOf(heads, inPlace, shape.valueDim())];
    storedKeys = new SlotStore[floats ? 0 : heads];
    storedValues = new SlotStore[floats ? 0 : heads];
    for (int h = 0; h < storedKeys.length; h++) {
      storedKeys[h] = new SlotStore(storage, shape.headDim(), capacity);
      storedValues[h] = new SlotStore(storage, shape.valueDim(), capacity);
    }
    restored = new float[threads + 1][Math.max(shape.headDim(), shape.valueDim())];
    workers = new Workers(threads);
    seen = new int[threads][capacity];
    scores = new float[threads][capacity];
  }

  /// Lists the positions that the token at `position` may see, the token's own included.
  ///
  /// @param worker whose buffers may be used
  /// @param problem (batch entry, query head) pair; its query is row `problem` of `q`
  /// @param into receives the positions
  /// @return how many there are
  protected abstract int see(int worker, int problem, int position, int[] into);

  /// Drops some of the listed positions by their scores; the default drops none.
  ///
  /// @param positions compacted in place
  /// @param scores scaled scores in the same order, compacted in place
  /// @return how many are left
  protected int select(int worker, int count, int[] positions, float[] scores) {
    return count;
  }

  /// Turns the scaled scores of the positions that are left into weights, in place: by default
  /// their softmax.
  protected void weigh(int worker, int problem, int count, float[] scores) {
    kernels.softmax(count, scores, 0);
  }

  /// Called before the key and value of row `t` of the bound inputs are stored, and may refuse them
  /// as long as it has changed nothing.
  protected void accept(int t, int tokens) {}

  /// Called after the key and value of a position have been stored.
  protected void stored(int position) {}

  /// The slot of a position that the current token may see.
  protected int slot(int position) {
    return position % capacity;
  }

  /// A second slot the current token is stored in, or −1.
  protected int secondSlot(int position) {
    return -1;
  }

  /// Positions whose key and value are still needed after `taken` tokens.
  protected int kept(int taken) {
    return Math.min(taken, capacity);
  }

  /// Makes room for more slots than the ring has, at least doubling those beyond it; their numbers
  /// start at the ring's [#capacity].
  protected final void reserve(int beyond) {
    if (capacity + beyond <= slots) {
      return;
    }
    int more = capacity + Math.max(beyond, 2 * (slots - capacity));
    if (storedKeys.length == 0) {
      keys = spread(keys, shape.headDim(), more);
      values = spread(values, shape.valueDim(), more);
    }
    for (int h = 0; h < storedKeys.length; h++) {
      storedKeys[h].reserve(more);
      storedValues[h].reserve(more);
    }
    slots = more;
    for (int w = 0; w < seen.length; w++) {
      seen[w] = new int[slots];
      scores[w] = new float[slots];
    }
  }

  private float[] spread(float[] rows, int dim, int more) {
    float[] larger = new float[Tensor.sizeOf(heads, more, dim)];
    for (int h = 0; h < heads; h++) {
      System.arraycopy(rows, h * slots * dim, larger, h * more * dim, slots * dim);
    }
    return larger;
  }

  /// Number of slots of the ring.
  protected final int capacity() {
    return capacity;
  }

  /// A cached key as it is read, for a key/value head counted over the batch: valid until the next
  /// call. For use between tokens, not while they are answered.
  protected final float[] cachedKey(int keyHead, int position) {
    float[] row = restored[restored.length - 1];
    if (storedKeys.length == 0) {
      int d = shape.headDim();
      System.arraycopy(keys, (keyHead * slots + slot(position)) * d, row, 0, d);
    } else {
      storedKeys[keyHead].read(slot(position), row, 0);
    }
    return row;
  }

  /// Bytes of a cached key and its value.
  protected final long rowBytes() {
    return SlotStore.rowBytes(storage, shape.headDim())
        + SlotStore.rowBytes(storage, shape.valueDim());
  }

  /// The key/value head, counted over the batch, that a problem reads.
  protected final int keyHead(int problem) {
    int batch = problem / shape.numHeads();
    return batch * shape.numKeyValueHeads() + problem % shape.numHeads() / shape.groupSize();
  }

  @Override
  public long stateBytes() {
    long rows = (long) shape.batchSize() * shape.numKeyValueHeads() * kept(position());
    return rows * rowBytes();
  }

  @Override
  protected final void take(int t, int tokens) {
    accept(t, tokens);
    int second = secondSlot(position());
    for (int h = 0; h < heads; h++) {
      store(h * tokens + t, h, slot(position()));
      if (second >= 0) {
        store(h * tokens + t, h, second);
      }
    }
    stored(position());
  }

  /// Copies a row of the bound keys and values into a slot of a key/value head.
  protected final void store(int from, int keyHead, int slot) {
    int d = shape.headDim();
    int dv = shape.valueDim();
    if (storedKeys.length > 0) {
      storedKeys[keyHead].put(slot, input("k"), from * d);
      storedValues[keyHead].put(slot, input("v"), from * dv);
      return;
    }
    int to = keyHead * slots + slot;
    System.arraycopy(input("k"), from * d, keys, to * d, d);
    System.arraycopy(input("v"), from * dv, values, to * dv, dv);
  }

  @Override
  protected final void answer(float[] output) {
    workers.run(shape.problems(), head);
  }

  private void head(int worker, int problem) {
    attend(worker, problem, out);
  }

  /// Writes the output row of one query head from the positions it sees.
  protected void attend(int worker, int problem, float[] out) {
    int d = shape.headDim();
    int dv = shape.valueDim();
    int keyHead = keyHead(problem);
    int[] positions = seen[worker];
    float[] weights = scores[worker];
    int count = see(worker, problem, position(), positions);
    boolean floats = storedKeys.length == 0;
    float[] rows = floats ? keys : restored[worker];
    for (int s = 0; s < count; s++) {
      int slot = slot(positions[s]);
      if (!floats) {
        storedKeys[keyHead].read(slot, rows, 0);
      }
      int row = floats ? (keyHead * slots + slot) * d : 0;
      weights[s] = factor * kernels.dot(d, input("q"), problem * d, rows, row);
    }
    count = select(worker, count, positions, weights);
    weigh(worker, problem, count, weights);
    Arrays.fill(out, problem * dv, problem * dv + dv, 0);
    rows = floats ? values : restored[worker];
    for (int s = 0; s < count; s++) {
      int slot = slot(positions[s]);
      if (!floats) {
        storedValues[keyHead].read(slot, rows, 0);
      }
      int row = floats ? (keyHead * slots + slot) * dv : 0;
      kernels.axpy(dv, weights[s], rows, row, out, problem * dv);
    }
  }
}
