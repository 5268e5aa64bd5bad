// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.util.Arrays;

/// What the parsers of textual headers share: brackets, commas, space and integers.
abstract class HeaderScanner {
  final byte[] bytes;

  /// Position of the next byte.
  int at;

  private boolean endedWithComma;

  HeaderScanner(byte[] bytes) {
    this.bytes = bytes;
  }

  /// A fault at the current position.
  abstract TensorFileException fault(String fault);

  /// Whether a list may end in a comma.
  boolean allowsLastComma() {
    return false;
  }

  /// Whether the list that was read last ended in a comma.
  final boolean endedWithComma() {
    return endedWithComma;
  }

  /// Moves past the closing bracket (false) or to the next item of a list (true).
  final boolean more(char close, boolean first) throws TensorFileException {
    skipSpace();
    boolean comma = !first && at < bytes.length && bytes[at] == ',';
    if (comma) {
      at++;
      skipSpace();
    }
    boolean closes = at < bytes.length && bytes[at] == close;
    if (closes && (!comma || allowsLastComma())) {
      at++;
      endedWithComma = comma;
      return false;
    }
    if (!first && !comma) {
      throw fault("must hold ',' or '" + close + "' here");
    }
    return true;
  }

  /// A list of integers, at least 0 each, of a length that shapes may have.
  final long[] numbers(char open, char close) throws TensorFileException {
    long[] found = new long[4];
    int size = 0;
    expect(open);
    for (boolean first = true; more(close, first); first = false) {
      if (size == StoredTensor.HIGHEST_RANK) {
        throw fault("must not list more than " + StoredTensor.HIGHEST_RANK + " numbers");
      }
      if (size == found.length) {
        found = Arrays.copyOf(found, 2 * size);
      }
      found[size++] = number();
    }
    return Arrays.copyOf(found, size);
  }

  /// An integer of at least 0 without leading zeros.
  long number() throws TensorFileException {
    skipSpace();
    int start = at;
    long value = 0;
    while (at < bytes.length && bytes[at] >= '0' && bytes[at] <= '9') {
      int digit = bytes[at] - '0';
      if (value > (Long.MAX_VALUE - digit) / 10) {
        throw fault("holds a number beyond 2^63 - 1");
      }
      value = 10 * value + digit;
      at++;
    }
    if (at == start || (bytes[start] == '0' && at - start > 1)) {
      throw fault("must hold an integer >= 0 here");
    }
    return value;
  }

  final void expect(char wanted) throws TensorFileException {
    skipSpace();
    if (at >= bytes.length || bytes[at] != wanted) {
      throw fault("must hold '" + wanted + "' here");
    }
    at++;
  }

  final void skipSpace() {
    while (at < bytes.length
        && (bytes[at] == ' ' || bytes[at] == '\t' || bytes[at] == '\n' || bytes[at] == '\r')) {
      at++;
    }
  }
}
