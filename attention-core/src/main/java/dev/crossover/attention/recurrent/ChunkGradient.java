// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// The backward pass of the chunkwise algebra of [RecurrentChunk], with the scratch of one worker.
///
/// With G the gradient of the chunk's outputs, R that of the state after it, and scores M_q =
/// lower((Q Kᵀ) ∘ D), M_e = strictly lower((−βK Kᵀ) ∘ D), the reverse step is
///
/// ```
/// W  = (I − M_e)⁻ᵀ (M_qᵀ G + (e^{c_last − c} K) R)        gradient of β V; by backward substitution
/// R  ← e^{c_last} R + (eᶜ Q)ᵀ G − (eᶜ β K)ᵀ W
/// ```
///
/// and with U the values as written and S the state before the chunk the gradients are
///
/// ```
/// dM_q = lower(G Uᵀ),  dM_e = strictly lower(W Uᵀ)
/// dQ   = eᶜ (G Sᵀ) + (dM_q ∘ D) K
/// d(−βK) = eᶜ (W Sᵀ) + (dM_e ∘ D) K
/// dK   = e^{c_last − c} (U Rᵀ) + (dM_q ∘ D)ᵀ Q + (dM_e ∘ D)ᵀ (−βK),   then + −β d(−βK)
/// dV   = β W,   dβ = ⟨v, W⟩ − ⟨k, d(−βK)⟩
/// ```
///
/// The triangular products use no element above a diagonal, in either direction.
final class ChunkGradient {
  private final Kernels kernels = Kernels.get();
  private final ChunkLayout layout;
  private final UpdateRule rule;
  private final Mask mask;
  private final RecurrentChunk forward;
  private final KeptStates kept;
  private final GradientTensors tensors;
  private final ChunkDecay decay;
  private final int chunk;
  private final int dim;
  private final int valueDim;
  private final float[] departed;
  private final float[] upstream;
  private final float[] reverse;
  private final float[] gradWritten;
  private final float[] gradScores;
  private final float[] gradLeft;
  private final float[] gradKeys;
  private final float[] values;
  private final float[] transposed;
  private int batch;

  ChunkGradient(
      ChunkLayout layout,
      RecurrentChunk forward,
      KeptStates kept,
      GradientTensors tensors,
      Scratch scratch) {
    this.layout = layout;
    this.forward = forward;
    this.kept = kept;
    this.tensors = tensors;
    rule = layout.rule();
    mask = layout.mask();
    decay = forward.decay();
    chunk = layout.chunk();
    dim = layout.shape().headDim();
    valueDim = layout.shape().valueDim();
    decay.allocateGradient(scratch);
    departed = scratch.floats(layout.decays() ? layout.rows() : 0);
    upstream = scratch.floats(2L * chunk * valueDim);
    reverse = scratch.floats(layout.state());
    gradWritten = scratch.floats(layout.written());
    gradScores = scratch.floats(layout.scores());
    gradLeft = scratch.floats(layout.left());
    gradKeys = scratch.floats(layout.rows());
    values = scratch.floats(rule.erases() ? 0 : (long) chunk * valueDim);
    transposed =
        scratch.floats(
            Math.max(
                kernels.transposedBScratch(dim, valueDim),
                kernels.transposedBScratch(chunk, valueDim)));
  }

  ChunkDecay decay() {
    return decay;
  }

  /// Starts a head; its gradient of the final state is zero.
  void start(int ofBatch, int ofHead) {
    batch = ofBatch;
    forward.start(ofBatch, ofHead, layout.shape().querySeqLen(), 0, true);
    Arrays.fill(reverse, 0);
  }

  /// Takes the gradient of a block of columns of the final state, after `positions` positions.
  void loadReverse(int block, int positions, int at) {
    float[] from = tensors.finalState;
    int stride = layout.columns();
    int s = forward.stateAt(block);
    for (int a = 0; a < dim; a++) {
      System.arraycopy(
          from, at + a * valueDim + block * stride, reverse, s + a * stride, forward.width(block));
    }
    rule.restartPositionsBack(reverse, s, stride, positions);
  }

