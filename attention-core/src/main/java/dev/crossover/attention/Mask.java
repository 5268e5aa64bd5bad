// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import java.util.Arrays;

/// Which keys a query may attend to; true always means *may attend*.
///
/// Two rules combine: causal order (query i sees key j only if `j <= i + offset`) and key padding
/// (a pattern of real keys per batch entry). A query row is never removed by a mask; a row that may
/// see no key gives zeros.
///
/// Masks are immutable and part of a plan.
public sealed interface Mask {

  /// Every query sees every key.
  record None() implements Mask {}

  /// Query i sees key j iff `j <= i + offset`.
  ///
  /// @param aligned when true the offset is `keySeqLen - querySeqLen` of the shape at hand, so that
  ///     the last query sees the last key, and `explicitOffset` is ignored
  /// @param explicitOffset the offset when not aligned
  record Causal(boolean aligned, int explicitOffset) implements Mask {}

  /// Only real keys are seen. Equality is by content.
  final class KeyPadding implements Mask {
    private final int batchSize;
    private final int keySeqLen;
    private final boolean[] real;
    private final int[] counts;

    private KeyPadding(int batchSize, int keySeqLen, boolean[] real) {
      this.batchSize = batchSize;
      this.keySeqLen = keySeqLen;
      this.real = real;
      this.counts = new int[batchSize];
      for (int b = 0; b < batchSize; b++) {
        for (int j = 0; j < keySeqLen; j++) {
          counts[b] += real[b * keySeqLen + j] ? 1 : 0;
        }
      }
    }

    /// Number of batch entries the pattern covers.
    public int batchSize() {
      return batchSize;
    }

    /// Number of key positions the pattern covers.
    public int keySeqLen() {
      return keySeqLen;
    }

    /// Whether key `j` of batch entry `batch` is real.
    ///
    /// @param batch entry of the batch, from 0
    /// @param j position of a key, from 0
    public boolean isReal(int batch, int j) {
      return real[batch * keySeqLen + j];
    }

    /// Number of real keys of a batch entry.
    ///
    /// @param batch entry of the batch, from 0
    /// @return from 0 to [#keySeqLen]
    public int count(int batch) {
      return counts[batch];
    }

    /// Whether all real keys of every batch entry come before all padding.
    public boolean isAtEnd() {
      for (int b = 0; b < batchSize; b++) {
        for (int j = 0; j < counts[b]; j++) {
          if (!isReal(b, j)) {
            return false;
          }
        }
      }
      return true;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof KeyPadding that
          && batchSize == that.batchSize
          && keySeqLen == that.keySeqLen
          && Arrays.equals(real, that.real);
    }

    @Override
    public int hashCode() {
      return Arrays.hashCode(real);
    }

    @Override
    public String toString() {
      return "KeyPadding" + Arrays.toString(counts) + " of " + keySeqLen;
    }
  }

  /// Causal order and key padding together: a key must pass both.
  ///
  /// @param order the causal rule
  /// @param padding the padding rule
  record CausalKeyPadding(Causal order, KeyPadding padding) implements Mask {}

  /// Every query sees every key.
  static Mask none() {
    return new None();
  }

  /// Causal, ends aligned: query i sees key j iff `j <= i + nk - nq`.
  static Causal causal() {
    return new Causal(true, 0);
  }

  /// Causal with an explicit offset: query i sees key j iff `j <= i + offset`.
  ///
  /// @param offset keys that query 0 sees beyond its own; negative: it sees fewer, or none
  static Causal causal(int offset) {
    return new Causal(false, offset);
  }

  /// Padding at the end: batch entry b has `lengths[b]` real keys.
  ///
  /// @param keySeqLen number of key positions nk
  /// @param lengths one length per batch entry, each from 0 to `keySeqLen`
  static KeyPadding lengths(int keySeqLen, int... lengths) {
    boolean[] real = new boolean[Math.multiplyExact(lengths.length, keySeqLen)];
    for (int b = 0; b < lengths.length; b++) {
      if (lengths[b] < 0 || lengths[b] > keySeqLen) {
        throw new IllegalArgumentException(
            "lengths must be from 0 to keySeqLen (" + keySeqLen + "), but was " + lengths[b]);
      }
      Arrays.fill(real, b * keySeqLen, b * keySeqLen + lengths[b], true);
    }
    return new KeyPadding(lengths.length, keySeqLen, real);
  }

  /// Padding in any pattern.
  ///
  /// @param keySeqLen number of key positions nk
  /// @param real `[batchSize, keySeqLen]` row-major, true for a real key; copied
  static KeyPadding keys(int keySeqLen, boolean[] real) {
    if (keySeqLen < 0 || (keySeqLen == 0 ? real.length != 0 : real.length % keySeqLen != 0)) {
      throw new IllegalArgumentException(
          "real must hold a multiple of keySeqLen ("
              + keySeqLen
              + ") values, but was "
              + real.length);
    }
    return new KeyPadding(keySeqLen == 0 ? 0 : real.length / keySeqLen, keySeqLen, real.clone());
  }

  /// This padding and causal order together.
  static Mask both(Causal order, KeyPadding padding) {
    return new CausalKeyPadding(order, padding);
  }

