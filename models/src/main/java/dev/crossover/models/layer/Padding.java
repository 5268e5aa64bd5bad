// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Mask;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Which tokens of a batch are real, shared by all layers that must know.
///
/// A mechanism plans for a mask: a new pattern makes its nodes plan again, which allocates; the
/// same pattern again costs nothing. Language models, whose causal order already keeps padding at
/// the end away from what counts, need none.
public final class Padding {
  private final int length;
  private final boolean[] real;
  private int version;
  private Mask.@Nullable KeyPadding pattern;

  /// No padding yet.
  ///
  /// @param sequences number of sequences
  /// @param length tokens of each
  public Padding(int sequences, int length) {
    this.length = length;
    real = new boolean[sequences * length];
    Arrays.fill(real, true);
  }

  /// Takes a pattern.
  ///
  /// @param tokens `[sequences, length]`, true for real tokens; null: all are real
  public void set(boolean @Nullable [] tokens) {
    if (tokens == null) {
      if (pattern != null) {
        Arrays.fill(real, true);
        pattern = null;
        version++;
      }
      return;
    }
    if (tokens.length != real.length) {
      throw new IllegalArgumentException(
          "padding must cover " + real.length + " tokens, but was " + tokens.length);
    }
    if (Arrays.equals(tokens, real)) {
      return;
    }
    System.arraycopy(tokens, 0, real, 0, real.length);
    boolean all = true;
    for (boolean token : real) {
      all &= token;
    }
    pattern = all ? null : Mask.keys(length, real);
    version++;
  }

  /// Whether a token is real.
  ///
  /// @param row sequence · length + position
  public boolean isReal(int row) {
    return real[row];
  }

  /// Changes whenever the pattern does.
  int version() {
    return version;
  }

  /// The mask of self- or cross-attention over these tokens.
  Mask mask(boolean causal) {
    Mask.KeyPadding padding = pattern;
    if (padding == null) {
      return causal ? Mask.causal() : Mask.none();
    }
    return causal ? Mask.both(Mask.causal(), padding) : padding;
  }
}
