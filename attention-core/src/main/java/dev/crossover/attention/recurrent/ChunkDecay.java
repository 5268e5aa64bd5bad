// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.recurrent.UpdateRule.Decay;

/// The decays of one chunk, from differences of cumulative logarithms that restart at the chunk;
/// one strategy for each kind of decay.
///
/// With c_i = g_0 + … + g_i in double: what enters from S decays by `exp(c_i)`, what row j writes
/// reaches row i ≥ j decayed by `exp(c_i − c_j)` and the end of the chunk by `exp(c_last − c_j)`.
///
/// As long as c stays within a reach of 0, `exp(c_i − c_j)` splits into `exp(c_i)` on row i, which
/// S wants anyway, and `exp(−c_j)` on key j, and so does the way to the end of the chunk: mild
/// gates cost two scalings. Which rows are within reach is decided row by row, so that row i
/// depends on g up to i only. For rows beyond, exponents are formed as differences, never above the
/// diagonal, so that nothing overflows.
///
/// The backward pass needs the factors themselves, `exp(c_i)` and `exp(c_last − c_j)`, which never
/// exceed 1. With X the left rows, K the keys and dX, dK their gradients, the gradient with respect
/// to g_t of the chunk is what crosses from before t to t or later:
///
/// ```
/// dg_t =   ⟨e^{c_last} S, dS'⟩               from the state before to the state after
///        + Σ_{i ≥ t} ⟨eᶜ x_i, S dy_i⟩         from the state before to a row
///        + Σ_{j < t} ⟨e^{c_last−c} k_j, dS' u_j⟩   from a row to the state after
///        + Σ_{i ≥ t > j} M_ij                 from a row to a row, M = scores ∘ their gradients
/// ```
///
/// No two large terms cancel in it, whatever the length of the sequence.
abstract class ChunkDecay {
  final Kernels kernels = Kernels.get();
  final ChunkLayout layout;
  final UpdateRule rule;
  final int chunk;
  final int dim;
  final int sides;

  /// Rows per token, of which the first decays.
  final int steps;

  /// Rows of the chunk at hand.
  int count;

  /// Number of leading rows whose c is within reach.
  int reach;

  ChunkDecay(ChunkLayout layout) {
    this.layout = layout;
    this.rule = layout.rule();
    this.chunk = layout.chunk();
    this.dim = layout.shape().headDim();
    this.sides = layout.sides();
    this.steps = rule.steps();
  }

  /// The strategy for a rule's decay.
  static ChunkDecay of(ChunkLayout layout, Scratch scratch) {
    UpdateRule rule = layout.rule();
    boolean byNumber = rule.decay() == Decay.CONSTANT || rule.decay() == Decay.TOKEN;
    if (rule.erasesBeforeDecay() && byNumber) {
      throw new IllegalArgumentException(
          "decay of a rule that erases before it must be per channel, but was " + rule.decay());
    }
    if (rule.steps() > 1 && rule.decay() == Decay.CONSTANT) {
      throw new IllegalArgumentException(
          "steps per token must be 1 with constant decay, but were " + rule.steps());
    }
    return switch (layout.rule().decay()) {
      case NONE -> new NoDecay(layout);
      case CONSTANT -> new ConstantDecay(layout, scratch);
      case TOKEN -> new TokenDecay(layout, scratch);
      case CHANNEL -> new ChannelDecay(layout, scratch);
    };
  }

  /// Prepares a head: the powers of a constant decay are the same for all its chunks.
  void head(int head) {}

  /// Takes g of a run of rows; `row` is that of row `from` in the per-token inputs.
  void run(int head, int row, int from, int to) {}

  /// Takes a run of padded rows, where g per token or channel counts as 0.
  void skip(int from, int to) {}

  /// Starts a chunk whose g have been taken: forms the factors `exp(c_i)` and `exp(−c_i)`.
  abstract void begin(int rows);

  /// Whether left rows decay by the number [#factor] each.
  boolean byNumber() {
    return false;
  }

  /// `exp(c_i)` of a row, for decay by one number.
  float factor(int i) {
    return 1;
  }

  /// First row whose left row is needed without decay.
  int plainFrom() {
    return 0;
  }

  /// carried ← exp(c) ∘ left where factors differ between channels; otherwise nothing.
  ///
  /// @param left rows `[sides · count, d]`
  void carryChannels(float[] left, float[] carried) {}

