package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Gradients of exact softmax attention for one key/value head and the query heads that share it,
/// from the saved log-sum-exp (Dao et al., arXiv:2205.14135, algorithm 4). With scores in units of
/// log 2:
///
/// ```
/// for each query head
///   D = rowsum(∂out ∘ out)
///   for each few panels of keys, for each block of query rows that see some of them
///     p  = 2^(q · kᵀ − lse)              the accumulators start at −lse
///     ds = p ∘ (∂out · vᵀ − D)           the accumulators start at −D
///     ∂q += ds · k;   ∂k += dsᵀ · q;   ∂v += pᵀ · ∂out
/// ∂q, ∂k times the scale
/// ```
///
/// Keys are packed real ones only, so padding never reaches a gradient; NaN in a real key or value
/// spreads to every gradient of its tile, also under causal order. One instance belongs to one
/// worker.
public final class SoftmaxGradient {
  private static final int BLOCK_GROUPS = 8;
  private static final int TILE = 256;
  private static final int ROWS = KernelSelection.VECTOR ? VectorTile.groupRows() : 4;

  /// Keys of a tile: a multiple of every panel and of ROWS, so that a block of ∂k rows never
  /// reaches into the next tile.
  private static final int SPAN = KeyPanels.alignment() == 32 ? 192 : 240;

  private static final int SHORT = 16;

  private static final int BLOCK = BLOCK_GROUPS * ROWS;

  private final Kernels kernels = Kernels.get();
  private final int dim;
  private final int valueDim;
  private final int keyStride;
  private final int valueStride;
  private final KeyPanels keyPanels;
  private final KeyPanels valuePanels;
  private final float[] keyRows;
  /// Stand-ins for arrays shorter than a vector.
  private final float[] shortQuery;
  private final float[] shortGradOut;
  private final float[] query;
  private final float[] gradOut;
  private final float[] minusLse;
  private final float[] minusD;
  private final float[] p;
  private final float[] ds;
  private final float[] gradQuery;
  private final float[] gradKey;
  private final float[] gradValue;
  private int keys;

  /// @param scratch allocator
  /// @param nq number of query rows of a head
  /// @param nk largest number of keys
  /// @param dim width of query and key rows
  /// @param valueDim width of value and output rows
  public SoftmaxGradient(Scratch scratch, int nq, int nk, int dim, int valueDim) {
    long queries = padded(nq);
    this.dim = dim;
    this.valueDim = valueDim;
    keyStride = stride(dim);
    valueStride = stride(valueDim);
    keyPanels = new KeyPanels(scratch, nk, dim);
    valuePanels = new KeyPanels(scratch, nk, valueDim);
    keyRows = scratch.floats((long) nk * dim + SHORT);
    shortQuery = scratch.floats(SHORT);
    shortGradOut = scratch.floats(SHORT);
    query = scratch.floats(queries * dim + 16);
    gradOut = scratch.floats(queries * valueDim + 16);
    minusLse = scratch.floats(queries);
    minusD = scratch.floats(queries);
    p = scratch.floats((BLOCK + 1L) * TILE);
    ds = scratch.floats((BLOCK + 1L) * TILE);
    gradQuery = scratch.floats(queries * keyStride);
    gradKey = scratch.floats((nk + ROWS) * (long) keyStride);
    gradValue = scratch.floats((nk + ROWS) * (long) valueStride);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int nq, int nk, int dim, int valueDim) {
    long queries = padded(nq);
    long floats =
        (long) nk * dim
            + queries * (dim + valueDim + 2 + stride(dim))
            + 32
            + 3 * SHORT
            + 2 * (BLOCK + 1L) * TILE
            + (nk + ROWS) * (long) (stride(dim) + stride(valueDim));
    return KeyPanels.bytes(nk, dim) + KeyPanels.bytes(nk, valueDim) + floats * Float.BYTES;
  }

  private static long padded(int rows) {
    return (rows + ROWS - 1L) / ROWS * ROWS;
  }

  private static int stride(int width) {
    return KernelSelection.VECTOR ? Lanes.roundUp(width, Lanes.L) : width;
  }

  /// Takes the real keys and values of the head and forgets everything before.
  ///
  /// @param index positions of the real keys from `from`, or null for positions 0 … count - 1
  public void begin(
      float[] k, int ko, float[] v, int vo, int @Nullable [] index, int from, int count) {
    keys = count;
    for (int j = 0; j < count; j++) {
      int row = index == null ? j : index[from + j];
      System.arraycopy(k, ko + row * dim, keyRows, j * dim, dim);
    }
    keyPanels.pack(keyRows, 0, dim, count, 0);
    if (index == null) {
      valuePanels.pack(v, vo, valueDim, count, 0);
    } else {
      valuePanels.gather(v, vo, valueDim, index, from, count, 0);
    }
    Arrays.fill(gradKey, 0);
    Arrays.fill(gradValue, 0);
  }