  /// Writes a block of columns of R, `[d, dv]` from `at`.
  void saveReverse(int block, int at) {
    float[] to = tensors.reverses;
    int stride = layout.columns();
    int s = forward.stateAt(block);
    for (int a = 0; a < dim; a++) {
      System.arraycopy(
          reverse, s + a * stride, to, at + a * valueDim + block * stride, forward.width(block));
    }
  }

  /// Adds a block of columns of R to the gradient of the first state, `[d, dv]` from `at`.
  void addReverse(int block, int at) {
    float[] to = tensors.gradInitial;
    int stride = layout.columns();
    int s = forward.stateAt(block);
    for (int a = 0; a < dim; a++) {
      int o = at + a * valueDim + block * stride;
      kernels.add(forward.width(block), to, o, reverse, s + a * stride, to, o);
    }
  }

  /// Takes the rows of a chunk: what does not depend on values.
  ///
  /// @param qo where the rows of queries lie
  /// @param ko where the rows of keys lie
  /// @param go where the gradients of the outputs lie
  void rows(int t, int rows, int qo, int ko, int go) {
    forward.rowsForGradient(t, rows, tensors.q, qo, tensors.k, ko);
    takeUpstream(rows, go);
    if (layout.decays()) {
      decay.depart(forward.keys(), forward.keyOffset(), departed);
    }
  }

  /// G, zero in rows without an output.
  private void takeUpstream(int rows, int go) {
    int steps = rule.steps();
    if (steps == 1) {
      System.arraycopy(tensors.upstream, go, upstream, 0, rows * valueDim);
      return;
    }
    Arrays.fill(upstream, 0, rows * valueDim, 0);
    for (int i = steps - 1; i < rows; i += steps) {
      int from = go + i / steps * valueDim;
      System.arraycopy(tensors.upstream, from, upstream, i * valueDim, valueDim);
    }
  }

  /// The reverse step for a block of value columns.
  ///
  /// @param wo where W goes, `[count, dv]`
  void reverse(int block, int wo) {
    float[] w = tensors.writes;
    int count = forward.count();
    int width = forward.width(block);
    int stride = layout.columns();
    int s = forward.stateAt(block);
    int column = block * stride;
    float[] scores = forward.scores();
    float[] carried = forward.carried();
    reverseWithin(width, column);
    kernels.multiply(
        count,
        width,
        dim,
        layout.decays() ? departed : forward.keys(),
        layout.decays() ? 0 : forward.keyOffset(),
        dim,
        reverse,
        s,
        stride,
        gradWritten,
        0,
        stride,
        true);
    if (rule.erases()) {
      kernels.substituteBackward(
          count, width, scores, count * chunk, chunk, gradWritten, 0, stride);
    }
    for (int i = 0; i < count; i++) {
      System.arraycopy(gradWritten, i * stride, w, wo + i * valueDim + column, width);
    }
    decay.state(reverse, s, width, stride);
    kernels.multiplyTransposedA(
        dim, width, count, carried, 0, dim, upstream, column, valueDim, reverse, s, stride, true);
    if (rule.erases()) {
      kernels.multiplyTransposedA(
          dim,
          width,
          count,
          carried,
          count * dim,
          dim,
          gradWritten,
          0,
          stride,
          reverse,
          s,
          stride,
          true);
    }
  }

  /// W ← M_qᵀ G; where writes are completed later, a row's own G is no part of it.
  private void reverseWithin(int width, int column) {
    int stride = layout.columns();
    int after = rule.completesLater() ? 1 : 0;
    int rows = forward.count() - after;
    kernels.multiplyTransposedLower(
        rows,
        width,
        forward.scores(),
        after * chunk,
        chunk,
        upstream,
        column + after * valueDim,
        valueDim,
        gradWritten,
        0,
        stride,
        false);
    Arrays.fill(gradWritten, rows * stride, rows * stride + after * width, 0);
  }

