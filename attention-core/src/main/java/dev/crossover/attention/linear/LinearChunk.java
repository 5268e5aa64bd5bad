// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// The chunkwise algebra of linear attention, with the scratch of one worker.
///
/// With S, z the sums over all keys before a chunk, Q = φ(q), K = φ(k) the features of its rows and
/// A = QKᵀ where key j is visible to row i and 0 elsewhere:
///
/// ```
/// out = (Q S + A v) / r(Q z + rowsum A)        attend
/// S += Kᵀ v,   z += Σ K                        absorb
/// ```
///
/// Rows of A are handled so that nothing in row i depends on keys that row may not see: outputs do
/// not change by a single bit when later tokens do.
///
/// Tried at n = 8192, d = 64: rows of a chunk read ahead before anything else 1.12 times as fast;
/// row sums and divisions in one call for all rows 1.05. Not kept: 16 or 32 rows of queries at a
/// time (1 to 9 % slower, as without reading ahead), chunks of 32 or 128 rows (causal 12 to 17 %
/// slower), adding to S only every 256 keys (4 %).
final class LinearChunk {
  private static final int CHUNK = Segments.CHUNK;

  private final Kernels kernels = Kernels.get();
  private final FeatureRows rows = new FeatureRows();
  private final FeatureMap map;
  private final Denominator denominator;
  private final int worker;
  private final int dim;
  private final int valueDim;
  private final int width;
  private final float shift;

  private final float[] queryFeatures;
  private final ChunkKeys keys;
  private final float[] ones;
  private final float[] products;
  private final float[] transposed;
  private final float[] product;
  private final float[] columnSums;
  private final float[] valueSums;
  private final float[] decays;
  private final float[] denominators;
  private float[] weights = new float[0];

  /// Of no use but that its reads happen; see [Kernels#readAhead].
  private float readAhead;

  LinearChunk(FeatureSite site, LinearForm form, FeatureMap map, int worker) {
    Scratch scratch = site.scratch();
    this.map = map;
    this.denominator = form.denominator();
    this.worker = worker;
    this.dim = site.shape().headDim();
    this.valueDim = site.shape().valueDim();
    this.width = map.width();
    this.shift = map.keyShift();
    queryFeatures = scratch.floats((long) CHUNK * width);
    keys = new ChunkKeys(site, map, worker, 0);
    ones = scratch.floats(CHUNK);
    Arrays.fill(ones, 1);
    products = scratch.floats(CHUNK * CHUNK);
    transposed = scratch.floats(kernels.transposedBScratch(CHUNK, width));
    product = scratch.floats((long) width * valueDim);
    columnSums = scratch.floats(width);
    valueSums = scratch.floats(valueDim);
    decays = scratch.floats(2 * CHUNK);
    denominators = scratch.floats(CHUNK);
  }

  /// Bytes the constructor allocates.
  ///
  /// @param keyWidth width of the keys that are kept beside their features, 0 if they are not
  static long bytes(int width, int valueDim, int keyWidth) {
    long transposed = Kernels.get().transposedBScratch(CHUNK, width);
    long floats = (long) CHUNK * width + CHUNK * CHUNK + transposed;
    floats += (long) width * valueDim + width + valueDim + 4 * CHUNK;
    return floats * Float.BYTES + ChunkKeys.bytes(width, valueDim, keyWidth);
  }

  /// Keeps what the backward pass needs of every row's denominator D: 1/r(D) and r'(D)/r(D), both 0
  /// for a row that is zero.
  ///
  /// @param target two floats for every row of the output
  void keep(float[] target) {
    weights = target;
  }

  /// Starts a chunk without keys: every query sees exactly what the state holds.
  void noKeys(LinearState state) {
    keys.none(state.reference);
  }

