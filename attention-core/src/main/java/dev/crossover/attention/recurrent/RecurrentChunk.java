// SPDX-License-Identifier: Apache-2.0
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
/// Where a row's write is completed by the row after it, U = (β_j + γ_{j+1}) v_j, which S and later
/// rows see, and `out = (eᶜ Q) S + strictly lower((Q Kᵀ) ∘ D) U + diag(QKᵀ) β V`: nothing of the
/// next row reaches this one.
///
/// The inverse is applied by forward substitution. −βK is kept below Q, so that both meet K and S
/// in one product and sums replace differences. Values are copied even where nothing changes them:
/// a copy streams from memory faster than a product does.
final class RecurrentChunk {
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
  private final float[] scores;
  private final float[] strengths;
  private final float[] written;
  private final float[] state;
  private final float[] finishing;
  private final float[] transposed;
  private final float[] stepped;
  private final float[] owns;
  private final float[] diagonals;
  private final int steps;

  private float[] keys = new float[0];
  private int keyOffset;
  private int batch;
  private int head;
  private int first;
  private int count;
  private int row;
  private int position;
  private boolean padded;
  private int length;
  private int origin;
  private boolean producing;

  RecurrentChunk(ChunkLayout layout, Scratch scratch) {
    this.layout = layout;
    this.rule = layout.rule();
    this.mask = layout.mask();
    this.chunk = layout.chunk();
    this.dim = layout.shape().headDim();
    this.valueDim = layout.shape().valueDim();
    left = scratch.floats(layout.left());
    copiedKeys = scratch.floats(layout.keys());
    carried = layout.decays() ? scratch.floats(layout.left()) : left;
    scores = scratch.floats(layout.scores());
    strengths = scratch.floats(layout.strengths());
    written = scratch.floats(layout.written());
    state = scratch.floats(layout.state());
    finishing = scratch.floats(layout.finishing());
    transposed = scratch.floats(layout.transposed());
    stepped = scratch.floats(layout.stepped());
    owns = scratch.floats(layout.diagonals());
    diagonals = scratch.floats(layout.diagonals());
    steps = rule.steps();
    decay = ChunkDecay.of(layout, scratch);
  }

  /// Starts a head with an empty state.
  ///
  /// @param rowsPerHead rows of the recurrence of each head in the tensors
  /// @param firstPosition position of their first row
  /// @param output whether outputs are wanted, or only the state after the last row
  void start(int ofBatch, int ofHead, int rowsPerHead, int firstPosition, boolean output) {
    batch = ofBatch;
    head = ofHead;
    length = rowsPerHead;
    origin = firstPosition;
    producing = output;
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
    rule.restartPositions(state, stateAt(block), layout.columns(), positions);
    save(block, to, at);
  }

  /// Writes a block of the columns of S to `[d, dv]` storage as it stands.
  void save(int block, float[] to, int at) {
    int width = width(block);
    int column = block * layout.columns();
    for (int a = 0; a < dim; a++) {
      System.arraycopy(
          state, stateAt(block) + a * layout.columns(), to, at + a * valueDim + column, width);
    }
  }

  /// Takes the next rows of the head: everything that does not depend on value columns.
  ///
  /// @param t index of the first row in the sequence
  void rows(int t, int rows, float[] q, int qo, float[] k, int ko) {
    begin(t, rows);
    takeKeys(k, ko);
    decay.begin(count);
    if (!producing && !rule.erases()) {
      decay.keys(keys, keyOffset);
      return;
    }
    if (decay.byNumber()) {
      takeLeft(carried, 0, true, q, qo);
    }
    takeLeft(left, decay.plainFrom(), false, q, qo);
    decay.carryChannels(left, carried);
    decay.scores(left, carried, keys, keyOffset, scores, transposed);
    takeDiagonals();
  }

  private void begin(int t, int rows) {
    first = t;
    count = rows;
    row = (batch * layout.shape().numHeads() + head) * length + t;
    position = origin + t;
  }

  /// Takes the diagonal out of the scores where a row sees its own write otherwise than later ones.
  private void takeDiagonals() {
    for (int i = 0; i < count && rule.completesLater(); i++) {
      boolean real = mask.isRealKey(batch, first + i);
      diagonals[i] = real ? scores[i * chunk + i] : 0;
      scores[i * chunk + i] = 0;
    }
  }

