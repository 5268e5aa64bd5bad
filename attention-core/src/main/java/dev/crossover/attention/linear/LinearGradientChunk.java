// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The chunkwise algebra of the backward pass of linear attention, with the scratch of one worker.
///
/// With `g_i` the gradient of row i, D_i its denominator and r the rule that guards it,
///
/// ```
/// G_i = g_i / r(D_i)                       gradient of the numerator, 0 for a row without keys
/// δ_i = −(g_i · out_i) r'(D_i) / r(D_i)    gradient of the denominator
/// ```
///
/// and with S, z the sums over all keys before a chunk, R = Σ ψ_i [G_i, δ_i] over all queries after
/// it, A = ψφᵀ and B = [G, δ][v, 1]ᵀ where key j is visible to row i and 0 elsewhere:
///
/// ```
/// dψ = [G, δ] [S, z]ᵀ + B φ        dφ = [v, 1] Rᵀ + Bᵀ ψ        dv = φ R_G + Aᵀ G
/// R += ψᵀ [G, δ]                   to the next chunk on the left
/// ```
///
/// which is Katharopoulos et al., arXiv:2006.16236, equations (13) to (15), a chunk at a time and
/// with the normaliser. With a scale, key j counts for row i with `w_ij = exp(reference_j −
/// reference_i)`, a constant for [FeatureMap.Scaling#MAXIMUM]: A and B are weighted with it inside
/// the chunk, and what comes through S and R with `exp` of the way to either end. All these
/// exponents are at most 0.
///
/// The gradient of the decay factor γ_l of [FeatureMap.Scaling#DECAY] is a sum over all pairs of a
/// key before l and a query from l on. It is formed without differences of large sums and without
/// dividing by γ: `p_i(l+1) = γ_l p_i(l) + A_il B_il` from `p_i(0)`, the part of the state, and
/// `dγ_l = Σ_i exp(reference_l − reference_i) p_i(l)`; what lies behind the chunk counts as one
/// more row. So a gate of 0 has the right gradient, too.
///
/// A key that a row may not see takes no part in that row's products, in either direction.
final class LinearGradientChunk {
  private static final int CHUNK = Segments.CHUNK;
  private static final int LINE = 16;

  private final Kernels kernels = Kernels.get();
  private final FeatureRows rows = new FeatureRows();
  private final FeatureGradients gradients = new FeatureGradients();
  private final FeatureMap map;
  private final AttentionShape shape;
  private final int worker;
  private final int dim;
  private final int valueDim;
  private final int width;
  private final int stride;
  private final float shift;
  private final boolean scaled;
  private final boolean decaying;

  /// φ, [v, 1] and references of the chunk's keys.
  final ChunkKeys keys;

  private final float[] psi;
  private final float[] ofPsi;
  private final float[] ofPhi;
  private final float[] ofValues;
  private final float[] ofRows;
  private final float[] ofQueryRows;
  private final float[] ofKeyRows;
  private final float[] upstream;
  private final float[] scaledUpstream;
  private final float[] products;
  private final float[] upstreamProducts;
  private final float[] pairs;
  private final float[] slopes;
  private final float[] work;
  private final float[] rowFactors;
  private final float[] featureSums;
  private final float[] shiftGradients;
  private final double[] stateParts;
  private final double[] factors;
  private final double[] decays;

  private float[] q = new float[0];
  private float[] out = new float[0];
  private float[] gradOut = new float[0];
  private float[] weights = new float[0];
  private float @Nullable [] gradQuery;
  private float @Nullable [] gradKey;
  private float @Nullable [] gradValue;
  private int queryRow;
  private int count;

  /// Of no use but that its reads happen; see [Kernels#readAhead].
  private float readAhead;