  /// Adds one query head's share and writes its own gradient.
  ///
  /// @param lse natural log-sum-exp of each row's scores, as the forward pass wrote it
  /// @param high number of leading keys that row r sees, from `ho`
  /// @param rows number of query rows
  public void addQueries(
      float[] q,
      int qo,
      float[] out,
      int oo,
      float[] go,
      int goo,
      float[] lse,
      int lo,
      int[] high,
      int ho,
      int rows,
      float scale,
      float[] gq,
      int gqo) {
    for (int r = 0; r < rows; r++) {
      minusD[r] = -kernels.dot(valueDim, go, goo + r * valueDim, out, oo + r * valueDim);
      boolean empty = lse[lo + r] == Float.NEGATIVE_INFINITY;
      minusLse[r] = empty ? 0 : (float) (-lse[lo + r] / Math.log(2));
    }
    if (KernelSelection.VECTOR) {
      boolean shortQ = q.length < SHORT;
      boolean shortGo = go.length < SHORT;
      if (shortQ) {
        System.arraycopy(q, 0, shortQuery, 0, q.length);
      }
      if (shortGo) {
        System.arraycopy(go, 0, shortGradOut, 0, go.length);
      }
      vectorQueries(
          shortQ ? shortQuery : q, qo, shortGo ? shortGradOut : go, goo, high, ho, rows, scale);
    } else {
      scalarQueries(q, qo, go, goo, high, ho, rows, scale);
    }
    for (int r = 0; r < rows; r++) {
      kernels.scale(dim, scale, gradQuery, r * keyStride, gq, gqo + r * dim);
    }
  }

  private void vectorQueries(
      float[] q, int qo, float[] go, int goo, int[] high, int ho, int rows, float scale) {
    Arrays.fill(gradQuery, 0);
    pack(q, qo, dim, rows, (float) (scale / Math.log(2)), query);
    pack(go, goo, valueDim, rows, 1, gradOut);
    for (int tile = 0; tile < keys; tile += SPAN) {
      int columns = Math.min(SPAN, keys - tile);
      for (int block = 0; block < rows; block += BLOCK) {
        int count = Math.min(BLOCK, rows - block);
        int most = 0;
        for (int r = 0; r < count; r++) {
          most = Math.max(most, Math.min(columns, high[ho + block + r] - tile));
        }
        if (most > 0) {
          weights(tile, block, count, most, high, ho);
          accumulate(q, qo, go, goo, tile, block, count, most);
        }
      }
    }
  }

  private static void pack(
      float[] rows, int offset, int width, int count, float factor, float[] groups) {
    for (int r = 0; r < count; r += ROWS) {
      int some = Math.min(ROWS, count - r);
      Packing.transpose(
          rows, offset + r * width, width, some, width, factor, groups, r * width, ROWS, ROWS);
    }
  }

  /// p and ds of one block of rows and one tile of keys; ∂q += ds · k.
  private void weights(int tile, int block, int count, int most, int[] high, int ho) {
    int panels = (most + Lanes.PANEL - 1) / Lanes.PANEL;
    int end = (most + ROWS - 1) / ROWS * ROWS;
    for (int g = 0; g < count; g += ROWS) {
      int row = block + g;
      FusedProducts.scores(
          dim, query, row * dim, keyPanels.data, tile * dim, panels, p, g * TILE, minusLse, row);
      FusedProducts.scores(
          valueDim,
          gradOut,
          row * valueDim,
          valuePanels.data,
          tile * valueDim,
          panels,
          ds,
          g * TILE,
          minusD,
          row);
      ScorePasses.weightGradients(p, ds, g * TILE, panels * Lanes.PANEL);
      for (int r = 0; r < ROWS; r++) {
        boolean present = g + r < count;
        int seen = present ? Math.clamp((long) high[ho + row + r] - tile, 0, most) : 0;
        Arrays.fill(p, (g + r) * TILE + seen, (g + r) * TILE + end, 0);
        Arrays.fill(ds, (g + r) * TILE + seen, (g + r) * TILE + end, 0);
      }
      FusedProducts.weighted(
          dim, most, ds, g * TILE, keyRows, tile * dim, dim, gradQuery, row * keyStride, keyStride);
    }
  }

  /// ∂v += pᵀ · ∂out and ∂k += dsᵀ · q for one block of rows and one tile of keys.
  private void accumulate(
      float[] q, int qo, float[] go, int goo, int tile, int block, int count, int most) {
    for (int j = 0; j < most; j += ROWS) {
      FusedProducts.transposed(
          valueDim,
          count,
          p,
          j,
          go,
          goo + block * valueDim,
          valueDim,
          gradValue,
          (tile + j) * valueStride,
          valueStride);
      FusedProducts.transposed(
          dim, count, ds, j, q, qo + block * dim, dim, gradKey, (tile + j) * keyStride, keyStride);
    }
  }

  private void scalarQueries(
      float[] q, int qo, float[] go, int goo, int[] high, int ho, int rows, float scale) {
    Arrays.fill(gradQuery, 0);
    for (int r = 0; r < rows; r++) {
      for (int j = 0; j < Math.min(keys, high[ho + r]); j++) {
        float score = scale * kernels.dot(dim, q, qo + r * dim, keyRows, j * dim);
        float weight = (float) Math.exp(score + minusLse[r] * Math.log(2));
        int value = j * valueDim;
        float slope =
            weight
                * (kernels.dot(valueDim, go, goo + r * valueDim, valuePanels.data, value)
                    + minusD[r]);
        kernels.axpy(dim, slope, keyRows, j * dim, gradQuery, r * keyStride);
        kernels.axpy(dim, slope, q, qo + r * dim, gradKey, j * keyStride);
        kernels.axpy(valueDim, weight, go, goo + r * valueDim, gradValue, j * valueStride);
      }
    }
  }

  /// Writes the gradients of the keys and values of the head; those of hidden positions are left
  /// alone.
  public void finish(
      float scale, float[] gk, int gko, float[] gv, int gvo, int @Nullable [] index, int from) {
    for (int j = 0; j < keys; j++) {
      int row = index == null ? j : index[from + j];
      kernels.scale(dim, scale, gradKey, j * keyStride, gk, gko + row * dim);
      System.arraycopy(gradValue, j * valueStride, gv, gvo + row * valueDim, valueDim);
    }
  }
}