  /// The strengths with which later rows see writes.
  private void completeStrengths() {
    for (int i = 0; i < count; i++) {
      owns[i] = strengths[i];
      if (isCompleted(i)) {
        strengths[i] += rule.laterStrength(head, row + i + 1);
      }
    }
  }

  /// Whether a row of the chunk and the one after it are real.
  boolean isCompleted(int i) {
    int next = first + i + 1;
    return next < length && mask.isRealKey(batch, next - 1) && mask.isRealKey(batch, next);
  }

  /// Takes rows as [#rows] does, for the backward pass: all left rows without decay, too.
  void rowsForGradient(int t, int rows, float[] q, int qo, float[] k, int ko) {
    begin(t, rows);
    takeKeys(k, ko);
    decay.begin(count);
    decay.beginGradient();
    takeLeft(left, 0, false, q, qo);
    decay.carry(left, carried);
    decay.allScores(left, carried, keys, keyOffset, scores, transposed);
    takeDiagonals();
  }

  /// Rows from `from` on of scaled queries and, below them, of −βK; decayed by exp(c) if wanted.
  private void takeLeft(float[] target, int from, boolean decayed, float[] q, int qo) {
    float scale = (float) rule.scale();
    if (from >= count) {
      return;
    }
    if (rule.formsRows() || steps > 1) {
      for (int i = from; i < count; i++) {
        takeRow(target, i, decayed ? decay.factor(i) : 1, q, qo + i / steps * dim);
      }
      return;
    }
    if (decayed) {
      for (int i = from; i < count; i++) {
        kernels.scale(dim, scale * decay.factor(i), q, qo + i * dim, target, i * dim);
      }
    } else {
      kernels.scale((count - from) * dim, scale, q, qo + from * dim, target, from * dim);
    }
    if (rule.transforms()) {
      rule.transform(target, from * dim, position + from, count - from);
    }
    for (int i = from; i < count && rule.erases(); i++) {
      float weight = -strengths[i] * (decayed ? decay.factor(i) : 1);
      kernels.scale(dim, weight, keys, keyOffset + i * dim, target, (count + i) * dim);
    }
  }

  /// One row of queries, zero if its token has further rows, and below them of erasing rows.
  private void takeRow(float[] target, int i, float factor, float[] q, int qo) {
    int at = i * dim;
    if ((first + i + 1) % steps != 0) {
      Arrays.fill(target, at, at + dim, 0);
    } else if (rule.formsRows()) {
      rule.formQuery(head, (row + i) / steps, q, qo, target, at);
      kernels.scale(dim, factor, target, at, target, at);
    } else {
      kernels.scale(dim, (float) rule.scale() * factor, q, qo, target, at);
    }
    if (!rule.erases()) {
      return;
    }
    int erasing = (count + i) * dim;
    int key = keyOffset + at;
    if (!rule.formsRows()) {
      kernels.scale(dim, -strengths[i] * factor, keys, key, target, erasing);
    } else if (mask.isRealKey(batch, first + i)) {
      rule.formErasing(head, row + i, keys, key, target, erasing);
      kernels.scale(dim, factor, target, erasing, target, erasing);
    } else {
      Arrays.fill(target, erasing, erasing + dim, 0);
    }
  }