  LinearGradientChunk(FeatureSite site, FeatureMap map, int worker) {
    Scratch scratch = site.scratch();
    this.map = map;
    this.shape = site.shape();
    this.worker = worker;
    dim = shape.headDim();
    valueDim = shape.valueDim();
    width = map.width();
    stride = stride(valueDim);
    shift = map.keyShift();
    scaled = map.scaling() != FeatureMap.Scaling.NONE;
    decaying = map.scaling() == FeatureMap.Scaling.DECAY;
    keys = new ChunkKeys(site, map, worker, stride - valueDim);
    psi = scratch.floats((long) CHUNK * width);
    ofPsi = scratch.floats((long) CHUNK * width);
    ofPhi = scratch.floats((long) CHUNK * width);
    ofValues = scratch.floats((long) CHUNK * valueDim);
    ofRows = scratch.floats((long) CHUNK * dim);
    int weighed = map.weighsProducts() ? CHUNK * dim : 0;
    ofQueryRows = scratch.floats(weighed);
    ofKeyRows = scratch.floats(weighed);
    upstream = scratch.floats((long) CHUNK * stride);
    scaledUpstream = scratch.floats(scaled ? (long) CHUNK * stride : 0);
    products = scratch.floats(CHUNK * CHUNK);
    upstreamProducts = scratch.floats(CHUNK * CHUNK);
    pairs = scratch.floats(scaled || map.weighsProducts() ? CHUNK * CHUNK : 0);
    slopes = scratch.floats(map.weighsProducts() ? CHUNK : 0);
    work = scratch.floats(workSize(width, valueDim, dim));
    rowFactors = scratch.floats(CHUNK);
    featureSums = scratch.floats(CHUNK);
    shiftGradients = scratch.floats(CHUNK);
    stateParts = scratch.doubles(CHUNK);
    factors = scratch.doubles(CHUNK);
    decays = scratch.doubles(CHUNK);
  }

  /// Bytes the constructor allocates.
  ///
  /// @param keyWidth width of the keys that are kept beside their features, 0 if they are not
  static long bytes(int dim, int width, int valueDim, boolean scaled, int keyWidth) {
    int stride = stride(valueDim);
    long perRow = 3L * width + valueDim + dim + 2L * keyWidth + (scaled ? 2L : 1L) * stride;
    perRow += (scaled || keyWidth > 0 ? 3L : 2L) * CHUNK + (keyWidth > 0 ? 4 : 3);
    return (CHUNK * perRow + workSize(width, valueDim, dim)) * Float.BYTES
        + 3L * CHUNK * Double.BYTES
        + ChunkKeys.bytes(width, stride, keyWidth);
  }

  private static long workSize(int width, int valueDim, int dim) {
    int depth = Math.max(width, Math.max(valueDim + 1, dim));
    return Kernels.get().transposedBScratch(Math.max(CHUNK, valueDim), depth);
  }

  /// Room for a value and a one, rounded up to a cache line.
  private static int stride(int valueDim) {
    return (valueDim + LINE) / LINE * LINE;
  }

  /// Takes the tensors of a backward pass.
  ///
  /// @param rowWeights 1/r(D) and r'(D)/r(D) of every row, see [LinearKept#weights]
  /// @param asked where to add the gradients that were asked for
  void begin(
      BoundTensors inputs,
      float[] output,
      float[] gradOutput,
      float[] rowWeights,
      BoundTensors asked) {
    q = inputs.get("q");
    out = output;
    gradOut = gradOutput;
    weights = rowWeights;
    gradQuery = asked.has("q") ? asked.get("q") : null;
    gradKey = asked.has("k") ? asked.get("k") : null;
    gradValue = asked.has("v") ? asked.get("v") : null;
  }

