// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.RowIntervals;
import java.util.Arrays;

/// The chunks of [Reformer]: which token is in which slot of which round, and which slots a query
/// sees.
///
/// Within a chunk the slots are kept by position, not by bucket: a chunk is a set, and by position
/// its causal part is an interval, so that no pair needs a mask of its own. Chunks are numbered
/// over all rounds of a problem (batch entry and head).
final class ReformerChunks {
  private final AttentionShape shape;
  private final Mask mask;
  private final int n;
  private final int rounds;
  private final int chunk;
  private final int buckets;
  private final int padded;
  private final int chunksPerRound;
  private final int chunks;
  private final int before;
  private final int seen;
  private final boolean sameBucketOnly;
  private final boolean discountDuplicates;
  private final int[] bucketOf;
  private final int[] chunkOf;
  private final int[] order;

  ReformerChunks(Scratch scratch, Reformer attention, AttentionShape shape, Mask mask) {
    this.shape = shape;
    this.mask = mask;
    n = shape.keySeqLen();
    rounds = attention.numHashes();
    chunk = attention.chunkLength();
    buckets = attention.buckets(n);
    padded = paddedLength(attention, shape);
    chunksPerRound = padded / chunk;
    chunks = rounds * chunksPerRound;
    before = attention.chunksBefore();
    seen = before + 1 + attention.chunksAfter();
    sameBucketOnly = attention.sameBucketOnly();
    discountDuplicates = attention.discountDuplicates();
    long slots = (long) shape.problems() * rounds * padded;
    bucketOf = scratch.ints(slots);
    chunkOf = scratch.ints(slots);
    order = scratch.ints(slots);
  }

  /// Bytes the constructor allocates.
  static long bytes(Reformer attention, AttentionShape s) {
    return 3L * s.problems() * attention.numHashes() * paddedLength(attention, s) * Integer.BYTES;
  }

  /// Integers of scratch that [#sort] needs.
  static int counts(Reformer attention, AttentionShape s) {
    int n = s.keySeqLen();
    return Math.max(attention.buckets(n) + 1, paddedLength(attention, s) / attention.chunkLength());
  }

  private static int paddedLength(Reformer attention, AttentionShape s) {
    int chunk = attention.chunkLength();
    return Math.multiplyExact(Math.ceilDiv(s.keySeqLen(), chunk), chunk);
  }

  /// Chunks of one round.
  int perRound() {
    return chunksPerRound;
  }

  /// Number of chunks that a chunk looks at, its own included.
  int seen() {
    return seen;
  }

  /// Whether pairs need additions of their own; see [#pairBias].
  boolean pairwise() {
    return sameBucketOnly || discountDuplicates;
  }

  /// The tokens of all slots; those of chunk c of a problem from `slots(problem) + c chunkLength`
  /// on, real ones first.
  int[] order() {
    return order;
  }

  /// See [#order].
  int slots(int problem) {
    return problem * rounds * padded;
  }

  /// Puts a token into a bucket of a round.
  void put(int problem, int round, int token, int bucket) {
    bucketOf[(problem * rounds + round) * padded + token] = bucket;
  }

  /// Sorts one round by (bucket, position) and fills each chunk with its tokens, real ones first,
  /// by position: two counting sorts.
  ///
  /// @param index round r of problem p is `p rounds + r`
  /// @param next scratch of [#counts] integers
  void sort(int index, int[] next) {
    int batch = index / rounds / shape.numHeads();
    int at = index * padded;
    Arrays.fill(bucketOf, at + n, at + padded, buckets);
    Arrays.fill(next, 0);
    for (int t = 0; t < padded; t++) {
      next[bucketOf[at + t]]++;
    }
    int sum = 0;
    for (int b = 0; b <= buckets; b++) {
      int size = next[b];
      next[b] = sum;
      sum += size;
    }
    for (int t = 0; t < padded; t++) {
      chunkOf[at + t] = next[bucketOf[at + t]]++ / chunk;
    }
    Arrays.fill(next, 0);
    for (int t = 0; t < n; t++) {
      if (mask.isRealKey(batch, t)) {
        int c = chunkOf[at + t];
        order[at + c * chunk + next[c]++] = t;
      }
    }
  }

  /// The k-th chunk that chunk c looks at.
  int neighbour(int c, int k) {
    return Math.floorMod(c - before + k, chunks);
  }