  /// Takes the key and value rows of a chunk: K = φ(k), with zeros for padding.
  ///
  /// @param state sums over the keys before
  /// @param first index of the first key in the mask and the tensors
  /// @param position position of the first key in its sequence
  void keys(
      LinearState state,
      int batch,
      int head,
      int first,
      int position,
      int count,
      float[] k,
      int ko,
      float[] v,
      int vo) {
    keys.take(state.reference, batch, head, first, position, count, k, ko, v, vo);
  }

  /// Writes the output of query rows: row i sees the state and the chunk's keys `0..i + offset`.
  ///
  /// @param first index of the first query in the tensors
  /// @param position position of the first query in its sequence
  void attend(
      LinearState state,
      int batch,
      int head,
      int first,
      int position,
      int count,
      int offset,
      float[] q,
      int qo,
      float[] out,
      int oo) {
    rows.of(worker, batch, head, position, first, count).from(q, qo, dim);
    readAhead = kernels.readAhead(count * dim, q, qo);
    map.queries(rows, queryFeatures, 0);
    if (state.seen) {
      kernels.multiply(
          count,
          valueDim,
          width,
          queryFeatures,
          0,
          width,
          state.sum,
          0,
          valueDim,
          out,
          oo,
          valueDim,
          false);
    } else {
      Arrays.fill(out, oo, oo + count * valueDim, 0);
    }
    if (keys.hasReal()) {
      addVisibleKeys(state, count, offset, q, qo, out, oo);
    } else {
      weighState(state, count);
    }
    if (shift != 0) {
      addShift(state, count, offset, out, oo);
    }
    divide(state, count, offset, out, oo);
  }

  /// Adds A v to the numerators and the row sums of A to the denominators.
  private void addVisibleKeys(
      LinearState state, int count, int offset, float[] q, int qo, float[] out, int oo) {
    multiplyKeys(count, offset, q, qo);
    weighState(state, count);
    for (int i = 0; i < count; i++) {
      denominators[i] = weigh(state, i, keys.limit(i, offset), out, oo + i * valueDim);
    }
    kernels.multiplyLower(
        count,
        valueDim,
        keys.count,
        offset,
        products,
        0,
        CHUNK,
        keys.values,
        0,
        valueDim,
        out,
        oo,
        valueDim,
        true);
  }

  /// Q z.
  private void weighState(LinearState state, int count) {
    if (state.seen) {
      kernels.dotRows(count, width, queryFeatures, 0, width, state.normaliser, 0, denominators, 0);
    }
  }

  /// A, at least where row i sees key j: from features, or from the rows themselves.
  private void multiplyKeys(int count, int offset, float[] q, int qo) {
    if (keys.rows.length == 0) {
      multiplyRows(count, offset, width, queryFeatures, 0, keys.features);
      return;
    }
    multiplyRows(count, offset, dim, q, qo, keys.rows);
    for (int i = 0; i < count; i++) {
      int limit = keys.limit(i, offset);
      map.weights(limit, products, i * CHUNK);
      for (int j = 0; j < limit && keys.realKeys[limit] < limit; j++) {
        if (keys.realKeys[j + 1] == keys.realKeys[j]) {
          products[i * CHUNK + j] = 0;
        }
      }
    }
  }

  private void multiplyRows(int count, int offset, int length, float[] q, int qo, float[] k) {
    if (offset <= 0) {
      kernels.multiplyTransposedBLower(
          1,
          count,
          keys.count,
          length,
          q,
          qo,
          length,
          k,
          0,
          length,
          products,
          0,
          CHUNK,
          transposed,
          0);
    } else {
      kernels.multiplyTransposedB(
          count,
          keys.count,
          length,
          q,
          qo,
          length,
          k,
          0,
          length,
          products,
          0,
          CHUNK,
          false,
          transposed,
          0);
    }
  }

  /// Brings row i of Q S and of A to the reference of its last visible key; returns Q_i·z, which
  /// is in place, + Σ_j A_ij.
  private float weigh(LinearState state, int i, int limit, float[] out, int o) {
    float sum = 0;
    double reference = keys.references[limit];
    if (state.seen) {
      float factor = (float) LinearState.factor(keys.references[0], reference);
      sum = factor * denominators[i];
      if (factor != 1) {
        kernels.scale(valueDim, factor, out, o, out, o);
      }
    }
    if (keys.realKeys[limit] > 0) {
      if (reference != keys.references[1]) {
        decay(i, limit);
      }
      sum += kernels.sum(limit, products, i * CHUNK);
    }
    return sum;
  }