  /// The gradients of the chunk's rows, from its boundaries.
  ///
  /// @param so where the state before the chunk lies
  /// @param seen whether it may be other than zero
  /// @param ro where the gradient of the state after the chunk lies
  /// @param at where rows of values lie
  /// @param wo where W lies
  /// @param queries where rows of queries lie
  /// @param keyRows where rows of keys lie
  /// @param part number of the chunk among all chunks of all heads
  void gradients(int so, boolean seen, int ro, int at, int wo, int queries, int keyRows, int part) {
    int count = forward.count();
    int size = count * valueDim;
    float[] left = forward.left();
    float[] keys = forward.keys();
    int ko = forward.keyOffset();
    System.arraycopy(tensors.writes, wo, upstream, size, size);
    float[] written = rule.erases() ? kept.written : values;
    int uo = rule.erases() ? at : 0;
    if (!rule.erases()) {
      takeValues(at);
    }
    gradOfLeft(so, seen);
    kernels.multiplyTransposedB(
        count,
        dim,
        valueDim,
        written,
        uo,
        valueDim,
        tensors.reverses,
        ro,
        valueDim,
        gradKeys,
        0,
        dim,
        false,
        transposed,
        0);
    decay.undepart(keys, ko, gradKeys);
    decay.unstate(kept.states, so, tensors.reverses, ro, valueDim);
    kernels.multiplyTransposedBLower(
        layout.sides(),
        count,
        count,
        valueDim,
        upstream,
        0,
        valueDim,
        written,
        uo,
        valueDim,
        gradScores,
        0,
        chunk,
        transposed,
        0);
    for (int i = 0; i < count && rule.erases(); i++) {
      gradScores[(count + i) * chunk + i] = 0;
    }
    addDiagonals(at);
    decay.unscore(
        gradScores, forward.scores(), left, forward.carried(), keys, ko, gradLeft, gradKeys);
    decay.addGradient(
        batch, forward.first(), forward.row(), part, left, keys, ko, gradLeft, gradKeys);
    if (!rule.formsValues()) {
      addStrengths(at, keys, ko);
      addValues(at);
    }
    if (rule.formsRows()) {
      unform(part, queries, keyRows);
      return;
    }
    addQueries(queries);
    addKeys(keyRows);
  }

  /// What outputs take of their own values, where the write is completed later.
  private void addDiagonals(int at) {
    float[] gradient = rule.gradStrengths();
    for (int i = 0; i < forward.count() && rule.completesLater(); i++) {
      int o = i * valueDim;
      int diagonal = i * chunk + i;
      gradScores[diagonal] = 0;
      if (!mask.isRealKey(batch, forward.first() + i)) {
        continue;
      }
      float product = kernels.dot(valueDim, upstream, o, tensors.v, at + o);
      gradScores[diagonal] = forward.own(i) * product;
      if (gradient.length > 0) {
        gradient[forward.row() + i] += forward.diagonal(i) * product;
      }
      if (tensors.gradV.length > 0) {
        float own = forward.own(i) * forward.diagonal(i);
        kernels.axpy(valueDim, own, upstream, o, tensors.gradV, at + o);
      }
    }
  }

  /// From rows that the rule formed to where they came from.
  private void unform(int part, int queries, int keyRows) {
    int count = forward.count();
    int steps = rule.steps();
    int head = forward.head();
    for (int i = 0; i < count; i++) {
      int row = forward.row() + i;
      int at = i * dim;
      if ((forward.first() + i + 1) % steps == 0) {
        int go = queries + i / steps * dim;
        rule.formQueryBack(part, head, row / steps, gradLeft, at, tensors.gradQ, go);
      }
      if (mask.isRealKey(batch, forward.first() + i)) {
        if (rule.erases()) {
          int ko = forward.keyOffset() + at;
          int erasing = (count + i) * dim;
          rule.formErasingBack(head, row, forward.keys(), ko, gradLeft, erasing, gradKeys, at);
        }
        rule.formKeyBack(part, head, row, gradKeys, at, tensors.gradK, keyRows + at);
        if (rule.formsValues()) {
          rule.formValueBack(head, row, upstream, (count + i) * valueDim);
        }
      }
    }
  }

