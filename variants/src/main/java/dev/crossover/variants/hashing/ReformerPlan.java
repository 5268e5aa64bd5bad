package dev.crossover.variants.hashing;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.select.IntervalTile;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// The phases of [Reformer]: hash, sort, then round by round attention of chunks, each of which
/// takes up what its queries saw in the rounds before.
///
/// Within a chunk the slots are kept by position, not by bucket: a chunk is a set, and by position
/// its causal part is an interval, so that no pair needs a mask of its own.
final class ReformerPlan extends AttentionPlan {
  private static final int HASH_ROWS = 192;
  private static final int GROUP_SLOTS = 1024;
  private static final int MARKS = 2;

  /// A weight of 2⁶⁰ leaves nothing of the others in float32.
  private static final double LARGEST_EXPONENT = 60;

  private final Reformer attention;
  private final Kernels kernels = Kernels.get();
  private final int n = shape.keySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int rounds;
  private final int chunk;
  private final int buckets;
  private final int directions;
  private final int padded;
  private final int chunksPerRound;
  private final int chunks;
  private final int seenChunks;
  private final int groupChunks;
  private final int rows;
  private final int hashBlocks = Math.ceilDiv(n, HASH_ROWS);
  private final float factor;
  private final boolean pairwise;
  private final LshHash hash;
  private final double[] longest;
  private final float[] keys;
  private final float[] marks;
  private final int[] bucketOf;
  private final int[] chunkOf;
  private final int[] order;
  private final int[][] counts = new int[threads()][];
  private final float[][] rotated = new float[threads()][];
  private final KeyPanels[] panels = new KeyPanels[threads()];
  private final float[][] values = new float[threads()][];
  private final IntervalTile[] tiles = new IntervalTile[threads()];
  private final float[][] sumsBefore = new float[threads()][];
  private final float[][] bias = new float[threads()][];
  private final Workers.Task measure = this::measure;
  private final Workers.Task hashBlock = this::hashBlock;
  private final Workers.Task sort = this::sort;
  private final Workers.Task group = this::group;
  private int round;
  private float[] out = new float[0];

  ReformerPlan(PlanRequest request, Reformer attention) {
    super(request);
    this.attention = attention;
    rounds = attention.numHashes();
    chunk = attention.chunkLength();
    buckets = attention.buckets(n);
    directions = attention.directions(n);
    padded = paddedLength(attention, shape);
    chunksPerRound = padded / chunk;
    chunks = rounds * chunksPerRound;
    seenChunks = attention.chunksBefore() + 1 + attention.chunksAfter();
    groupChunks = groupChunks(attention, shape);
    rows = rows(attention);
    factor = (float) attention.scaleFor(shape);
    pairwise = attention.sameBucketOnly() || attention.discountDuplicates();
    int[] factors = attention.bucketFactors(n).stream().mapToInt(Integer::intValue).toArray();
    hash = new LshHash(d, rounds, factors);
    longest = scratch.doubles(shape.problems());
    keys = scratch.floats((long) shape.problems() * n * d);
    marks = scratch.floats((long) shape.problems() * n * MARKS);
    long slots = (long) shape.problems() * rounds * padded;
    bucketOf = scratch.ints(slots);
    chunkOf = scratch.ints(slots);
    order = scratch.ints(slots);
    int loaded = (groupChunks + seenChunks - 1) * chunk;
    for (int t = 0; t < threads(); t++) {
      counts[t] = scratch.ints(Math.max(buckets + 1, chunksPerRound));
      rotated[t] = scratch.floats((long) HASH_ROWS * rounds * directions);
      panels[t] = new KeyPanels(scratch, loaded, d);
      values[t] = scratch.floats((long) loaded * dv);
      tiles[t] = new IntervalTile(scratch, rows, d, dv);
      sumsBefore[t] = scratch.floats(rows);
      bias[t] = scratch.floats(pairwise ? (long) rows * chunk : 0);
    }
  }

