// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;

/// What tells one recurrence from another: how the state S `[d, dv]` of a head decays and is
/// written.
///
/// ```
/// P_t   = exp(g_t) ∘ S_{t−1}                         g_t one number, or one per row of S
/// S_t   = P_t + k_t (β_t v_t)ᵀ                       or, erasing,
/// S_t   = P_t + β_t k_t (v_t − P_tᵀ k_t)ᵀ
/// out_t = scale · S_tᵀ q_t
/// ```
///
/// At padded positions nothing is written and only a constant decay goes on; their keys, values and
/// per-token inputs are never read. A rule is bound to the tensors of one call at
/// a time and read by several threads.
///
/// Per-token inputs are addressed by `row = (batch · numHeads + head) · seqLen + t`; where a rule
/// takes several [#steps] per token, rows of the recurrence are addressed in the same way with
/// `seqLen · steps` rows per head.
public interface UpdateRule {
  /// Stands for the place of a gradient that nobody asked for.
  float[] UNWANTED = new float[0];

  /// How S decays.
  enum Decay {
    /// Not at all: g = 0.
    NONE,
    /// By one constant per head.
    CONSTANT,
    /// By one number per head and token.
    TOKEN,
    /// By one number per head, token and row of S.
    CHANNEL
  }

  /// How S decays.
  Decay decay();

  /// Takes the tensors of the next call; called before anything else.
  void bind(BoundTensors inputs);

  /// Allocates what the rule needs for whole sequences; called once, for plans.
  default void allocate(AttentionShape shape, Mask mask, Scratch scratch) {}

  /// Forms what rows need from rows before them; called after [#bind], for plans.
  default void prepare(Workers workers) {}

  /// Forms what rows need from rows before them, those of earlier calls included; called after
  /// [#bind], for sessions. May allocate where it is called with more tokens than before.
  ///
  /// @param tokens number of tokens of the call
  /// @param first whether they are the first of the sequence
  default void proceed(int tokens, boolean first) {}

  /// Bytes of what [#proceed] keeps from one call to the next.
  default long proceedBytes() {
    return 0;
  }

  /// Rows of the recurrence per token: g applies before the first of them, and the output reads S
  /// after the last. Tensors of keys, values and strengths have so many rows per token unless the
  /// rule forms them itself.
  default int steps() {
    return 1;
  }

  /// Whether what S already holds at a key is subtracted before it is written (the delta rule).
  default boolean erases() {
    return false;
  }

  /// Whether writes have a strength β other than 1: by default where the rule erases.
  default boolean weighsWrites() {
    return erases();
  }

  /// Whether what is subtracted is read before S decays, rather than after.
  default boolean erasesBeforeDecay() {
    return false;
  }

  /// Whether the rule forms queries, keys, erasing rows and values itself, row by row: then S_t =
  /// P_t + k_t (v_t + P_tᵀ e_t)ᵀ with e the erasing rows. Other factors do not apply.
  default boolean formsRows() {
    return false;
  }

  /// Forms a query.
  ///
  /// @param row of the token
  /// @param q the tensor; the token's row of the head's group starts at `qo`
  default void formQuery(int head, int row, float[] q, int qo, float[] left, int at) {}

  /// Forms a key, of a row that is not padded.
  ///
  /// @param row of the recurrence
  /// @param k the tensor; the row of the head's group starts at `ko`, if it has one for every row
  default void formKey(int head, int row, float[] k, int ko, float[] keys, int at) {}

  /// Forms an erasing row, of a row that is not padded.
  ///
  /// @param keys holds the formed key from `ko`
  default void formErasing(int head, int row, float[] keys, int ko, float[] left, int at) {}

  /// Forms columns `from` to `from + count - 1` of a value, of a row that is not padded.
  default void formValue(int head, int row, int from, int count, float[] values, int at) {}

  /// Whether the rule forms values, too, where it forms rows: otherwise they are those of the
  /// tensor, times β.
  default boolean formsValues() {
    return formsRows();
  }

  /// Whether a row's write is completed by the row after it (the trapezoidal rule): S_t = P_t + k_t
  /// (β_t v_t)ᵀ + exp(g_t) k_{t−1} (γ_t v_{t−1})ᵀ. Not for rules that erase or take several rows
  /// per token.
  default boolean completesLater() {
    return false;
  }

  /// γ of a row: what it adds to the strength of the write of the row before it, before S decays.
  default float laterStrength(int head, int row) {
    return 0;
  }

  /// Factor on queries.
  default double scale() {
    return 1;
  }

  /// Heads of the tensors `q` and `k`, a divisor of the number of heads; consecutive heads share
  /// one.
  default int queryKeyHeads(AttentionShape shape) {
    return shape.numHeads();
  }

  /// g of a head (constant decay) or of a row (decay per token), at most 0; −∞ forgets everything.
  default double logDecay(int head, int row) {
    throw new IllegalStateException("this rule has no decay");
  }

