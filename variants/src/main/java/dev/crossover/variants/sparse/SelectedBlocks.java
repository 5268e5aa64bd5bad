package dev.crossover.variants.sparse;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import java.util.Arrays;

/// One worker's causal attention over blocks of keys that each query has chosen: its own block up
/// to itself, and whole blocks before it.
///
/// The queries that chose a block are gathered and meet it as one dense tile; what a query gets
/// from different blocks is merged by log-sum-exp (Lu et al., arXiv:2502.13189, algorithm 1): its
/// rows are summed with weights relative to its own block and divided at the end, one exponential
/// per merge.
final class SelectedBlocks {
  private static final int QUERIES_PER_BLOCK = 96;
  private static final int FEWEST_QUERIES = 768;

  /// A weight above e⁶⁰ makes its block the new reference: sums of such weights stay finite in
  /// float32.
  private static final float LARGEST_EXPONENT = 60;

  private final int blockSize;
  private final int perQuery;
  private final int dim;
  private final int valueDim;
  private final int rows = SoftmaxTile.preferredRows();
  private final Kernels kernels = Kernels.get();
  private final IntervalTile tile;
  private final float[] reference;
  private final float[] weightSum;
  private final float[] part;
  private final float[] partLse;
  private final int[] next;
  private final int[] queries;

  /// @param scratch allocator
  /// @param blockSize keys per block
  /// @param seqLen number of keys n
  /// @param perQuery most blocks a query chooses besides its own
  /// @param dim width of query and key rows
  /// @param valueDim width of value rows
  SelectedBlocks(Scratch scratch, int blockSize, int seqLen, int perQuery, int dim, int valueDim) {
    this.blockSize = blockSize;
    this.perQuery = perQuery;
    this.dim = dim;
    this.valueDim = valueDim;
    int most = queriesAtOnce(blockSize, seqLen, perQuery);
    tile = new IntervalTile(scratch, rows, dim, valueDim);
    reference = scratch.floats(most);
    weightSum = scratch.floats(most);
    part = scratch.floats((long) rows * valueDim);
    partLse = scratch.floats(rows);
    next = scratch.ints(Math.ceilDiv(seqLen, blockSize) + 1L);
    queries = scratch.ints((long) most * perQuery);
  }

  /// Bytes the constructor allocates.
  static long bytes(int blockSize, int seqLen, int perQuery, int dim, int valueDim) {
    int rows = SoftmaxTile.preferredRows();
    int most = queriesAtOnce(blockSize, seqLen, perQuery);
    long words =
        (long) most * (2 + perQuery)
            + (long) rows * (valueDim + 1)
            + Math.ceilDiv(seqLen, blockSize)
            + 1;
    return IntervalTile.bytes(rows, dim, valueDim) + words * Integer.BYTES;
  }

  /// How many consecutive queries to take at once, so that enough of them choose the same block.
  static int queriesAtOnce(int blockSize, int seqLen, int perQuery) {
    long blocks = Math.ceilDiv(seqLen, blockSize);
    long wanted = QUERIES_PER_BLOCK * blocks / Math.max(1, perQuery);
    return (int) Math.min(seqLen, Math.max(FEWEST_QUERIES, wanted));
  }

  /// Attends for `count` consecutive queries of one head.
  ///
  /// @param q queries from `qo`
  /// @param limit number of leading keys query r sees, from `limitOffset`; 0 makes its row zero
  /// @param chosen `perQuery` block numbers per query from `chosenOffset`, all before the block of
  ///     the query's last key; −1 is none
  /// @param out receives the rows from `oo`
  void attend(
      float[] q,
      int qo,
      int count,
      float factor,
      KeyPanels keys,
      float[] v,
      int vo,
      int[] limit,
      int limitOffset,
      int[] chosen,
      int chosenOffset,
      float[] out,
      int oo) {
    for (int first = 0; first < count; first += rows) {
      int length = Math.min(rows, count - first);
      tile.begin(q, qo + first * dim, dim, length, factor);
      for (int r = 0; r < length; r++) {
        int seen = limit[limitOffset + first + r];
        tile.see(r, Math.max(0, seen - 1) / blockSize * blockSize, seen);
      }
      tile.attend(keys, v, vo, valueDim);
      tile.finish(out, oo + first * valueDim, valueDim, reference, first);
    }
    if (perQuery == 0) {
      return;
    }
    Arrays.fill(weightSum, 0, count, 1);
    group(count, chosen, chosenOffset);
    for (int block = 0; block < next.length - 1; block++) {
      int end = next[block];
      for (int from = block == 0 ? 0 : next[block - 1]; from < end; from += rows) {
        int length = Math.min(rows, end - from);
        tile.begin(q, qo, dim, queries, from, length, factor);
        for (int r = 0; r < length; r++) {
          tile.see(r, block * blockSize, (block + 1) * blockSize);
        }
        tile.attend(keys, v, vo, valueDim);
        tile.finish(part, 0, valueDim, partLse, 0);
        merge(from, length, out, oo);
      }
    }
    for (int r = 0; r < count; r++) {
      float inverse = 1 / weightSum[r];
      kernels.scale(valueDim, inverse, out, oo + r * valueDim, out, oo + r * valueDim);
    }
  }

  /// Adds the tile's rows to their queries', weighted by e to the difference of their log-sum-exps.
  private void merge(int from, int length, float[] out, int oo) {
    for (int r = 0; r < length; r++) {
      int row = queries[from + r];
      partLse[r] -= reference[row];
      if (partLse[r] > LARGEST_EXPONENT) {
        float shrink = (float) Math.exp(-partLse[r]);
        int o = oo + row * valueDim;
        kernels.scale(valueDim, shrink, out, o, out, o);
        weightSum[row] *= shrink;
        reference[row] += partLse[r];
        partLse[r] = 0;
      }
    }
    kernels.exp(length, 1, 0, partLse, 0, partLse, 0);
    for (int r = 0; r < length; r++) {
      int row = queries[from + r];
      weightSum[row] += partLse[r];
      kernels.axpy(valueDim, partLse[r], part, r * valueDim, out, oo + row * valueDim);
    }
  }

  /// Lists the queries of each block: afterwards those of block I end at `next[I]`.
  private void group(int count, int[] chosen, int at) {
    Arrays.fill(next, 0);
    for (int s = 0; s < count * perQuery; s++) {
      next[chosen[at + s] + 1]++;
    }
    next[0] = 0;
    for (int b = 1; b < next.length; b++) {
      next[b] += next[b - 1];
    }
    for (int s = 0; s < count * perQuery; s++) {
      if (chosen[at + s] >= 0) {
        queries[next[chosen[at + s]]++] = s / perQuery;
      }
    }
  }

  /// Chooses the `wanted` largest of some scores, the earlier of equal ones first, fewer if there
  /// are fewer.
  ///
  /// @param scores from `at`
  /// @param into receives `wanted` indices from `to` by falling score, −1 where there is none
  static void choose(float[] scores, int at, int count, int wanted, int[] into, int to) {
    int size = 0;
    for (int j = 0; j < count; j++) {
      float score = scores[at + j];
      if (size == wanted && (wanted == 0 || !(score > scores[at + into[to + size - 1]]))) {
        continue;
      }
      int place = size < wanted ? size++ : size - 1;
      while (place > 0 && score > scores[at + into[to + place - 1]]) {
        into[to + place] = into[to + place - 1];
        place--;
      }
      into[to + place] = j;
    }
    for (int s = size; s < wanted; s++) {
      into[to + s] = -1;
    }
  }
}