  /// Takes query rows: ψ = φ_q(q), G and δ. A row that saw no key has ψ = G = δ = 0.
  ///
  /// @param first index of the first query in the tensors
  void takeQueries(int batch, int head, int first, int number) {
    count = number;
    queryRow = (batch * shape.numHeads() + head) * shape.querySeqLen() + first;
    rows.of(worker, batch, head, first, first, count).from(q, queryRow * dim, dim);
    readAhead =
        kernels.readAhead(count * dim, q, queryRow * dim)
            + kernels.readAhead(count * valueDim, gradOut, queryRow * valueDim)
            + kernels.readAhead(count * valueDim, out, queryRow * valueDim);
    map.queries(rows, psi, 0);
    for (int i = 0; i < count; i++) {
      int at = (queryRow + i) * valueDim;
      float inverse = weights[2 * (queryRow + i)];
      float slope = weights[2 * (queryRow + i) + 1];
      if (inverse == 0) {
        Arrays.fill(upstream, i * stride, i * stride + valueDim + 1, 0);
        Arrays.fill(psi, i * width, (i + 1) * width, 0);
        continue;
      }
      kernels.scale(valueDim, inverse, gradOut, at, upstream, i * stride);
      float product = slope == 0 ? 0 : -slope * kernels.dot(valueDim, gradOut, at, out, at);
      upstream[i * stride + valueDim] = product;
    }
    for (int i = 0; i < count && shift != 0; i++) {
      featureSums[i] = kernels.sum(width, psi, i * width);
    }
  }

  /// dψ = [G, δ] [S, z]ᵀ, and with a key shift what its part of the sums adds to every feature.
  ///
  /// @param state S and z, transposed, from `so`
  /// @param values Σ v, from `vo`
  /// @param seen number of keys in the sums
  void readState(float[] state, int so, float[] values, int vo, int seen) {
    kernels.multiply(
        count, width, valueDim + 1, upstream, 0, stride, state, so, width, ofPsi, 0, width, false);
    for (int i = 0; i < count && shift != 0; i++) {
      int g = i * stride;
      shiftGradients[i] =
          kernels.dot(valueDim, upstream, g, values, vo) + upstream[g + valueDim] * seen;
    }
  }

  /// Weighs what a row reads from the state with `exp` of the way to its last visible key.
  ///
  /// @param offset key that query 0 stands at
  void scaleState(int offset) {
    for (int i = 0; i < count && decaying; i++) {
      stateParts[i] = kernels.dot(width, psi, i * width, ofPsi, i * width);
    }
    if (scaled && rowFactors(keys.references[0], offset)) {
      kernels.scaleRows(count, width, rowFactors, 0, ofPsi, 0, width, ofPsi, 0, width);
    }
  }

  /// `exp(reference − that of the last visible key)` of every row; whether one is not 1. Rows of a
  /// chunk of padding read the state as it is, as they did in the forward pass.
  private boolean rowFactors(double reference, int offset) {
    boolean changed = false;
    for (int i = 0; i < count; i++) {
      double last = keys.references[keys.hasReal() ? keys.limit(i, offset) : 0];
      rowFactors[i] = (float) LinearState.factor(reference, last);
      changed |= rowFactors[i] != 1;
    }
    return changed;
  }

  /// dφ = [v, 1] Rᵀ and dv = φ R_G + shift · X: what the queries behind the chunk say of its keys.
  ///
  /// @param suffixReference that R is relative to
  /// @param state S and z before the chunk, transposed, from `so`; for decay factors only
  void readSuffix(LinearSuffix suffix, double suffixReference, float[] state, int so) {
    int number = keys.count;
    kernels.multiply(
        number,
        width,
        valueDim + 1,
        keys.values,
        0,
        stride,
        suffix.sum,
        0,
        width,
        ofPhi,
        0,
        width,
        false);
    kernels.multiplyTransposedB(
        number,
        valueDim,
        width,
        keys.features,
        0,
        width,
        suffix.sum,
        0,
        width,
        ofValues,
        0,
        valueDim,
        false,
        work,
        0);
    if (decaying) {
      startDecays(kernels.dot(suffix.sum.length, suffix.sum, 0, state, so));
    }
    if (scaled) {
      scaleSuffix(suffixReference);
    }
    if (map.weighsProducts()) {
      Arrays.fill(ofKeyRows, 0, number * dim, 0);
    }
    for (int j = 0; j < number && shift != 0; j++) {
      kernels.axpy(valueDim, shift, suffix.shifted, 0, ofValues, j * valueDim);
    }
  }