  /// What the state before the chunk gives left rows: eᶜ ([G; W] Sᵀ).
  private void gradOfLeft(int so, boolean seen) {
    int rows = layout.sides() * forward.count();
    if (!seen) {
      Arrays.fill(gradLeft, 0, rows * dim, 0);
      return;
    }
    kernels.multiplyTransposedB(
        rows,
        dim,
        valueDim,
        upstream,
        0,
        valueDim,
        kept.states,
        so,
        valueDim,
        gradLeft,
        0,
        dim,
        false,
        transposed,
        0);
    decay.uncarry(forward.left(), gradLeft);
  }

  /// U = βV, zero at padded positions, over all columns.
  private void takeValues(int at) {
    float[] v = tensors.v;
    for (int i = 0; i < forward.count(); i++) {
      int o = i * valueDim;
      if (!mask.isRealKey(batch, forward.first() + i)) {
        Arrays.fill(values, o, o + valueDim, 0);
      } else if (rule.formsValues()) {
        rule.formValue(forward.head(), forward.row() + i, 0, valueDim, values, o);
      } else if (rule.weighsWrites()) {
        kernels.scale(valueDim, forward.strength(i), v, at + o, values, o);
      } else {
        System.arraycopy(v, at + o, values, o, valueDim);
      }
    }
  }

  /// dβ, and what −βK gives K.
  private void addStrengths(int at, float[] keys, int ko) {
    float[] gradient = rule.gradStrengths();
    float[] later = rule.gradLaterStrengths();
    int count = forward.count();
    int w = count * valueDim;
    for (int i = 0; i < count && rule.weighsWrites(); i++) {
      if (!mask.isRealKey(batch, forward.first() + i)) {
        continue;
      }
      int erased = (count + i) * dim;
      if (gradient.length > 0) {
        int o = i * valueDim;
        float sum = kernels.dot(valueDim, tensors.v, at + o, upstream, w + o);
        if (rule.erases()) {
          sum -= kernels.dot(dim, keys, ko + i * dim, gradLeft, erased);
        }
        gradient[forward.row() + i] += sum;
        if (later.length > 0 && forward.isCompleted(i)) {
          later[forward.row() + i + 1] += sum;
        }
      }
      if (rule.erases()) {
        kernels.axpy(dim, -forward.strength(i), gradLeft, erased, gradKeys, i * dim);
      }
    }
  }

  /// dV = βW.
  private void addValues(int at) {
    float[] gradient = tensors.gradV;
    int w = forward.count() * valueDim;
    for (int i = 0; i < forward.count() && gradient.length > 0; i++) {
      if (mask.isRealKey(batch, forward.first() + i)) {
        float weight = rule.weighsWrites() ? forward.strength(i) : 1;
        int o = i * valueDim;
        kernels.axpy(valueDim, weight, upstream, w + o, gradient, at + o);
      }
    }
  }

  private void addQueries(int at) {
    float[] gradient = tensors.gradQ;
    if (gradient.length > 0) {
      int count = forward.count();
      int steps = rule.steps();
      float scale = (float) rule.scale();
      if (rule.transforms()) {
        rule.transformBack(gradLeft, 0, forward.position(), count);
      }
      if (steps == 1) {
        kernels.axpy(count * dim, scale, gradLeft, 0, gradient, at);
      }
      for (int i = steps - 1; i < count && steps > 1; i += steps) {
        kernels.axpy(dim, scale, gradLeft, i * dim, gradient, at + i / steps * dim);
      }
    }
  }

  private void addKeys(int at) {
    float[] gradient = tensors.gradK;
    if (gradient.length == 0) {
      return;
    }
    int count = forward.count();
    if (rule.transforms()) {
      rule.transformBack(gradKeys, 0, forward.position(), count);
    }
    if (!forward.padded()) {
      kernels.add(count * dim, gradient, at, gradKeys, 0, gradient, at);
      return;
    }
    for (int i = 0; i < count; i++) {
      if (mask.isRealKey(batch, forward.first() + i)) {
        int o = at + i * dim;
        kernels.add(dim, gradient, o, gradKeys, i * dim, gradient, o);
      }
    }
  }
}