  /// Whether causal order applies.
  default boolean isCausal() {
    return this instanceof Causal || this instanceof CausalKeyPadding;
  }

  /// Whether a key-padding pattern applies.
  default boolean hasKeyPadding() {
    return this instanceof KeyPadding || this instanceof CausalKeyPadding;
  }

  /// The causal rule.
  ///
  /// @throws IllegalStateException if there is none
  default Causal order() {
    return switch (this) {
      case Causal order -> order;
      case CausalKeyPadding(Causal order, _) -> order;
      default -> throw new IllegalStateException("mask has no causal order");
    };
  }

  /// The padding pattern.
  ///
  /// @throws IllegalStateException if there is none
  default KeyPadding padding() {
    return switch (this) {
      case KeyPadding padding -> padding;
      case CausalKeyPadding(_, KeyPadding padding) -> padding;
      default -> throw new IllegalStateException("mask has no key padding");
    };
  }

  /// The causal offset for given lengths: query i sees key j iff `j <= i + offset`.
  ///
  /// @param querySeqLen number of query positions nq
  /// @param keySeqLen number of key positions nk
  /// @return the offset, which may be negative
  /// @throws IllegalStateException if the mask is not causal
  default int causalOffset(int querySeqLen, int keySeqLen) {
    Causal order = order();
    return order.aligned() ? keySeqLen - querySeqLen : order.explicitOffset();
  }

  /// Number of leading keys that causal order lets query `i` see, from 0 to nk; nk without causal
  /// order.
  ///
  /// @param i position of the query, from 0
  /// @param querySeqLen number of query positions nq
  /// @param keySeqLen number of key positions nk
  default int causalLimit(int i, int querySeqLen, int keySeqLen) {
    if (!isCausal()) {
      return keySeqLen;
    }
    long limit = (long) i + causalOffset(querySeqLen, keySeqLen) + 1;
    return Math.clamp(limit, 0, keySeqLen);
  }

  /// Whether key `j` of a batch entry is real; true without key padding.
  ///
  /// @param batch entry of the batch, from 0
  /// @param j position of a key, from 0
  default boolean isRealKey(int batch, int j) {
    return !hasKeyPadding() || padding().isReal(batch, j);
  }

  /// Number of real keys of a batch entry; `keySeqLen` without key padding.
  ///
  /// @param batch entry of the batch, from 0
  /// @param keySeqLen number of key positions nk
  default int realKeys(int batch, int keySeqLen) {
    return hasKeyPadding() ? padding().count(batch) : keySeqLen;
  }

  /// First real key of a batch entry at or after position `from`; `keySeqLen` if there is none.
  ///
  /// With [#nextPadding] the real keys are walked in runs:
  ///
  /// ```java
  /// for (int from = mask.nextReal(b, 0, nk); from < nk; from = mask.nextReal(b, to, nk)) {
  ///   to = mask.nextPadding(b, from, nk);
  /// ```
  ///
  /// @param batch entry of the batch, from 0
  /// @param from position of a key, from 0
  /// @param keySeqLen number of key positions nk
  default int nextReal(int batch, int from, int keySeqLen) {
    int j = from;
    while (j < keySeqLen && !isRealKey(batch, j)) {
      j++;
    }
    return j;
  }

  /// First padded key of a batch entry at or after position `from`; `keySeqLen` if there is none.
  ///
  /// @param batch entry of the batch, from 0
  /// @param from position of a key, from 0
  /// @param keySeqLen number of key positions nk
  default int nextPadding(int batch, int from, int keySeqLen) {
    if (!hasKeyPadding()) {
      return keySeqLen;
    }
    int j = from;
    while (j < keySeqLen && isRealKey(batch, j)) {
      j++;
    }
    return j;
  }

  /// End of the last real key of a batch entry from position `from` on and before `to`; `from` if
  /// there is none.
  ///
  /// With [#runStart] the real keys are walked in runs, the last one first:
  ///
  /// ```java
  /// for (int to = mask.lastReal(b, 0, nk); to > 0; to = mask.lastReal(b, 0, from)) {
  ///   from = mask.runStart(b, 0, to);
  /// ```
  ///
  /// @param batch entry of the batch, from 0
  /// @param from the first position looked at
  /// @param to the position behind the last one looked at
  /// @return the position behind that key
  default int lastReal(int batch, int from, int to) {
    int end = to;
    while (end > from && !isRealKey(batch, end - 1)) {
      end--;
    }
    return Math.max(from, end);
  }

  /// Start of the run of real keys of a batch entry that ends at `to`, not before position `from`.
  ///
  /// @param batch entry of the batch, from 0
  /// @param from the first position looked at
  /// @param to the position behind the run's last key
  /// @return `to` where the key before it is padded
  default int runStart(int batch, int from, int to) {
    if (!hasKeyPadding()) {
      return Math.min(from, to);
    }
    int start = to;
    while (start > from && isRealKey(batch, start - 1)) {
      start--;
    }
    return start;
  }

  /// Short name for records and messages: `none`, `causal`, `key_padding`, `causal+key_padding`.
  default String label() {
    return switch (this) {
      case None _ -> "none";
      case Causal _ -> "causal";
      case KeyPadding _ -> "key_padding";
      case CausalKeyPadding _ -> "causal+key_padding";
    };
  }
}