  /// Starts the gradients of the decay factors with what lies behind the chunk, as one more row
  /// that sees all its keys.
  ///
  /// @param statePart that row's `[S, z] · R`
  private void startDecays(double statePart) {
    double part = statePart;
    for (int l = 0; l < keys.count; l++) {
      factors[l] = Math.exp(keys.references[l] - keys.references[l + 1]);
      decays[l] = Math.exp(keys.references[l + 1] - keys.lastReference()) * part;
      part = factors[l] * part + kernels.dot(width, keys.features, l * width, ofPhi, l * width);
    }
  }

  private void scaleSuffix(double suffixReference) {
    boolean changed = false;
    for (int j = 0; j < keys.count; j++) {
      rowFactors[j] = (float) LinearState.factor(keys.references[j + 1], suffixReference);
      changed |= rowFactors[j] != 1;
    }
    if (changed) {
      kernels.scaleRows(keys.count, width, rowFactors, 0, ofPhi, 0, width, ofPhi, 0, width);
      kernels.scaleRows(
          keys.count, valueDim, rowFactors, 0, ofValues, 0, valueDim, ofValues, 0, valueDim);
    }
  }

  /// What rows and visible keys of the chunk say of each other: B φ, Bᵀ ψ and Aᵀ G.
  ///
  /// @param offset key that query 0 stands at
  void meetKeys(int offset) {
    if (!keys.hasReal()) {
      return;
    }
    multiplyRows(valueDim + 1, offset, upstream, 0, stride, keys.values, stride, upstreamProducts);
    for (int i = 0; i < count && shift != 0; i++) {
      shiftGradients[i] += kernels.sum(keys.limit(i, offset), upstreamProducts, i * CHUNK);
    }
    if (map.weighsProducts()) {
      multiplyRows(dim, offset, q, queryRow * dim, dim, keys.rows, dim, products);
      weighPairs(offset);
      passPairs(
          offset, dim, q, queryRow * dim, keys.rows, ofQueryRows, ofKeyRows, upstreamProducts);
    } else {
      multiplyRows(width, offset, psi, 0, width, keys.features, width, products);
      if (decaying || scaled && keys.references[keys.count] != keys.references[1]) {
        scalePairs(offset);
      }
      passPairs(offset, width, psi, 0, keys.features, ofPsi, ofPhi, upstreamProducts);
    }
    if (shift != 0) {
      shiftProducts(offset);
    }
    addTransposed(offset, valueDim, products, upstream, 0, stride, ofValues);
  }

  /// A or B, at least where row i sees key j.
  private void multiplyRows(
      int length, int offset, float[] x, int xo, int ldx, float[] y, int ldy, float[] target) {
    if (offset <= 0) {
      kernels.multiplyTransposedBLower(
          1, count, keys.count, length, x, xo, ldx, y, 0, ldy, target, 0, CHUNK, work, 0);
    } else {
      kernels.multiplyTransposedB(
          count, keys.count, length, x, xo, ldx, y, 0, ldy, target, 0, CHUNK, false, work, 0);
    }
  }

  /// Turns products q·k into A, and B into the gradients of those products.
  private void weighPairs(int offset) {
    Arrays.fill(ofQueryRows, 0, count * dim, 0);
    for (int i = 0; i < count; i++) {
      int limit = keys.limit(i, offset);
      int at = i * CHUNK;
      System.arraycopy(products, at, slopes, 0, limit);
      map.weightSlopes(limit, slopes, 0);
      map.weights(limit, products, at);
      if (decaying) {
        scaleRow(i, limit);
      }
      kernels.multiplyElements(limit, upstreamProducts, at, slopes, 0, upstreamProducts, at);
    }
  }