  /// Bytes the constructor allocates.
  static long scratchBytes(Reformer attention, AttentionShape s, int threads) {
    int n = s.keySeqLen();
    int chunk = attention.chunkLength();
    int seen = attention.chunksBefore() + 1 + attention.chunksAfter();
    int loaded = (groupChunks(attention, s) + seen - 1) * chunk;
    int rows = rows(attention);
    boolean pairwise = attention.sameBucketOnly() || attention.discountDuplicates();
    long padded = paddedLength(attention, s);
    long shared =
        (long) s.problems() * Double.BYTES
            + (long) s.problems() * n * ((long) s.headDim() + MARKS) * Float.BYTES
            + 3L * s.problems() * attention.numHashes() * padded * Integer.BYTES;
    long floats =
        (long) HASH_ROWS * attention.numHashes() * attention.directions(n)
            + (long) loaded * s.valueDim()
            + rows
            + (pairwise ? (long) rows * chunk : 0)
            + Math.max(attention.buckets(n) + 1, padded / chunk);
    long perThread =
        floats * Float.BYTES
            + KeyPanels.bytes(loaded, s.headDim())
            + IntervalTile.bytes(rows, s.headDim(), s.valueDim());
    return shared + threads * perThread;
  }

  private static int paddedLength(Reformer attention, AttentionShape s) {
    int chunk = attention.chunkLength();
    return Math.multiplyExact(Math.ceilDiv(s.keySeqLen(), chunk), chunk);
  }

  private static int groupChunks(Reformer attention, AttentionShape s) {
    int perRound = Math.ceilDiv(s.keySeqLen(), attention.chunkLength());
    return Math.clamp(GROUP_SLOTS / attention.chunkLength(), 1, Math.max(1, perRound));
  }

  private static int rows(Reformer attention) {
    return Math.min(attention.chunkLength(), SoftmaxTile.preferredRows());
  }

  @Override
  protected void compute(Tensor output) {
    out = output.data();
    workers.run(shape.problems(), measure);
    workers.run(shape.problems() * hashBlocks, hashBlock);
    workers.run(shape.problems() * rounds, sort);
    for (round = 0; round < rounds; round++) {
      workers.run(shape.problems() * Math.ceilDiv(chunksPerRound, groupChunks), group);
    }
  }

  private void measure(int worker, int problem) {
    longest[problem] = hash.longest(input("rotations"), problem * d * rounds * directions);
  }

  /// Buckets of all rounds and k̂, for some tokens of a head.
  private void hashBlock(int worker, int index) {
    int problem = index / hashBlocks;
    int batch = problem / shape.numHeads();
    int first = index % hashBlocks * HASH_ROWS;
    int count = Math.min(HASH_ROWS, n - first);
    float[] x = input("qk");
    float[] rotations = input("rotations");
    int ro = problem * d * rounds * directions;
    float[] y = rotated[worker];
    hash.rotate(kernels, count, x, (problem * n + first) * d, rotations, ro, y);
    for (int i = 0; i < count; i++) {
      int token = first + i;
      int xo = (problem * n + token) * d;
      double squares = kernels.dot(d, x, xo, x, xo);
      kernels.scale(d, (float) attention.keyFactor(squares, d), x, xo, keys, xo);
      boolean real = mask.isRealKey(batch, token);
      for (int r = 0; r < rounds; r++) {
        int at = (i * rounds + r) * directions;
        bucketOf[(problem * rounds + r) * padded + token] =
            real
                ? hash.bucket(
                    kernels, y, at, x, xo, rotations, ro, r, Math.sqrt(squares), longest[problem])
                : buckets;
      }
      if (!real) {
        Arrays.fill(out, (problem * n + token) * dv, (problem * n + token + 1) * dv, 0);
      }
    }
  }