  /// A_ij ← A_ij · exp(reference_j − reference_i) for the visible keys of row i.
  private void decay(int i, int limit) {
    double reference = keys.references[limit];
    for (int j = 0; j < limit; j++) {
      decays[j] = (float) Math.max(-1e4, keys.references[j + 1] - reference);
    }
    kernels.exp(limit, 1, 0, decays, 0, decays, CHUNK);
    kernels.multiplyElements(limit, products, i * CHUNK, decays, CHUNK, products, i * CHUNK);
  }

  /// Adds what the key shift ε contributes: ε (Σ_a Q_ia) to the weight of every visible key.
  private void addShift(LinearState state, int count, int offset, float[] out, int oo) {
    System.arraycopy(state.values, 0, valueSums, 0, valueDim);
    int taken = 0;
    for (int i = 0; i < count; i++) {
      int limit = keys.limit(i, offset);
      for (; taken < limit; taken++) {
        kernels.add(valueDim, valueSums, 0, keys.values, taken * valueDim, valueSums, 0);
      }
      float weight = shift * kernels.sum(width, queryFeatures, i * width);
      kernels.axpy(valueDim, weight, valueSums, 0, out, oo + i * valueDim);
      denominators[i] += weight * (state.keys + keys.realKeys[limit]);
    }
  }

  /// A denominator of 0, which says that all features have vanished, gives zeros, and so does one
  /// so small that its inverse may be infinite.
  private void divide(LinearState state, int count, int offset, float[] out, int oo) {
    for (int i = 0; i < count; i++) {
      boolean visible = state.seen || keys.realKeys[keys.limit(i, offset)] > 0;
      float by = visible ? denominator.of(denominators[i]) : 0;
      boolean vanishes = Math.abs(by) < Float.MIN_NORMAL;
      if (vanishes) {
        Arrays.fill(out, oo + i * valueDim, oo + (i + 1) * valueDim, 0);
      }
      float inverse = vanishes ? 0 : 1 / by;
      if (weights.length > 0) {
        int row = 2 * (oo / valueDim + i);
        weights[row] = inverse;
        weights[row + 1] = inverse == 0 ? 0 : inverse * denominator.slope(denominators[i]);
      }
      denominators[i] = inverse;
    }
    kernels.scaleRows(count, valueDim, denominators, 0, out, oo, valueDim, out, oo, valueDim);
  }

  /// Adds the chunk's keys to the state: S += Kᵀ v, z += Σ K. Uses the chunk's features up.
  void absorb(LinearState state) {
    double last = keys.references[keys.count];
    state.rescale(last);
    if (!keys.hasReal()) {
      return;
    }
    for (int r = 0; r < keys.count; r++) {
      if (keys.references[r + 1] != last) {
        float factor = (float) LinearState.factor(keys.references[r + 1], last);
        kernels.scale(width, factor, keys.features, r * width, keys.features, r * width);
      }
    }
    kernels.multiply(
        1, width, keys.count, ones, 0, CHUNK, keys.features, 0, width, columnSums, 0, width, false);
    kernels.multiplyTransposedA(
        width,
        valueDim,
        keys.count,
        keys.features,
        0,
        width,
        keys.values,
        0,
        valueDim,
        product,
        0,
        valueDim,
        false);
    state.add(product);
    if (shift != 0) {
      kernels.multiply(
          1,
          valueDim,
          keys.count,
          ones,
          0,
          CHUNK,
          keys.values,
          0,
          valueDim,
          valueSums,
          0,
          valueDim,
          false);
    }
    state.addNormaliser(columnSums, valueSums, keys.realKeys[keys.count]);
  }
}
