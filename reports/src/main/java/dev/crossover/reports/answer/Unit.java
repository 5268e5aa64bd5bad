// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.Locale;
import java.util.function.DoubleFunction;

/// What the numbers of a [Metric] count, and how one is written for people.
public enum Unit {
  /// Whole numbers.
  COUNT(value -> String.format(Locale.ROOT, "%.0f", value)),
  /// Seconds: `3.21 ms`.
  SECONDS(Wording::seconds),
  /// Bytes: `1.5 MiB`.
  BYTES(Wording::bytes),
  /// Shares of one: `3.1 %`.
  SHARE(Wording::percent),
  /// Plain numbers: `12.3`.
  NUMBER(Wording::digits),
  /// Numbers of any size: `1.23e+09`.
  SCIENTIFIC(value -> String.format(Locale.ROOT, "%.2e", value)),
  /// Cosines, which lie close to one: `0.9998`.
  COSINE(value -> String.format(Locale.ROOT, "%.4f", value));

  private final DoubleFunction<String> text;

  Unit(DoubleFunction<String> text) {
    this.text = text;
  }

  /// A number as people read it.
  public String text(double value) {
    return text.apply(value);
  }
}
