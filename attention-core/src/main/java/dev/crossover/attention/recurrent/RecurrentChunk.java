package dev.crossover.attention.recurrent;

import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// The chunkwise algebra of a matrix state, with the scratch of one worker.
///
/// With S the state before a chunk of C rows, c the cumulative g inside it, D_ij = exp(c_i − c_j)
/// for j ≤ i and Q scaled:
///
/// ```
/// U   = β V                                                       values as written; erasing:
/// U   = (I + A)⁻¹ β (V − eᶜ K S),   A = lower(β (K Kᵀ) ∘ D)       strictly lower
/// out = (eᶜ Q) S + ((Q Kᵀ) ∘ D) U
/// S   ← e^{c_last} S + (e^{c_last − c} K)ᵀ U
/// ```
///
/// The inverse is applied by forward substitution, a block of rows at a time. −βK is kept below Q,
/// so that both meet K and S in one product and sums replace differences.
final class RecurrentChunk {
  /// Rows that are substituted one by one, between products.
  private static final int SUBSTITUTED = 16;

  private final Kernels kernels = Kernels.get();
  private final ChunkLayout layout;
  private final UpdateRule rule;
  private final Mask mask;
  private final ChunkDecay decay;
  private final int chunk;
  private final int dim;
  private final int valueDim;
  private final float[] left;
  private final float[] copiedKeys;
  private final float[] carried;
  private final float[] departing;
  private final float[] scores;
  private final float[] strengths;
  private final float[] written;
  private final float[] state;
  private final float[] finishing;
  private final float[] transposed;

  private float[] keys = new float[0];
  private int keyOffset;
  private int batch;
  private int head;
  private int first;
  private int count;
  private int row;
  private int position;

  RecurrentChunk(ChunkLayout layout, Scratch scratch) {
    this.layout = layout;
    this.rule = layout.rule();
    this.mask = layout.mask();
    this.chunk = layout.chunk();
    this.dim = layout.shape().headDim();
    this.valueDim = layout.shape().valueDim();
    left = scratch.floats(layout.left());
    copiedKeys = scratch.floats(layout.keys());
    carried = layout.decays() ? scratch.floats(layout.carried()) : left;
    departing = scratch.floats(layout.departing());
    scores = scratch.floats(layout.scores());
    strengths = scratch.floats(layout.strengths());
    written = scratch.floats(layout.written());
    state = scratch.floats(layout.state());
    finishing = scratch.floats(layout.finishing());
    transposed = scratch.floats(layout.transposed());
    decay = new ChunkDecay(layout, scratch);
  }

  /// Starts a head with an empty state.
  void start(int ofBatch, int ofHead) {
    batch = ofBatch;
    head = ofHead;
    decay.head(ofHead);
    Arrays.fill(state, 0);
  }

  /// Takes a block of the columns of S from `[d, dv]` storage.
  void load(int block, float[] from, int at) {
    int width = width(block);
    int column = block * layout.columns();
    for (int a = 0; a < dim; a++) {
      System.arraycopy(
          from, at + a * valueDim + column, state, stateAt(block) + a * layout.columns(), width);
    }
  }

  /// Writes a block of the columns of S to `[d, dv]` storage, after `positions` positions.
  void store(int block, int positions, float[] to, int at) {
    int width = width(block);
    int column = block * layout.columns();
    rule.restartPositions(state, stateAt(block), layout.columns(), positions);
    for (int a = 0; a < dim; a++) {
      System.arraycopy(
          state, stateAt(block) + a * layout.columns(), to, at + a * valueDim + column, width);
    }
  }

  /// Takes the next rows of the head: everything that does not depend on value columns.
  ///
  /// @param t index of the first row in the sequence
  void rows(int t, int rows, float[] q, int qo, float[] k, int ko) {
    first = t;
    count = rows;
    row = (batch * layout.shape().numHeads() + head) * layout.shape().querySeqLen() + t;
    position = t;
    kernels.scale(count * dim, (float) rule.scale(), q, qo, left, 0);
    if (rule.transforms()) {
      rule.transform(left, 0, position, count);
    }
    takeKeys(k, ko);
    if (rule.erases()) {
      for (int i = 0; i < count; i++) {
        kernels.scale(dim, -strengths[i], keys, keyOffset + i * dim, left, (count + i) * dim);
      }
    }
    decay.rows(count, left, carried, keys, keyOffset, departing);
    decay.scores(left, carried, keys, keyOffset, scores, transposed);
  }