  private void takeKeys(float[] k, int ko) {
    boolean copied = rule.transforms() || rule.formsRows();
    padded = false;
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
        padded = true;
        decay.skip(to, next);
        Arrays.fill(strengths, Math.min(to, strengths.length), Math.min(next, strengths.length), 0);
      }
      from = next;
    }
    if (rule.completesLater()) {
      completeStrengths();
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
        if (rule.formsRows()) {
          rule.formKey(head, row + i, k, ko + i * dim, copiedKeys, i * dim);
        } else {
          System.arraycopy(k, ko + i * dim, copiedKeys, i * dim, dim);
        }
      } else {
        Arrays.fill(copiedKeys, i * dim, (i + 1) * dim, 0);
      }
    }
    if (rule.transforms()) {
      rule.transform(copiedKeys, 0, position, count);
    }
  }

  /// Writes the output of the taken rows before it is completed, if it is wanted, for a block of
  /// value columns, and moves their state on.
  ///
  /// @param seen whether S may be other than zero
  /// @param v values from `vo`, `[count, dv]`
  /// @param out output from `oo`, `[count, dv]`, or one row per token
  void columns(int block, boolean seen, float[] v, int vo, float[] out, int oo) {
    int width = width(block);
    int stride = layout.columns();
    int s = stateAt(block);
    int column = block * layout.columns();
    float[] rows = steps == 1 ? out : stepped;
    int o = steps == 1 ? oo + column : 0;
    int ldo = steps == 1 ? valueDim : stride;
    if (seen && producing) {
      kernels.multiply(count, width, dim, carried, 0, dim, state, s, stride, rows, o, ldo, false);
    }
    takeValues(width, v, vo + column, column);
    if (rule.erases()) {
      erase(seen, width, s);
    }
    if (producing) {
      int to = rule.completesLater() ? -1 : 0;
      kernels.multiplyLower(
          count, width, count, to, scores, 0, chunk, written, 0, stride, rows, o, ldo, seen);
      for (int i = 0; i < count && rule.completesLater(); i++) {
        float own = owns[i] * diagonals[i];
        if (own != 0) {
          kernels.axpy(width, own, v, vo + column + i * valueDim, rows, o + i * ldo);
        }
      }
      for (int i = steps - 1; i < count && steps > 1; i += steps) {
        System.arraycopy(rows, i * stride, out, oo + column + i / steps * valueDim, width);
      }
    }
    boolean before = seen && !decay.decaysAfterwards();
    if (before) {
      decay.state(state, s, width, stride);
    }
    kernels.multiplyTransposedA(
        dim,
        width,
        count,
        layout.decays() ? decay.moved() : keys,
        layout.decays() ? 0 : keyOffset,
        dim,
        written,
        0,
        stride,
        state,
        s,
        stride,
        true);
    if (decay.decaysAfterwards()) {
      decay.state(state, s, width, stride);
    }
  }

  /// Completes the output rows of a block of value columns.
  void finish(int block, float[] out, int oo) {
    int column = block * layout.columns();
    for (int i = 0; i < count / steps; i++) {
      int o = oo + column + i * valueDim;
      rule.finish(head, row / steps + i, column, width(block), out, o, finishing);
    }
  }

  /// Copies the values as they were written to S, of a block of columns, to `[count, dv]` storage.
  void saveWritten(int block, float[] to, int at) {
    int stride = layout.columns();
    int column = block * stride;
    for (int i = 0; i < count; i++) {
      System.arraycopy(written, i * stride, to, at + i * valueDim + column, width(block));
    }
  }

  /// U = βV, zero at padded positions.
  private void takeValues(int width, float[] v, int vo, int column) {
    int stride = layout.columns();
    if (!rule.weighsWrites()
        && !rule.formsValues()
        && width == stride
        && width == valueDim
        && !padded) {
      System.arraycopy(v, vo, written, 0, count * width);
      return;
    }
    for (int i = 0; i < count; i++) {
      int at = i * stride;
      if (!mask.isRealKey(batch, first + i)) {
        Arrays.fill(written, at, at + width, 0);
      } else if (rule.formsValues()) {
        rule.formValue(head, row + i, column, width, written, at);
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
    kernels.substituteForward(count, width, scores, count * chunk, chunk, written, 0, stride);
  }

  ChunkDecay decay() {
    return decay;
  }

  float[] left() {
    return left;
  }

  float[] carried() {
    return carried;
  }

  float[] scores() {
    return scores;
  }

  float[] keys() {
    return keys;
  }

  int keyOffset() {
    return keyOffset;
  }

  int head() {
    return head;
  }

  int count() {
    return count;
  }

  int row() {
    return row;
  }

  int first() {
    return first;
  }

  int position() {
    return position;
  }

  boolean padded() {
    return padded;
  }

  float strength(int i) {
    return strengths[i];
  }

  /// The strength of a write as its own row sees it, where that differs.
  float own(int i) {
    return owns[i];
  }

  /// q·k of a row's own key, 0 at padded positions, where it has been taken out of the scores.
  float diagonal(int i) {
    return diagonals[i];
  }

  /// Columns of a block.
  int width(int block) {
    return Math.min(layout.columns(), valueDim - block * layout.columns());
  }

  /// Where a block of the columns of S lies in an array of those of one task.
  int stateAt(int block) {
    return block % layout.blocksPerTask() * dim * layout.columns();
  }
}
