// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import java.util.Arrays;

/// Where the rows of several sequences' new tokens lie: `[sequences, heads, tokens, width]` with as
/// many tokens of each, or packed, `[all tokens, heads, width]`, one sequence after the other.
final class TokenRows {
  private final int[] counts;
  private final int[] first;
  private boolean packed;
  private int tokens;

  TokenRows(int sequences) {
    counts = new int[sequences];
    first = new int[sequences];
  }

  /// As many tokens of every sequence.
  void equal(int newTokens) {
    packed = false;
    tokens = newTokens;
    Arrays.fill(counts, newTokens);
  }

  /// So many tokens of each sequence, packed.
  void packed(int[] newCounts) {
    packed = true;
    tokens = 0;
    for (int s = 0; s < counts.length; s++) {
      counts[s] = newCounts[s];
      first[s] = tokens;
      tokens += newCounts[s];
    }
  }

  /// New tokens of a sequence.
  int count(int sequence) {
    return counts[sequence];
  }

  /// New tokens of all sequences, packed.
  int total() {
    return tokens;
  }

  /// Whether a sequence's rows are one `[heads, tokens, width]` block.
  boolean isWholeBlock() {
    return !packed && counts.length == 1;
  }

  /// Copies a sequence's rows between the caller's layout and `[heads, tokens, width]`.
  ///
  /// @param in whether from the caller's
  void move(int sequence, float[] given, float[] whole, int heads, int width, boolean in) {
    int count = count(sequence);
    for (int h = 0; h < heads; h++) {
      for (int t = 0; t < count; t++) {
        int at = at(sequence, t, h, heads, width);
        int to = (h * count + t) * width;
        if (in) {
          System.arraycopy(given, at, whole, to, width);
        } else {
          System.arraycopy(whole, to, given, at, width);
        }
      }
    }
  }

  /// First element of a row.
  int at(int sequence, int token, int head, int heads, int width) {
    return packed
        ? ((first[sequence] + token) * heads + head) * width
        : ((sequence * heads + head) * tokens + token) * width;
  }
}