  /// Sorts one round by (bucket, position) and fills each chunk with its tokens, real ones first,
  /// by position: two counting sorts.
  private void sort(int worker, int index) {
    int batch = index / rounds / shape.numHeads();
    int at = index * padded;
    int[] next = counts[worker];
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

  /// Some neighbouring chunks of the current round: their keys are packed once.
  private void group(int worker, int index) {
    int groups = Math.ceilDiv(chunksPerRound, groupChunks);
    int problem = index / groups;
    int first = index % groups * groupChunks;
    int count = Math.min(groupChunks, chunksPerRound - first);
    int begin = round * chunksPerRound + first;
    for (int k = 0; k < count + seenChunks - 1; k++) {
      load(worker, problem, neighbour(begin, k), k * chunk);
    }
    for (int k = 0; k < count; k++) {
      int real = realIn(problem, begin + k);
      for (int from = 0; from < real; from += rows) {
        block(worker, problem, begin + k, k, from, Math.min(rows, real - from));
      }
    }
  }

  private int neighbour(int c, int k) {
    return Math.floorMod(c - attention.chunksBefore() + k, chunks);
  }

  /// Real tokens of a chunk: padded ones have the last bucket and thus the last slots of a round.
  private int realIn(int problem, int c) {
    int real = mask.realKeys(problem / shape.numHeads(), n);
    return Math.clamp(real - (long) c % chunksPerRound * chunk, 0, chunk);
  }

  /// Packs k̂ and gathers v of a chunk.
  private void load(int worker, int problem, int c, int at) {
    int real = realIn(problem, c);
    int slots = problem * rounds * padded + c * chunk;
    panels[worker].gather(keys, problem * n * d, d, order, slots, real, at);
    for (int s = 0; s < real; s++) {
      int token = problem * n + order[slots + s];
      System.arraycopy(input("v"), token * dv, values[worker], (at + s) * dv, dv);
    }
  }

  /// Some queries of chunk c over the chunks it looks at, after those of the rounds before.
  private void block(int worker, int problem, int c, int inGroup, int from, int count) {
    int slots = problem * rounds * padded;
    int queries = slots + c * chunk + from;
    IntervalTile tile = tiles[worker];
    tile.begin(input("qk"), problem * n * d, d, order, queries, count, factor);
    int values = problem * n * dv;
    if (round > 0) {
      tile.resume(out, values, dv, order, queries, marks, problem * n * MARKS, MARKS);
    }
    for (int r = 0; r < count; r++) {
      int sum = (problem * n + order[queries + r]) * MARKS;
      sumsBefore[worker][r] = round == 0 ? 0 : marks[sum];
    }
    for (int k = 0; k < seenChunks; k++) {
      int other = neighbour(c, k);
      int base = (inGroup + k) * chunk;
      int real = realIn(problem, other);
      if (pairwise) {
        pairBias(worker, problem, queries, count, other, real);
        tile.attendBiased(
            panels[worker], this.values[worker], 0, dv, base, base + real, bias[worker], 0, chunk);
      } else {
        for (int side = 0; side < 2; side++) {
          if (!mask.isCausal() && other / chunksPerRound == round) {
            aroundSlot(tile, count, base, real, other == c ? from : real, side == 0);
          } else {
            aroundSelf(tile, queries, count, slots + other * chunk, real, base, side == 0);
          }
          tile.defer(panels[worker], this.values[worker], 0, dv);
        }
      }
    }
    tile.flush(panels[worker], this.values[worker], 0, dv);
    tile.suspend(out, values, dv, order, queries, marks, problem * n * MARKS, MARKS);
    for (int r = 0; r < count; r++) {
      conclude(problem, order[queries + r], sumsBefore[worker][r]);
    }
  }

  /// The keys of a chunk on one side of each query, where query r is in slot `first + r` if the
  /// chunk has one, and may see all others.
  private static void aroundSlot(
      IntervalTile tile, int count, int base, int real, int first, boolean firstSide) {
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
      IntervalTile tile,
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
  private void pairBias(int worker, int problem, int queries, int count, int other, int real) {
    int slots = problem * rounds * padded;
    int keys = slots + other * chunk;
    int own = slots + round * padded;
    boolean sameRound = other / chunksPerRound == round;
    float[] to = bias[worker];
    for (int r = 0; r < count; r++) {
      int t = order[queries + r];
      int limit = mask.causalLimit(t, n, n);
      for (int s = 0; s < real; s++) {
        int u = order[keys + s];
        boolean seen =
            u != t
                && u < limit
                && (!attention.sameBucketOnly()
                    || (sameRound && bucketOf[own + t] == bucketOf[own + u]));
        to[r * chunk + s] =
            seen
                ? attention.discountDuplicates()
                    ? (float) -Math.log(timesFound(slots, t, u) + 1e-9)
                    : 0
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

  /// A query that saw no other token in a round sees itself, far below every score; after the last
  /// round sums are divided.
  private void conclude(int problem, int t, float sumBefore) {
    int row = problem * n + t;
    int mark = row * MARKS;
    if (marks[mark] == sumBefore && t < mask.causalLimit(t, n, n)) {
      double penalty = -attention.selfPenalty() / Math.log(2);
      if (sumBefore == 0) {
        marks[mark + 1] = (float) penalty;
      }
      double exponent = Math.min(LARGEST_EXPONENT, penalty - marks[mark + 1]);
      float weight = (float) Math.pow(2, sumBefore == 0 ? 0 : exponent);
      marks[mark] += weight;
      kernels.axpy(dv, weight, input("v"), row * dv, out, row * dv);
    }
    if (round == rounds - 1) {
      float inverse = marks[mark] == 0 ? 0 : 1 / marks[mark];
      kernels.scale(dv, inverse, out, row * dv, out, row * dv);
    }
  }
}