  private void takeKeys(float[] k, int ko) {
    boolean copied = rule.transforms();
    for (int from = 0; from < count; ) {
      int real = Math.min(first + count, mask.nextPadding(batch, first + from, first + count));
      int to = real - first;
      decay.run(head, row + from, from, to);
      if (rule.weighsWrites()) {
        for (int i = from; i < to; i++) {
          strengths[i] = rule.writeStrength(head, row + i);
        }
      }
      int next = Math.min(first + count, mask.nextReal(batch, real, first + count)) - first;
      if (next > to) {
        copied = true;
        decay.skip(to, next);
        Arrays.fill(strengths, Math.min(to, strengths.length), Math.min(next, strengths.length), 0);
      }
      from = next;
    }
    keys = copied ? copiedKeys : k;
    keyOffset = copied ? 0 : ko;
    if (copied) {
      copyKeys(k, ko);
    }
  }

  private void copyKeys(float[] k, int ko) {
    for (int i = 0; i < count; i++) {
      if (mask.isRealKey(batch, first + i)) {
        System.arraycopy(k, ko + i * dim, copiedKeys, i * dim, dim);
      } else {
        Arrays.fill(copiedKeys, i * dim, (i + 1) * dim, 0);
      }
    }
    if (rule.transforms()) {
      rule.transform(copiedKeys, 0, position, count);
    }
  }

  /// Writes the output of the taken rows for a block of value columns, and moves their state on.
  ///
  /// @param seen whether S may be other than zero
  /// @param v values from `vo`, `[count, dv]`
  /// @param out output from `oo`, `[count, dv]`
  void columns(int block, boolean seen, float[] v, int vo, float[] out, int oo) {
    int width = width(block);
    int stride = layout.columns();
    int s = stateAt(block);
    int column = block * layout.columns();
    int o = oo + column;
    if (seen) {
      kernels.multiply(
          count, width, dim, carried, 0, dim, state, s, stride, out, o, valueDim, false);
    }
    float[] u = v;
    int uo = vo + column;
    int ldu = valueDim;
    if (written.length > 0) {
      takeValues(width, v, vo + column);
      u = written;
      uo = 0;
      ldu = stride;
    }
    if (rule.erases()) {
      erase(seen, width, s);
    }
    kernels.multiplyLower(
        count, width, count, 0, scores, 0, chunk, u, uo, ldu, out, o, valueDim, seen);
    if (seen) {
      decay.state(state, s, width, stride);
    }
    kernels.multiplyTransposedA(
        dim,
        width,
        count,
        layout.decays() ? departing : keys,
        layout.decays() ? 0 : keyOffset,
        dim,
        u,
        uo,
        ldu,
        state,
        s,
        stride,
        true);
    for (int i = 0; i < count; i++) {
      boolean real = mask.isRealKey(batch, first + i);
      rule.finish(head, row + i, real, column, width, out, o + i * valueDim, finishing);
    }
  }

  /// U = βV, zero at padded positions.
  private void takeValues(int width, float[] v, int vo) {
    for (int i = 0; i < count; i++) {
      int at = i * layout.columns();
      if (!mask.isRealKey(batch, first + i)) {
        Arrays.fill(written, at, at + width, 0);
      } else if (rule.weighsWrites()) {
        kernels.scale(width, strengths[i], v, vo + i * valueDim, written, at);
      } else {
        System.arraycopy(v, vo + i * valueDim, written, at, width);
      }
    }
  }

  /// U ← (I + A)⁻¹ (U − β eᶜ K S).
  private void erase(boolean seen, int width, int s) {
    int stride = layout.columns();
    if (seen) {
      kernels.multiply(
          count, width, dim, carried, count * dim, dim, state, s, stride, written, 0, stride, true);
    }
    for (int from = 0; from < count; from += SUBSTITUTED) {
      int to = Math.min(count, from + SUBSTITUTED);
      if (from > 0) {
        kernels.multiply(
            to - from,
            width,
            from,
            scores,
            (count + from) * chunk,
            chunk,
            written,
            0,
            stride,
            written,
            from * stride,
            stride,
            true);
      }
      for (int i = from + 1; i < to; i++) {
        kernels.multiply(
            1,
            width,
            i - from,
            scores,
            (count + i) * chunk + from,
            chunk,
            written,
            from * stride,
            stride,
            written,
            i * stride,
            stride,
            true);
      }
    }
  }

  private int width(int block) {
    return Math.min(layout.columns(), valueDim - block * layout.columns());
  }

  private int stateAt(int block) {
    return block % layout.blocksPerTask() * dim * layout.columns();
  }
}