  /// `ofX += P y` and `ofY += Pᵀ x` with P lower triangular.
  private void passPairs(
      int offset, int length, float[] x, int xo, float[] y, float[] ofX, float[] ofY, float[] p) {
    kernels.multiplyLower(
        count, length, keys.count, offset, p, 0, CHUNK, y, 0, length, ofX, 0, length, true);
    addTransposed(offset, length, p, x, xo, length, ofY);
  }

  /// `C[j,:] += Σ_i P[i,j] · X[i,:]` over the rows i that see key j.
  private void addTransposed(
      int offset, int length, float[] p, float[] x, int xo, int ldx, float[] c) {
    int seenByAll = Math.clamp(offset, 0, keys.count);
    if (seenByAll > 0) {
      kernels.multiplyTransposedA(
          seenByAll, length, count, p, 0, CHUNK, x, xo, ldx, c, 0, length, true);
    }
    int firstRow = Math.max(0, -offset);
    int remaining = keys.count - seenByAll;
    int square = Math.min(count - firstRow, remaining);
    if (square <= 0) {
      return;
    }
    int at = firstRow * CHUNK + seenByAll;
    int to = seenByAll * length;
    kernels.multiplyTransposedLower(
        square, length, p, at, CHUNK, x, xo + firstRow * ldx, ldx, c, to, length, true);
    int below = count - firstRow - square;
    if (below > 0) {
      int from = firstRow + square;
      kernels.multiplyTransposedA(
          remaining,
          length,
          below,
          p,
          from * CHUNK + seenByAll,
          CHUNK,
          x,
          xo + from * ldx,
          ldx,
          c,
          to,
          length,
          true);
    }
  }

  /// `A_ij, B_ij ← exp(reference_j − reference_i) A_ij, B_ij` for the visible keys of each row; a
  /// row that has seen padding only has no reference yet.
  private void scalePairs(int offset) {
    for (int i = 0; i < count; i++) {
      scaleRow(i, keys.limit(i, offset));
    }
  }

  private void scaleRow(int i, int limit) {
    int at = i * CHUNK;
    double last = keys.references[limit];
    if (last == Double.NEGATIVE_INFINITY) {
      Arrays.fill(pairs, at, at + limit, 0);
    } else {
      for (int j = 0; j < limit; j++) {
        pairs[at + j] = (float) Math.max(-1e4, keys.references[j + 1] - last);
      }
      kernels.exp(limit, 1, 0, pairs, at, pairs, at);
    }
    if (decaying) {
      addDecays(i, limit);
    }
    kernels.multiplyElements(limit, products, at, pairs, at, products, at);
    kernels.multiplyElements(limit, upstreamProducts, at, pairs, at, upstreamProducts, at);
  }

  /// `dγ_l += exp(reference_l − reference_i) p_i(l)` for row i.
  private void addDecays(int i, int limit) {
    double part = stateParts[i];
    for (int l = 0; l < limit; l++) {
      int at = i * CHUNK + l;
      decays[l] += pairs[at] * part;
      part = factors[l] * part + (double) products[at] * upstreamProducts[at];
    }
  }

  /// `A_ij += shift · Σ_a ψ_ia`.
  private void shiftProducts(int offset) {
    for (int i = 0; i < count; i++) {
      float added = shift * featureSums[i];
      int at = i * CHUNK;
      for (int j = 0; j < keys.limit(i, offset); j++) {
        products[at + j] += added;
      }
    }
  }