  /// scores ← decayed products of left rows and keys, and the keys as they enter S; above the
  /// diagonal it leaves anything.
  ///
  /// @param left rows `[sides · count, d]`, needed from row [#plainFrom] of each side on
  /// @param carried `left` times `exp(c)`
  /// @param k keys from `ko`, `[count, d]`
  abstract void scores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed);

  /// The keys as they enter S, without any scores.
  abstract void keys(float[] k, int ko);

  /// Keys as they enter S: times `exp(−c_j)` while all rows are within reach, else times
  /// `exp(c_last − c_j)`; empty where they do not decay.
  abstract float[] moved();

  /// Whether S decays after the keys have entered it rather than before: then [#moved] holds them
  /// as seen from the start of the chunk.
  final boolean decaysAfterwards() {
    return reach == count;
  }

  /// S ← exp(c_last) S for a block of columns.
  abstract void state(float[] state, int at, int width, int stride);

  /// Operations of a chunk of so many rows beyond its products, forward.
  abstract double flops(int rows);

  /// Operations of a chunk of so many rows beyond its products, backward.
  abstract double gradientFlops(int rows);

  /// Numbers of g per token and head.
  abstract int width();

  /// Allocates what only the backward pass needs.
  void allocateGradient(Scratch scratch) {}

  /// Where every chunk leaves its part of the gradient of a constant decay; empty if nobody asked
  /// for it.
  void addTo(double[] parts) {}

  /// After [#begin], for the backward pass: forms the factors of all rows and clears sums.
  abstract void beginGradient();

  /// carried ← exp(c) ∘ left, all rows.
  abstract void carry(float[] left, float[] carried);

  /// departed ← exp(c_last − c) ∘ k.
  abstract void depart(float[] k, int ko, float[] departed);

  /// scores ← decayed products of all left rows and keys, for the backward pass; above the diagonal
  /// it leaves anything.
  abstract void allScores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed);

  /// gradLeft, with respect to carried rows, becomes that with respect to left rows.
  abstract void uncarry(float[] left, float[] gradLeft);

  /// gradKeys, with respect to departed keys, becomes that with respect to keys.
  abstract void undepart(float[] k, int ko, float[] gradKeys);

  /// Takes account of what passes the chunk from the state before it to the state after it.
  ///
  /// @param s state before, `[d, dv]` from `so`
  /// @param r gradient of the state after, `[d, dv]` from `ro`
  abstract void unstate(float[] s, int so, float[] r, int ro, int valueDim);

  /// Adds what the gradients of scores give left rows and keys; overwrites `gradScores`.
  ///
  /// @param gradScores with respect to decayed scores; elements above the diagonal are never used
  abstract void unscore(
      float[] gradScores,
      float[] scores,
      float[] left,
      float[] carried,
      float[] k,
      int ko,
      float[] gradLeft,
      float[] gradKeys);

  /// Adds the gradient with respect to g of the chunk's real rows, once left rows and keys have
  /// theirs.
  ///
  /// @param first index of the first row in the sequence
  /// @param row that of the first row in the per-token inputs
  /// @param part number of the chunk among all chunks of all heads
  abstract void addGradient(
      int batch,
      int first,
      int row,
      int part,
      float[] left,
      float[] k,
      int ko,
      float[] gradLeft,
      float[] gradKeys);

  /// Lower triangle of the products of left rows and keys.
  final void lower(float[] left, float[] k, int ko, float[] scores, float[] transposed) {
    kernels.multiplyTransposedBLower(
        sides, count, count, dim, left, 0, dim, k, ko, dim, scores, 0, chunk, transposed, 0);
  }

  /// gradLeft += G K and gradKeys += Gᵀ X for the lower triangle G of each side.
  final void unlower(
      float[] gradScores, float[] left, float[] k, int ko, float[] gradLeft, float[] gradKeys) {
    for (int side = 0; side < sides; side++) {
      int scores = side * count * chunk;
      int rows = side * count * dim;
      kernels.multiplyLower(
          count, dim, count, 0, gradScores, scores, chunk, k, ko, dim, gradLeft, rows, dim, true);
      kernels.multiplyTransposedLower(
          count, dim, gradScores, scores, chunk, left, rows, dim, gradKeys, 0, dim, true);
    }
  }
}