  /// Real tokens of a chunk: padded ones have the last bucket and thus the last slots of a round.
  int realIn(int problem, int c) {
    int real = mask.realKeys(problem / shape.numHeads(), n);
    return Math.clamp(real - (long) c % chunksPerRound * chunk, 0, chunk);
  }

  /// Lets the queries of a chunk see the real slots of another, in two parts around the query
  /// itself.
  ///
  /// @param c chunk of the queries, the first of which is in slot `from`
  /// @param other chunk of the keys, at positions from `base` on
  /// @param firstSide which part
  void see(
      RowIntervals tile,
      int problem,
      int c,
      int from,
      int count,
      int other,
      int base,
      boolean firstSide) {
    int real = realIn(problem, other);
    int slots = slots(problem);
    if (!mask.isCausal() && other / chunksPerRound == c / chunksPerRound) {
      aroundSlot(tile, count, base, real, other == c ? from : real, firstSide);
    } else {
      int queries = slots + c * chunk + from;
      aroundSelf(tile, queries, count, slots + other * chunk, real, base, firstSide);
    }
  }

  /// The keys of a chunk on one side of each query, where query r is in slot `first + r` if the
  /// chunk has one, and may see all others.
  private static void aroundSlot(
      RowIntervals tile, int count, int base, int real, int first, boolean firstSide) {
    for (int r = 0; r < count; r++) {
      int slot = Math.min(real, first + r);
      if (firstSide) {
        tile.see(r, base, base + slot);
      } else {
        tile.see(r, base + slot + 1, base + real);
      }
    }
  }

  /// The keys of a chunk on one side of each query by position: all of them on the first side,
  /// unless the query is among them.
  private void aroundSelf(
      RowIntervals tile,
      int queries,
      int count,
      int keyPositions,
      int real,
      int base,
      boolean firstSide) {
    int before = 0;
    int visible = 0;
    for (int r = 0; r < count; r++) {
      int t = order[queries + r];
      int limit = mask.causalLimit(t, n, n);
      while (before < real && order[keyPositions + before] < t) {
        before++;
      }
      while (visible < real && order[keyPositions + visible] < limit) {
        visible++;
      }
      boolean self = before < real && order[keyPositions + before] == t;
      if (firstSide) {
        tile.see(r, base, base + (self ? Math.min(before, visible) : visible));
      } else {
        tile.see(r, base + before + 1, base + (self ? visible : 0));
      }
    }
  }

  /// −∞ for hidden pairs, −ln(N + 1e−9) for discounted ones.
  ///
  /// @param c chunk of the queries, the first of which is in slot `from`
  /// @param other chunk of the keys
  /// @param to receives the addition for row r and slot s at `r chunkLength + s`
  void pairBias(int problem, int c, int from, int count, int other, float[] to) {
    int slots = slots(problem);
    int queries = slots + c * chunk + from;
    int keys = slots + other * chunk;
    int round = c / chunksPerRound;
    int own = slots + round * padded;
    int real = realIn(problem, other);
    boolean sameRound = other / chunksPerRound == round;
    for (int r = 0; r < count; r++) {
      int t = order[queries + r];
      int limit = mask.causalLimit(t, n, n);
      for (int s = 0; s < real; s++) {
        int u = order[keys + s];
        boolean seen =
            u != t
                && u < limit
                && (!sameBucketOnly || (sameRound && bucketOf[own + t] == bucketOf[own + u]));
        to[r * chunk + s] =
            seen
                ? discountDuplicates ? (float) -Math.log(timesFound(slots, t, u) + 1e-9) : 0
                : Float.NEGATIVE_INFINITY;
      }
    }
  }

  /// N: rounds in which u has t's bucket and lies in t's chunk or the one before.
  private int timesFound(int slots, int t, int u) {
    int found = 0;
    for (int r = 0; r < rounds; r++) {
      int at = slots + r * padded;
      int chunkOfT = r * chunksPerRound + chunkOf[at + t];
      int chunkOfU = r * chunksPerRound + chunkOf[at + u];
      boolean near = chunkOfU == chunkOfT || chunkOfU == Math.floorMod(chunkOfT - 1, chunks);
      if (near && bucketOf[at + t] == bucketOf[at + u]) {
        found++;
      }
    }
    return found;
  }
}