  /// Adds the rows to the sums behind the keys before the chunk: R += ψᵀ [G, δ].
  ///
  /// @param reference that R is relative to
  /// @param offset key that query 0 stands at
  void join(LinearSuffix suffix, double reference, int offset) {
    float[] g = upstream;
    if (scaled && rowFactors(reference, offset)) {
      g = scaledUpstream;
      kernels.scaleRows(count, valueDim + 1, rowFactors, 0, upstream, 0, stride, g, 0, stride);
    }
    kernels.multiplyTransposedA(
        valueDim + 1, width, count, g, 0, stride, psi, 0, width, suffix.sum, 0, width, true);
    if (shift != 0) {
      kernels.multiply(
          1,
          valueDim,
          count,
          featureSums,
          0,
          CHUNK,
          upstream,
          0,
          stride,
          suffix.shifted,
          0,
          valueDim,
          true);
    }
  }

  /// dq from dψ.
  ///
  /// @param parameters where the gradients of parameters are summed, from `at`
  void finishQueries(float[] parameters, int at) {
    for (int i = 0; i < count && shift != 0; i++) {
      float added = shift * shiftGradients[i];
      for (int a = i * width; a < (i + 1) * width; a++) {
        ofPsi[a] += added;
      }
    }
    map.queryGradients(
        rows, gradients.of(psi, ofPsi, 0).to(ofRows, dim).parameters(parameters, at));
    if (map.weighsProducts() && keys.hasReal()) {
      kernels.add(count * dim, ofRows, 0, ofQueryRows, 0, ofRows, 0);
    }
    if (gradQuery != null) {
      int to = queryRow * dim;
      kernels.add(count * dim, gradQuery, to, ofRows, 0, gradQuery, to);
    }
  }

  /// dk from dφ, and dv; nothing for padding.
  ///
  /// @param row first of the chunk's rows among all rows of the keys
  /// @param parameters where the gradients of parameters are summed, from `at`
  void finishKeys(int row, float[] parameters, int at) {
    for (int r = 0; r < keys.count; ) {
      int end = r;
      while (end < keys.count && keys.isReal(end)) {
        end++;
      }
      if (end > r) {
        finishRun(row, r, end, parameters, at);
      }
      for (r = end; r < keys.count && !keys.isReal(r); r++) {
        map.paddingGradient(keys.run(r, r + 1), gradients.decays(decays, r));
      }
    }
  }

  private void finishRun(int row, int r, int end, float[] parameters, int at) {
    int number = end - r;
    gradients.of(keys.features, ofPhi, r * width).to(ofRows, dim).decays(decays, r);
    map.keyGradients(keys.run(r, end), gradients.parameters(parameters, at));
    if (map.weighsProducts()) {
      kernels.add(number * dim, ofRows, 0, ofKeyRows, r * dim, ofRows, 0);
    }
    if (gradKey != null) {
      int to = (row + r) * dim;
      kernels.add(number * dim, gradKey, to, ofRows, 0, gradKey, to);
    }
    if (gradValue != null) {
      int to = (row + r) * valueDim;
      kernels.add(number * valueDim, gradValue, to, ofValues, r * valueDim, gradValue, to);
    }
  }

  /// S and z after the chunk from those before it. Uses the chunk's features up.
  void advance(float[] from, int fo, float[] to, int at) {
    double last = keys.lastReference();
    for (int r = 0; r < keys.count && scaled; r++) {
      float factor = (float) LinearState.factor(keys.references[r + 1], last);
      kernels.scale(width, factor, keys.features, r * width, keys.features, r * width);
    }
    float factor = (float) LinearState.factor(keys.references[0], last);
    kernels.scale((valueDim + 1) * width, factor, from, fo, to, at);
    kernels.multiplyTransposedA(
        valueDim + 1,
        width,
        keys.count,
        keys.values,
        0,
        stride,
        keys.features,
        0,
        width,
        to,
        at,
        width,
        true);
  }

  /// Σ v after the chunk from that before it, with a key shift.
  void advanceValues(float[] from, int fo, float[] to, int at) {
    System.arraycopy(from, fo, to, at, valueDim);
    for (int r = 0; r < keys.count; r++) {
      kernels.add(valueDim, to, at, keys.values, r * stride, to, at);
    }
  }
}
