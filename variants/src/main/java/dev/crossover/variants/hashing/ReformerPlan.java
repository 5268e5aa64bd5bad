// SPDX-License-Identifier: Apache-2.0
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
import org.jspecify.annotations.Nullable;

/// The phases of [Reformer]: hash, sort, then round by round attention of chunks, each of which
/// takes up what its queries saw in the rounds before.
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
  private final float @Nullable [] lse;
  private final ReformerChunks chunks;
  private final int rounds;
  private final int chunk;
  private final int buckets;
  private final int directions;
  private final int groupChunks;
  private final int rows;
  private final int hashBlocks = Math.ceilDiv(n, HASH_ROWS);
  private final float factor;
  private final LshHash hash;
  private final double[] longest;
  private final float[] keys;
  private final float[] marks;
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

  /// @param lse receives the log-sum-exp of every row over all rounds, `[B,H,n]`; null where it is
  ///     not kept
  ReformerPlan(PlanRequest request, Reformer attention, float @Nullable [] lse) {
    super(request);
    this.attention = attention;
    this.lse = lse;
    chunks = new ReformerChunks(scratch, attention, shape, mask);
    order = chunks.order();
    rounds = attention.numHashes();
    chunk = attention.chunkLength();
    buckets = attention.buckets(n);
    directions = attention.directions(n);
    groupChunks = groupChunks(attention, shape);
    rows = rows(attention);
    factor = (float) attention.scaleFor(shape);
    int[] factors = attention.bucketFactors(n).stream().mapToInt(Integer::intValue).toArray();
    hash = new LshHash(d, rounds, factors);
    longest = scratch.doubles(shape.problems());
    keys = scratch.floats((long) shape.problems() * n * d);
    marks = scratch.floats((long) shape.problems() * n * MARKS);
    int loaded = (groupChunks + chunks.seen() - 1) * chunk;
    for (int t = 0; t < threads(); t++) {
      counts[t] = scratch.ints(ReformerChunks.counts(attention, shape));
      rotated[t] = scratch.floats((long) HASH_ROWS * rounds * directions);
      panels[t] = new KeyPanels(scratch, loaded, d);
      values[t] = scratch.floats((long) loaded * dv);
      tiles[t] = new IntervalTile(scratch, rows, d, dv);
      sumsBefore[t] = scratch.floats(rows);
      bias[t] = scratch.floats(chunks.pairwise() ? (long) rows * chunk : 0);
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
    long shared =
        (long) s.problems() * Double.BYTES
            + (long) s.problems() * n * ((long) s.headDim() + MARKS) * Float.BYTES
            + ReformerChunks.bytes(attention, s);
    long floats =
        (long) HASH_ROWS * attention.numHashes() * attention.directions(n)
            + (long) loaded * s.valueDim()
            + rows
            + (pairwise ? (long) rows * chunk : 0)
            + ReformerChunks.counts(attention, s);
    long perThread =
        floats * Float.BYTES
            + KeyPanels.bytes(loaded, s.headDim())
            + IntervalTile.bytes(rows, s.headDim(), s.valueDim());
    return shared + threads * perThread;
  }

  private static int groupChunks(Reformer attention, AttentionShape s) {
    int perRound = Math.ceilDiv(s.keySeqLen(), attention.chunkLength());
    return Math.clamp(GROUP_SLOTS / attention.chunkLength(), 1, Math.max(1, perRound));
  }

  private static int rows(Reformer attention) {
    return Math.min(attention.chunkLength(), SoftmaxTile.preferredRows());
  }

  /// The chunks of the last forward pass.
  ReformerChunks chunks() {
    return chunks;
  }

  /// Whether a token saw only itself, in every round.
  ///
  /// @param row `problem n + token`
  boolean sawOnlyItself(int row) {
    float reference = (float) (-attention.selfPenalty() / Math.log(2));
    return marks[row * MARKS] != 0 && marks[row * MARKS + 1] == reference;
  }

  /// k̂ of every token, `[B,H,n,d]`.
  float[] keys() {
    return keys;
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(shape.problems(), measure);
    workers.run(shape.problems() * hashBlocks, hashBlock);
    workers.run(shape.problems() * rounds, sort);
    for (round = 0; round < rounds; round++) {
      workers.run(shape.problems() * Math.ceilDiv(chunks.perRound(), groupChunks), group);
    }
  }

  private void sort(int worker, int index) {
    chunks.sort(index, counts[worker]);
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
        int bucket = buckets;
        if (real) {
          double norm = Math.sqrt(squares);
          bucket = hash.bucket(kernels, y, at, x, xo, rotations, ro, r, norm, longest[problem]);
        }
        chunks.put(problem, r, token, bucket);
      }
      if (!real) {
        Arrays.fill(out, (problem * n + token) * dv, (problem * n + token + 1) * dv, 0);
      }
    }
  }

  /// Some neighbouring chunks of the current round: their keys are packed once.
  private void group(int worker, int index) {
    int groups = Math.ceilDiv(chunks.perRound(), groupChunks);
    int problem = index / groups;
    int first = index % groups * groupChunks;
    int count = Math.min(groupChunks, chunks.perRound() - first);
    int begin = round * chunks.perRound() + first;
    for (int k = 0; k < count + chunks.seen() - 1; k++) {
      load(worker, problem, chunks.neighbour(begin, k), k * chunk);
    }
    for (int k = 0; k < count; k++) {
      int real = chunks.realIn(problem, begin + k);
      for (int from = 0; from < real; from += rows) {
        block(worker, problem, begin + k, k, from, Math.min(rows, real - from));
      }
    }
  }

  /// Packs k̂ and gathers v of a chunk.
  private void load(int worker, int problem, int c, int at) {
    int real = chunks.realIn(problem, c);
    int slots = chunks.slots(problem) + c * chunk;
    panels[worker].gather(keys, problem * n * d, d, order, slots, real, at);
    for (int s = 0; s < real; s++) {
      int token = problem * n + order[slots + s];
      System.arraycopy(input("v"), token * dv, values[worker], (at + s) * dv, dv);
    }
  }

  /// Some queries of chunk c over the chunks it looks at, after those of the rounds before.
  private void block(int worker, int problem, int c, int inGroup, int from, int count) {
    int queries = chunks.slots(problem) + c * chunk + from;
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
    for (int k = 0; k < chunks.seen(); k++) {
      int other = chunks.neighbour(c, k);
      int base = (inGroup + k) * chunk;
      if (chunks.pairwise()) {
        int end = base + chunks.realIn(problem, other);
        chunks.pairBias(problem, c, from, count, other, bias[worker]);
        tile.attendBiased(
            panels[worker], this.values[worker], 0, dv, base, end, bias[worker], 0, chunk);
      } else {
        for (int side = 0; side < 2; side++) {
          chunks.see(tile, problem, c, from, count, other, base, side == 0);
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
      float[] sums = lse;
      if (sums != null) {
        double sum = marks[mark + 1] * Math.log(2) + Math.log(marks[mark]);
        sums[row] = marks[mark] == 0 ? Float.NEGATIVE_INFINITY : (float) sum;
      }
      float inverse = marks[mark] == 0 ? 0 : 1 / marks[mark];
      kernels.scale(dv, inverse, out, row * dv, out, row * dv);
    }
  }
}