  /// The tensor `[batch, heads, seqLen, d]` of g, for decay per channel.
  default float[] logDecays() {
    throw new IllegalStateException("this rule has no decay per channel");
  }

  /// β of a row.
  default float writeStrength(int head, int row) {
    return 1;
  }

  /// Whether [#transform] changes queries and keys.
  default boolean transforms() {
    return false;
  }

  /// Changes query or key rows `[count, d]` in place; `position` is that of the first.
  default void transform(float[] rows, int at, int position, int count) {}

  /// Expresses a state `[d, width]` relative to the position after the last, if the transform
  /// depends on positions, so that the next sequence may count its positions from 0.
  ///
  /// @param positions number of positions the sequence had
  default void restartPositions(float[] state, int at, int width, int positions) {}

  /// Completes the output of one row, for columns `from` to `from + count - 1`; by default nothing.
  ///
  /// @param out holds `scale · Sᵀq` of these columns from `at` on
  /// @param work scratch of `count` elements
  default void finish(int head, int row, int from, int count, float[] out, int at, float[] work) {}

  /// Whether [#complete] does anything.
  default boolean completesRows() {
    return false;
  }

  /// Completes whole output rows, after [#finish].
  ///
  /// @param row that of the first row; rows of `out` lie one after the other from `at` on
  default void complete(int head, int row, int count, float[] out, int at) {}

  /// Adds the gradient of a query that the rule formed to where it came from.
  ///
  /// @param part number of the chunk among all chunks of all heads
  /// @param place that of the gradient of `q`, the token's row from `go`; empty if not asked for
  default void formQueryBack(
      int part, int head, int row, float[] gradLeft, int at, float[] place, int go) {}

  /// Adds the gradient of a key that the rule formed to where it came from.
  ///
  /// @param part number of the chunk among all chunks of all heads
  /// @param place that of the gradient of `k`, the row from `go`; empty if not asked for
  default void formKeyBack(
      int part, int head, int row, float[] gradKeys, int at, float[] place, int go) {}

  /// Adds the gradient of an erasing row that the rule formed to where it came from, the gradient
  /// of the formed key included.
  default void formErasingBack(
      int head,
      int row,
      float[] keys,
      int ko,
      float[] gradLeft,
      int at,
      float[] gradKeys,
      int go) {}

  /// Adds the gradient of a value that the rule formed, all columns, to where it came from.
  default void formValueBack(int head, int row, float[] gradValue, int at) {}

  /// Where to add the gradient of [#laterStrength]; empty if nobody asked for it.
  default float[] gradLaterStrengths() {
    return UNWANTED;
  }

  /// Takes gradients with respect to transformed rows back to the rows before [#transform], in
  /// place.
  default void transformBack(float[] rows, int at, int position, int count) {}

  /// Takes the gradient of a state that [#restartPositions] expressed anew back to the state as it
  /// was, in place.
  default void restartPositionsBack(float[] state, int at, int width, int positions) {}

  /// Whether [#finish], [#complete] or the plan around the recurrence changes outputs: then
  /// [#finishBack] takes their gradient back.
  default boolean finishes() {
    return false;
  }

  /// Whether [#finishBack] reads the outputs as they were before [#finish].
  default boolean readsUnfinished() {
    return false;
  }

  /// Allocates what the gradients of this rule need between their passes; called once.
  ///
  /// @param parts number of chunks of all heads: sums over tokens are formed part by part and then
  ///     in their order, whichever thread was faster
  default void allocateGradients(AttentionShape shape, int parts, Scratch scratch) {}

  /// Takes the places of the gradients of the next call, those of them that were asked for; called
  /// before the passes.
  default void bindGradients(BoundTensors gradients) {}

  /// Where to add the gradient of g, per token or channel; empty if nobody asked for it.
  default float[] gradLogDecays() {
    return UNWANTED;
  }

  /// Whether the gradient of a constant decay was asked for.
  default boolean wantsDecayGradient() {
    return false;
  }

  /// Adds a gradient with respect to the factor exp(g) of a head with constant decay.
  default void addDecayGradient(int head, double gradient) {}

  /// Where to add the gradient of β; empty if nobody asked for it.
  default float[] gradStrengths() {
    return UNWANTED;
  }

  /// Takes the gradient of completed output rows back: writes that of `scale · Sᵀq` and adds those
  /// of what [#finish] reads.
  ///
  /// @param part number of the chunk among all chunks of all heads
  /// @param row that of the first row; rows of all arrays lie one after the other
  /// @param unfinished outputs before [#finish], or empty
  /// @param out outputs
  /// @param gradOut gradient of the outputs
  /// @param grad where to write the gradient of `scale · Sᵀq`
  default void finishBack(
      int part,
      int head,
      int row,
      int count,
      float[] unfinished,
      float[] out,
      float[] gradOut,
      float[] grad) {}

  /// Adds the gradients that only sums over tokens give; called after the passes.
  default void addGradients() {}
}
